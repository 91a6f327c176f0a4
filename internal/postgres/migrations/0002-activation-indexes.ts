export const activationIndexes = `
-- Without the id, which only orders records of the same millisecond: a page sorts those few itself. Half of what an
-- activation costs to store was its indexes.
drop index activations_by_start;
drop index activations_by_name;
create index activations_by_start on activations (namespace, start_ms);
create index activations_by_name on activations (namespace, name, start_ms);
`;
