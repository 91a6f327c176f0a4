export const feeds = `
-- What fires triggers by the clock, at most one per trigger, and goes with it. The schedule and the status are JSON text.
-- The key is sealed. next_ms is null when it does not fire any more or is paused.
create table alarms (
  namespace     text collate "C" not null,
  trigger_name  text collate "C" not null,
  id            uuid not null,
  key_uuid      text not null,
  subject       text not null,
  sealed_key    bytea not null,
  schedule      text not null,
  payload       text not null,
  status        text not null,
  fired         bigint not null,
  skips         bigint not null,
  last_ms       bigint,
  next_ms       bigint,
  revision      bigint not null,
  primary key (namespace, trigger_name),
  constraint alarms_trigger foreign key (namespace, trigger_name) references entities (namespace, name) on delete cascade
);
-- Finds what is due. Rows move in it with every firing.
create index alarms_due on alarms (next_ms) where next_ms is not null;

-- URLs that fire triggers, at most one per trigger. The secret that signs requests is sealed; null when none is asked for.
create table webhooks (
  namespace     text collate "C" not null,
  trigger_name  text collate "C" not null,
  id            uuid not null,
  key_uuid      text not null,
  subject       text not null,
  sealed_key    bytea not null,
  secret        bytea,
  status        text not null,
  revision      bigint not null,
  primary key (namespace, trigger_name),
  constraint webhooks_id unique (id),
  constraint webhooks_trigger foreign key (namespace, trigger_name) references entities (namespace, name) on delete cascade
);
`;
