-- Boards, one row a board, partitioned by month of the window's start.
create table board_windows (
  tenant_id text not null,
  event_type text not null,
  window_size text not null,
  window_start timestamptz not null,
  window_end timestamptz not null,
  generation int not null,
  events bigint not null,
  total numeric not null,
  tau numeric not null,
  rest_upper numeric not null,
  epsilon double precision,
  delta double precision,
  resolution text not null,
  rows jsonb not null,               -- [[item, count, upper], ...] in rank order
  summary bytea not null,
  updated_at timestamptz not null default now(),
  primary key (tenant_id, event_type, window_size, window_start)
) partition by range (window_start);

-- With TimescaleDB a hypertable, which makes its own chunks, takes the place of the partitions.
do $$
begin
  if exists (select from pg_extension where extname = 'timescaledb') then
    alter table board_windows rename to partitioned;
    create table board_windows (like partitioned including all);
    drop table partitioned;
    perform create_hypertable('board_windows', 'window_start',
                              chunk_time_interval => interval '1 month');
  end if;
end $$;

-- Summaries are deflated already: compressing them again costs time and saves nothing.
alter table board_windows alter column summary set storage external;

create index board_windows_by_size on board_windows (window_size, window_start);

-- The classic shape of a leaderboard table.
create view leaderboard as
select tenant_id, event_type, window_size as time_window, window_start, ks.k as k_value,
  (select jsonb_agg(jsonb_build_object('rank', rank, 'item', entry -> 0, 'count', entry -> 1,
                                       'upper', entry -> 2) order by rank)
   from jsonb_array_elements(rows) with ordinality as listed (entry, rank)
   where rank <= ks.k) as rankings,
  updated_at as created_at
from board_windows cross join (values (10), (50), (100)) as ks (k);

-- What event types mean and how they are kept.
create table event_types (
  tenant_id text not null,
  event_type text not null,
  description text,
  json_schema jsonb,
  item_path text not null default 'item_id',
  retention_days int check (retention_days > 0),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (tenant_id, event_type)
);

-- Watermark and accounts of running jobs.
create table job_state (
  job text primary key,
  watermark timestamptz,
  accounts jsonb not null default '{}',
  updated_at timestamptz not null default now()
);
