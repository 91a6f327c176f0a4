export const builds = `
-- How sources were built, by all that decides what comes out. What nobody asked for in a day is forgotten; artifacts that
-- revisions load stay with those.
create table builds (
  digest           text collate "C" primary key,
  artifact_digest  text collate "C",
  -- Build of internal/core/action/types.ts as JSON text.
  build            text not null,
  used_at          timestamptz not null default now(),
  constraint builds_artifact foreign key (artifact_digest) references code (digest)
);
create index builds_of_artifact on builds (artifact_digest) where artifact_digest is not null;
create index builds_by_use on builds (used_at);

-- Of actions that were built: how. The same text.
alter table entities add column build text;

-- Of revisions that load what was built: the source, which is kept as long.
alter table revisions
  add column source_digest text collate "C",
  add constraint revisions_source foreign key (source_digest) references code (digest);
create index revisions_of_source on revisions (source_digest) where source_digest is not null;
`;
