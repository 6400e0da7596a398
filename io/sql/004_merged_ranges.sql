-- Ranges that the query service has merged, kept for an hour: a copy that may be lost at any time.
-- `parts` is a digest of the windows and revisions that were merged: with other ones it is stale.
create unlogged table merged_ranges (
  tenant_id text not null,
  event_type text not null,
  range_start timestamptz not null,
  range_end timestamptz not null,
  parts bytea not null,
  summary bytea not null,
  merged_at timestamptz not null default now(),
  primary key (tenant_id, event_type, range_start, range_end)
);
alter table merged_ranges alter column summary set storage external;
create index merged_ranges_by_age on merged_ranges (merged_at);
