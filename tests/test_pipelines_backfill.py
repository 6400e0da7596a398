"""Boards recomputed from the archive, beside a live job and without one."""
import dataclasses

import pytest
import redis

from leaderboard.io.redisio import RedisBoards
from leaderboard.pipelines import account, backfill, topk
from leaderboard.pipelines.checks import UsageError

SIZES = '--windows=1h,1d'


def boards_of(url):
  """{(tenant, type, size, start): record} of every board in Redis."""
  found, reader = {}, RedisBoards(url)
  with redis.Redis.from_url(url, decode_responses=True) as client:
    for key in client.scan_iter('topk:*:board', count=10_000):
      name, start, _ = key.rsplit(':', 2)
      tag, size = name.rsplit(':', 1)
      tenant, event_type = tag[len('topk:{'):-1].split(':')
      found[tenant, event_type, size, int(start)] = reader.read_board(
          tenant, event_type, size, int(start))
  reader.close()
  return found


@pytest.fixture
def streamed(sample_events, tmp_path, redis_url):
  """A live job's stores: the flags that name them."""
  flags = [f'--parquet={tmp_path}/parquet', f'--data_dir={tmp_path}', f'--redis={redis_url}', SIZES]
  topk.run([f'--input={sample_events}', '--streaming', '--replay_bytes=65536',
            '--out_of_orderness=30h', '--allowed_lateness=30h', *flags])
  return flags


RANGE = ['--from=2013-02-08', '--to=2013-02-11']


def test_backfill_makes_the_same_boards_in_the_next_generation(streamed, redis_url):
  before = boards_of(redis_url)
  report = backfill.run([*streamed, *RANGE])
  assert report.balanced and report.events_read
  after = boards_of(redis_url)
  inside = {board for board in before if board[3] < 1_360_540_800}
  assert inside and inside != before.keys()
  for board, record in before.items():
    assert after[board].generation == (board in inside)
    assert after[board].rows == record.rows and after[board].events == record.events
  assert sum(before[board].events for board in inside if board[2] == '1d') == report.events_read


@pytest.mark.slow
def test_account_of_the_stream_holds_after_a_backfill(streamed, capsys):
  backfill.run([*streamed, *RANGE])
  capsys.readouterr()
  report = account.run(streamed)
  assert report.balanced
  assert report.stores['redis'].recomputed and not report.stores['redis'].newer
  assert 'recomputed by a backfill' in capsys.readouterr().out


@pytest.mark.slow
def test_account_shows_what_a_backfill_lost(streamed, redis_url):
  backfill.run([*streamed, *RANGE])
  with redis.Redis.from_url(redis_url) as client:
    board = next(client.scan_iter('topk:*:1h:13603*:board'))
    client.hincrby(board, 'events', -1)
  assert not account.run(streamed).balanced


@pytest.mark.slow
def test_next_backfill_takes_the_next_generation(streamed, redis_url):
  for _ in range(2):
    assert backfill.run([*streamed, *RANGE]).balanced
  tenant, event_type, size, start = min(boards_of(redis_url), key=lambda board: board[3])
  reader = RedisBoards(redis_url)
  assert reader.read_board(tenant, event_type, size, start).generation == 2
  reader.close()


@pytest.mark.slow
def test_late_board_of_a_live_job_does_not_undo_a_backfill(streamed, redis_url):
  backfill.run([*streamed, *RANGE])
  after = boards_of(redis_url)
  board = min(after, key=lambda board: board[3])
  live = RedisBoards(redis_url)
  record = after[board]
  assert live.apply([dataclasses.replace(record, generation=0, events=record.events + 5)]) == [
      'older']
  live.close()


@pytest.mark.slow
def test_windows_that_may_still_change_are_refused(streamed):
  with pytest.raises(UsageError, match='--to: the live job may still change boards in redis'):
    backfill.run([*streamed, '--from=2013-02-08', '--to=2013-02-14'])


@pytest.mark.parametrize(('flags', 'problem'), [
    (['--from=2013-07-01T10:30', '--to=2013-07-02'],
     '--from: must be a start of a window of 1h, such as 2013-07-01T10:00:00Z'),
    (['--from=2013-07-01T10:00', '--to=2013-07-02'], '--from: must be a start of a window of 1d'),
    (['--from=2013-07-02', '--to=2013-07-01'], '--to: must be later than --from=2013-07-02'),
    (['--from=soon', '--to=2013-07-01'], '--from: must be a date or time'),
    (['--to=2013-07-02'], '--from: is required'),
    (['--from=2013-07-01', '--to=2013-07-02', '--streaming'], '--streaming: a backfill ends'),
    (['--from=2013-07-01', '--to=2013-07-02', '--sliding=1d/1h'], '--sliding: a sliding window'),
])
def test_wrong_ranges_are_named(tmp_path, flags, problem):
  with pytest.raises(UsageError, match=problem):
    backfill.parse([f'--parquet={tmp_path}', SIZES, *flags])


def test_archive_without_events_of_that_time_is_told_before_anything_runs(tmp_path):
  with pytest.raises(UsageError, match='--archive: .* holds no events from 1999'):
    backfill.run([f'--parquet={tmp_path}', SIZES, '--from=1999-07-01', '--to=1999-07-02'])


def test_archive_is_required(tmp_path):
  with pytest.raises(UsageError, match='--archive: is required'):
    backfill.parse([f'--data_dir={tmp_path}', *RANGE])
