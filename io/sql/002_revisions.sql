-- What the newest revision of a board changed: how many revisions it has had, the events that the
-- last one added and the items whose rank it changed. Unknown for boards from before.
alter table board_windows
  add column revisions int not null default 1,
  add column events_added bigint,
  add column ranks_moved int;

-- How long after the watermark of a job its boards may still change.
alter table job_state add column allowed_lateness_secs bigint not null default 0;
