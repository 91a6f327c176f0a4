export const subjects = `
-- When a key that was replaced stops working; null for a key that stays.
alter table keys add column expires_ms bigint;
-- Serves lists of subjects, and finds the keys of one.
create index keys_of_subject on keys (subject collate "C", namespace, created_ms desc, uuid);

-- Subjects whose keys are refused.
create table blocked_subjects (
  subject     text collate "C" primary key,
  blocked_ms  bigint not null
);

-- Keys that parameters were sealed with, each with an envelope to know it again by. The keys themselves are in the
-- settings of controllers. A sealed parameter has the id of its key as a fourth element of its entry in entities and
-- revisions, and an envelope in base64 as its value.
create table parameter_keys (
  id           text collate "C" primary key,
  check_bytes  bytea not null
);
`;
