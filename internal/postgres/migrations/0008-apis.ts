export const apis = `
-- APIs: Swagger documents by base path. Text, never jsonb, which would change numbers.
create table apis (
  namespace   text collate "C" not null,
  base_path   text collate "C" not null,
  -- Stands for the namespace in URLs; follows from its name.
  tenant_id   uuid not null,
  name        text collate "C" not null,
  document    text not null,
  revision    bigint not null,
  updated_ms  bigint not null,
  primary key (namespace, base_path),
  constraint apis_namespace foreign key (namespace) references namespaces (name) on delete cascade
);
-- Finds what is served for a URL.
create index apis_of_tenant on apis (tenant_id, base_path);
-- Finds an API by its title.
create index apis_by_name on apis (namespace, name, base_path);

-- What callers of an API present: hashes.
create table api_keys (
  id           uuid primary key,
  namespace    text collate "C" not null,
  base_path    text collate "C" not null,
  secret_hash  bytea not null,
  note         text not null,
  created_ms   bigint not null,
  constraint api_keys_api foreign key (namespace, base_path) references apis (namespace, base_path) on delete cascade
);
create index api_keys_of_api on api_keys (namespace, base_path, created_ms desc, id);
`;
