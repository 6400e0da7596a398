"""A bad night: servers die, connections break, disks fill; the stores end as if it had not been."""
import dataclasses
import random
import subprocess
import sys
import threading

import psycopg
import pyarrow.parquet as pq
import pytest
import redis
from servers.crashes import PostgresCrash, kill_redis
from servers.proxy import Proxy

from leaderboard.io import embedded, postgresio, redisio
from leaderboard.io.archiveio import archived_folders, read_folder
from leaderboard.io.postgresio import PostgresBoards
from leaderboard.io.redisio import RedisBoards
from leaderboard.pipelines import flights, topk

START = 1_356_998_400


@pytest.fixture
def rounds(make_record):
  """Revisions of forty boards, each larger than the one before."""
  return [[make_record({f'i{item}': count + item + 1 for item in range(5)}, tenant_id=f't{board}',
                       summary=b'x' * 50) for board in range(40)] for count in range(12)]


def write_all(open_boards, batches):
  """Applies the batches in order, as one worker does; a bundle that failed is tried again."""
  boards = open_boards()
  for batch in batches:
    boards.apply(batch)
    boards.apply(batch)   # the runner did not hear that it was done
  boards.close()


def disturbed(open_boards, rounds, disturb):
  """Three writers at once, one of them from the newest revision to the oldest."""
  orders = [rounds, rounds[::-1], random.Random(5).sample(rounds, len(rounds))]
  failures = []

  def write(batches):
    try:
      write_all(open_boards, batches)
    except Exception as error:
      failures.append(error)

  writers = [threading.Thread(target=write, args=[order]) for order in orders]
  for writer in writers:
    writer.start()
  disturb(writers)
  for writer in writers:
    writer.join(120)
  assert failures == []


def breaking(proxy):
  """Breaks connections in every way, again and again, for some seconds."""
  rng = random.Random(11)

  def disturb(writers):
    for _ in range(40):
      choice = rng.randrange(4)
      if choice == 0:
        proxy.drop()
      elif choice == 1:
        proxy.cut_after = rng.randrange(1, 30_000)
      elif choice == 2:
        proxy.delay_secs = rng.choice([0, 0.005])
      else:
        with proxy.refusing():
          threading.Event().wait(0.05)
      writers[0].join(rng.uniform(0, 0.3))
    proxy.delay_secs = 0
    proxy.cut_after = None

  return disturb


def newest(boards, rounds):
  for record in rounds[-1]:
    found = boards.read_board(record.tenant_id, 'play', '1h', record.window_start)
    assert found == dataclasses.replace(record, summary=b'')


@pytest.mark.slow
def test_redis_behind_a_broken_line_ends_in_the_newest_boards(redis_url, rounds):
  address = redis.connection.parse_url(redis_url)
  with Proxy(address['port']) as proxy:
    url = redis_url.replace(str(address['port']), str(proxy.port))
    disturbed(lambda: RedisBoards(url), rounds, breaking(proxy))
  boards = RedisBoards(redis_url)
  newest(boards, rounds)
  boards.close()


@pytest.mark.slow
def test_postgres_behind_a_broken_line_ends_in_the_newest_boards(tmp_path, rounds):
  with embedded.start_postgres(tmp_path) as server:
    postgresio.migrate(server.url)
    with Proxy(str(tmp_path / 'postgres' / '.s.PGSQL.5432')) as proxy:
      dsn = f'postgresql://postgres@127.0.0.1:{proxy.port}/postgres?gssencmode=disable'
      disturbed(lambda: PostgresBoards(dsn), rounds, breaking(proxy))
    check_postgres(server.url, rounds)


def check_postgres(dsn, rounds):
  boards = PostgresBoards(dsn)
  newest(boards, rounds)
  boards.close()
  with psycopg.connect(dsn) as connection:
    assert connection.execute('select count(*) from board_windows').fetchone() == (40,)


@pytest.mark.slow
def test_postgres_restarted_in_the_middle_of_transactions_ends_in_the_newest_boards(
    tmp_path, rounds):
  with embedded.start_postgres(tmp_path) as server:
    postgresio.migrate(server.url)
    restarted = []

    def disturb(writers):
      for _ in range(3):
        writers[0].join(0.3)
        restarted.append(PostgresCrash(tmp_path / 'postgres').restart())

    disturbed(lambda: PostgresBoards(server.url), rounds, disturb)
    check_postgres(server.url, rounds)
  for process in restarted:
    process.wait(30)


@pytest.mark.slow
def test_redis_killed_and_restarted_while_a_job_runs_ends_whole(tmp_path, monkeypatch):
  events = tmp_path / 'events.jsonl'
  flights.write_flights(events, rows=8000)
  server = embedded.start_redis(tmp_path)
  port = int(server.url.split(':')[-1].split('/')[0])
  monkeypatch.setattr(embedded, '_free_port', lambda: port)
  servers, applied, apply = [server], [], RedisBoards.apply

  def apply_and_die(boards, records):
    applied.append(len(records))
    if len(applied) in (2, 5):   # in the middle: the reply of this one is lost with the server
      threading.Thread(target=apply, args=(boards, list(records))).start()
      kill_redis(server.url)
      threading.Timer(1, lambda: servers.append(embedded.start_redis(tmp_path))).start()
    return apply(boards, records)

  monkeypatch.setattr(RedisBoards, 'apply', apply_and_die)
  monkeypatch.setattr(redisio, '_FLUSH_BOARDS', 200)
  report = topk.run([f'--input={events}', '--windows=1m,1h,1d', f'--data_dir={tmp_path}',
                     f'--redis={server.url}'])
  # What the server had not yet put on its disk (a second of it) is gone, and the account says so;
  # running the job again mends it.
  if not report.balanced:
    report = topk.run([f'--input={events}', '--windows=1m,1h,1d', f'--data_dir={tmp_path}',
                       f'--redis={server.url}'])
  assert len(servers) == 3 and report.balanced
  assert report.events_counted + sum(report.events_rejected.values()) == report.events_read
  for each in servers[::-1]:
    each.stop()


LIMITED = """
import resource, signal, sys
from leaderboard.pipelines import flights, topk
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
sys.exit(topk.main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_disk_that_takes_no_more_leaves_no_half_file_and_the_next_run_mends_it(
    sample_events, tmp_path):
  root = tmp_path / 'parquet'
  flags = [f'--input={sample_events}', '--windows=1h', f'--parquet={root}',
           f'--data_dir={tmp_path}']
  done = subprocess.run([sys.executable, '-c', LIMITED, *flags], capture_output=True, text=True,
                        timeout=120)
  assert done.returncode == 1
  assert done.stderr.splitlines()[-1].startswith('topk: the job failed: ')
  assert 'File too large' in done.stderr.splitlines()[-1]
  assert list(root.rglob('*.part')) == []
  for path in root.rglob('*.parquet'):
    pq.ParquetFile(path).read()   # whole
  report = topk.run(flags)
  assert report.balanced
  archived = sum(len(block.data) for folder in archived_folders(str(root), START, 2 * START)
                 for block in read_folder(folder, START, 2 * START))
  assert archived == report.events_counted == 3459
