export const sequences = `
-- Of actions that are sequences: JSON text of an array of the keys of what runs. They have no code and no revision.
alter table entities add column components text;

-- Of sequences and compositions: when the whole ended, what ran in it, and for compositions how often their conductor
-- did.
alter table activations add column end_ms bigint;
alter table activations add column component_runs integer;
alter table activations add column conductor_runs integer;

-- The enclosing activation of a component, and for a sequence or composition how far it came: its row stays in the queue
-- until it has ended, and moves on in the statement that queues its next component.
alter table queue add column cause uuid;
alter table queue add column run text not null default '';
`;
