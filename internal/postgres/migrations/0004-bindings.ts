export const bindings = `
-- Of packages that are bindings: the package they are bound to, which may be gone.
alter table entities
  add column binding_namespace  text collate "C",
  add column binding_name       text collate "C";

-- Revisions that were made for calls through a binding ("namespace/name"), from the action's own revision. They go with
-- that, and when the binding is written.
alter table revisions
  add column based_on     text collate "C",
  add column binding_key  text collate "C";
create index revisions_based_on on revisions (based_on) where based_on is not null;
create index revisions_of_binding on revisions (binding_key) where binding_key is not null;

-- What was invoked through a binding is listed by the binding's name: it is in "name", and the action's own is here. The
-- binding's namespace is the record's, since nobody uses another's bindings. '' for all other records.
alter table activations add column bound_name text collate "C" not null default '';
`;
