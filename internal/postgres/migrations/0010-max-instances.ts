export const maxInstances = `
-- Of actions: most sandboxes at once; null: as many as the namespace may have.
alter table entities add column max_instances integer;
`;
