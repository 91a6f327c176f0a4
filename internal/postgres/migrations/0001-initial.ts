export const initial = `
-- Names are compared byte by byte ("C"): the same order everywhere, and cheaper than a language's.

create table namespaces (
  name                    text collate "C" primary key,
  invocations_per_minute  integer not null,
  fires_per_minute        integer not null,
  concurrent_invocations  integer not null,
  created_ms              bigint not null
);

create table keys (
  uuid         text collate "C" primary key,
  secret_hash  bytea not null,
  namespace    text collate "C" not null,
  subject      text not null,
  operator     boolean not null,
  created_ms   bigint not null,
  constraint keys_namespace foreign key (namespace) references namespaces (name) on delete cascade
);
-- Lists the keys of a namespace, counts them, and finds them when it goes.
create index keys_of_namespace on keys (namespace, created_ms desc, uuid);

-- Packages, actions, triggers and rules share one key space per namespace, so they share a table. Lists of parameters
-- and annotations are JSON text of [[key, JSON text of the value, init], ...]: never jsonb, which would change numbers.
create table entities (
  namespace        text collate "C" not null,
  name             text collate "C" not null,
  kind             text not null check (kind in ('package', 'action', 'trigger', 'rule')),
  revision         bigint not null,
  updated_ms       bigint not null,
  version          text not null,
  publish          boolean not null,
  annotations      text not null,
  parameters       text not null,
  -- of actions
  package          text collate "C",
  runtime          text,
  main             text,
  archive          boolean,
  code_digest      text,
  code_size        integer,
  timeout_ms       integer,
  memory_mb        integer,
  logs_mb          integer,
  concurrency      integer,
  revision_id      text,
  -- of rules: "namespace/name" of the trigger, key of the action
  trigger_key      text,
  action_key       text,
  primary key (namespace, name),
  constraint entities_namespace foreign key (namespace) references namespaces (name) on delete cascade
);
-- Serves lists in their order, latest change first.
create index entities_by_update on entities (namespace, kind, updated_ms desc, name);
-- Lists the actions of a package in the same order, and tells whether it has any.
create index entities_of_package on entities (namespace, package, updated_ms desc, name) where package is not null;

-- Whether firing a trigger runs a rule belongs to the trigger: when the trigger goes, so does the link, and the rule
-- that stays reads inactive, also after a trigger of that name comes back.
create table rule_links (
  rule_namespace     text collate "C" not null,
  rule_name          text collate "C" not null,
  trigger_namespace  text collate "C" not null,
  trigger_name       text collate "C" not null,
  active             boolean not null,
  primary key (rule_namespace, rule_name),
  constraint rule_links_rule foreign key (rule_namespace, rule_name) references entities (namespace, name) on delete cascade,
  constraint rule_links_trigger foreign key (trigger_namespace, trigger_name) references entities (namespace, name) on delete cascade
);
-- Finds the rules of a trigger, by name.
create index rule_links_of_trigger on rule_links (trigger_namespace, trigger_name, rule_namespace, rule_name);

-- Code by what it is: two actions with the same code share it. Not compressed, since archives are already.
create table code (
  digest  text collate "C" primary key,
  bytes   bytea not null
);
alter table code alter column bytes set storage external;

-- What sandboxes load. A revision that was replaced stays for an hour, for the calls that still refer to it.
create table revisions (
  revision_id      text collate "C" primary key,
  action_key       text not null,
  version          text not null,
  runtime          text not null,
  main             text,
  archive          boolean not null,
  code_digest      text collate "C" not null,
  code_size        integer not null,
  timeout_ms       integer not null,
  memory_mb        integer not null,
  logs_mb          integer not null,
  concurrency      integer not null,
  init_parameters  text not null,
  retired_at       timestamptz,
  constraint revisions_code foreign key (code_digest) references code (digest)
);
-- Finds what may be forgotten. Holds nothing of what is in use.
create index revisions_retired on revisions (retired_at) where retired_at is not null;
-- Tells whether code is still referred to.
create index revisions_of_code on revisions (code_digest);

-- Activation records. An id begins with the time at which it was made, so that a day's partition is a range of ids: the
-- primary key is unique over all days, a record is found in one partition, and ids are inserted at the end of the index.
-- Ids of no known day go into the default partition.
create table activations (
  id                uuid primary key,
  start_ms          bigint not null,
  duration_ms       integer,
  init_ms           integer,
  wait_ms           integer not null,
  result_size       integer not null,
  timeout_ms        integer,
  memory_mb         integer,
  logs_mb           integer,
  concurrency       integer,
  cause             uuid,
  is_trigger        boolean not null,
  timed_out         boolean not null,
  outcome           smallint not null,
  start_kind        smallint,
  namespace         text collate "C" not null,
  -- The action's or trigger's own namespace, and its name there with its package.
  path_namespace    text collate "C" not null,
  name              text collate "C" not null,
  subject           text not null,
  version           text not null,
  kind              text not null,
  transaction_id    text not null,
  trace_id          text not null,
  invoker_id        text not null,
  result            text not null
) partition by range (id);
create table activations_default partition of activations default;
-- Serves lists backwards, latest first: of all, and of one name.
create index activations_by_start on activations (namespace, start_ms, id);
create index activations_by_name on activations (namespace, name, start_ms, id);

-- Logs apart: lists do not read them, and most activations have none. JSON text of an array of lines.
create table activation_logs (
  id     uuid primary key,
  lines  text not null
) partition by range (id);
create table activation_logs_default partition of activation_logs default;

-- Requests that are accepted and not settled. Rows live for a moment: room in the pages lets an attempt be noted without
-- touching an index, and vacuum comes early. Arguments are not compressed, since they are read once.
create table queue (
  id                  uuid primary key,
  accepted_ms         bigint not null,
  owner               text collate "C" not null,
  -- Where it was sent last; null when it was not.
  invoker_id          text,
  invoker_boot_id     text,
  attempt_owner       text,
  namespace           text not null,
  name                text not null,
  caller_namespace    text not null,
  subject             text not null,
  transaction_id      text not null,
  api_key             text not null,
  traceparent         text not null,
  params              text not null
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000,
        autovacuum_vacuum_cost_delay = 0, toast.autovacuum_vacuum_scale_factor = 0.02);
alter table queue alter column params set storage external;
-- Finds what a dead owner left, oldest first.
create index queue_of_owner on queue (owner, id);
`;
