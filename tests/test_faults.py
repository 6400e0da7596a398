"""A bad night: servers die, connections break, disks fill; the stores end as if it had not been."""
import contextlib
import dataclasses
import random
import signal
import subprocess
import sys
import threading

import psycopg
import pyarrow.parquet as pq
import pytest
import redis
from playback import stored_boards
from servers import processes
from servers.crashes import PostgresCrash, kill_redis
from servers.proxy import Proxy

from leaderboard.io import embedded, postgresio, redisio
from leaderboard.io.archiveio import archived_folders, read_folder
from leaderboard.io.archiveviews import open_archive
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


@contextlib.contextmanager
def restarted_servers():
  """The servers that a crash brought, which are ended on the way out."""
  restarted = []
  try:
    yield restarted
  finally:
    for process in restarted:
      process.send_signal(signal.SIGINT)   # a fast shutdown; no one where it is gone
    for process in restarted:
      process.wait(60)


@pytest.mark.slow
def test_postgres_restarted_in_the_middle_of_transactions_ends_in_the_newest_boards(
    tmp_path, rounds):
  with embedded.start_postgres(tmp_path) as server, restarted_servers() as restarted:
    postgresio.migrate(server.url)

    def disturb(writers):
      for _ in range(3):
        writers[0].join(0.3)
        restarted.append(PostgresCrash(tmp_path / 'postgres').restart())

    disturbed(lambda: PostgresBoards(server.url), rounds, disturb)
    check_postgres(server.url, rounds)


class Night:
  """One job on stores of its own, and what it leaves in them; run as often as it takes."""

  def __init__(self, events, folder):
    self.folder = folder
    self._flags = [f'--input={events}', '--windows=1m,1h,1d', f'--data_dir={folder}',
                   f'--parquet={folder}/parquet']

  def run(self, redis_url, postgres_dsn):
    """The account of a run that held, at the latest the second."""
    flags = [*self._flags, f'--redis={redis_url}', f'--postgres={postgres_dsn}']
    report = topk.run(flags)
    # What a killed Redis had not yet put on its disk (a second of it) is gone, and the account says
    # so; running the job again mends it.
    if not report.balanced:
      report = topk.run(flags)
    assert report.balanced
    assert report.events_counted + sum(report.events_rejected.values()) == report.events_read
    return report

  def left(self, redis_url, postgres_dsn):
    """Every board of both stores, and how many events the archive has."""
    archive = open_archive(f'{self.folder}/parquet')
    ((archived, distinct),) = archive.sql(
        'select count(*), count(distinct (source, partition, "offset")) from read_parquet('
        f"'{self.folder}/parquet/events/*/*/*/*.parquet', hive_partitioning = false)").fetchall()
    archive.close()
    assert archived == distinct   # nothing twice
    with psycopg.connect(postgres_dsn) as connection:
      history = connection.execute(
          'select tenant_id, event_type, window_size, window_start, generation, events, total, '
          'tau, rest_upper, resolution, rows, summary from board_windows').fetchall()
    return archived, stored_boards(redis_url), {row[:4]: row[4:] for row in history}


@pytest.fixture(scope='module')
def flights_of_days(tmp_path_factory):
  path = tmp_path_factory.mktemp('events') / 'events.jsonl'
  flights.write_flights(path, rows=8000)
  return path


@pytest.fixture(scope='module')
def undisturbed(flights_of_days, tmp_path_factory):
  """What a quiet night leaves: (account, stores)."""
  folder = tmp_path_factory.mktemp('quiet')
  with embedded.start_redis(folder) as cache, embedded.start_postgres(folder) as database:
    night = Night(flights_of_days, folder)
    report = night.run(cache.url, database.url)
    return report, night.left(cache.url, database.url)


def check_as_undisturbed(night, report, redis_url, postgres_dsn, undisturbed):
  quiet, left = undisturbed
  assert (report.events_read, report.events_counted, report.events_rejected) == (
      quiet.events_read, quiet.events_counted, quiet.events_rejected)
  assert night.left(redis_url, postgres_dsn) == left


@pytest.mark.slow
def test_job_whose_redis_is_killed_and_restarted_ends_as_an_undisturbed_one(
    flights_of_days, undisturbed, postgres_dsn, tmp_path, monkeypatch):
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
  night = Night(flights_of_days, tmp_path)
  report = night.run(server.url, postgres_dsn)
  assert len(servers) == 3
  check_as_undisturbed(night, report, server.url, postgres_dsn, undisturbed)
  for each in servers[::-1]:
    each.stop()


@pytest.mark.slow
def test_job_whose_postgres_is_restarted_ends_as_an_undisturbed_one(
    flights_of_days, undisturbed, redis_url, tmp_path, monkeypatch):
  applied, apply = [], PostgresBoards.apply

  def apply_and_restart(boards, records):
    applied.append(len(records))
    if len(applied) in (2, 5):
      # The server goes while this write is under way.
      threading.Timer(0.02, lambda: restarted.append(
          PostgresCrash(tmp_path / 'postgres').restart())).start()
    return apply(boards, records)

  monkeypatch.setattr(PostgresBoards, 'apply', apply_and_restart)
  monkeypatch.setattr(postgresio, '_FLUSH_BOARDS', 200)
  night = Night(flights_of_days, tmp_path)
  with embedded.start_postgres(tmp_path) as server, restarted_servers() as restarted:
    report = night.run(redis_url, server.url)
    processes.wait_for('not restarted', lambda: len(restarted) == 2, 60)
    check_as_undisturbed(night, report, redis_url, server.url, undisturbed)


@pytest.mark.slow
def test_job_behind_broken_lines_ends_as_an_undisturbed_one(
    flights_of_days, undisturbed, redis_url, tmp_path, monkeypatch):
  monkeypatch.setattr(redisio, '_FLUSH_BOARDS', 100)
  monkeypatch.setattr(postgresio, '_FLUSH_BOARDS', 100)
  night = Night(flights_of_days, tmp_path)
  address = redis.connection.parse_url(redis_url)
  with (embedded.start_postgres(tmp_path) as server, Proxy(address['port']) as cache_line,
        Proxy(str(tmp_path / 'postgres' / '.s.PGSQL.5432')) as database_line):
    over, started = threading.Event(), []

    def disturb(proxy):
      waiter = threading.Thread(target=over.wait)
      waiter.start()
      while not over.is_set():
        breaking(proxy)([waiter])

    # From the first write to the last: what is checked before and read after is not tried again.
    def first(apply):
      def apply_and_break(boards, records):
        if not started:
          for proxy in (cache_line, database_line):
            started.append(threading.Thread(target=disturb, args=[proxy]))
            started[-1].start()
        return apply(boards, records)
      return apply_and_break

    def quiet_again(*args):
      over.set()
      for line in started:
        line.join()
      return close_account(*args)

    close_account = topk.close_account
    monkeypatch.setattr(RedisBoards, 'apply', first(RedisBoards.apply))
    monkeypatch.setattr(PostgresBoards, 'apply', first(PostgresBoards.apply))
    monkeypatch.setattr(topk, 'close_account', quiet_again)
    try:
      report = night.run(
          redis_url.replace(str(address['port']), str(cache_line.port)),
          f'postgresql://postgres@127.0.0.1:{database_line.port}/postgres?gssencmode=disable')
    finally:
      over.set()
    assert started
    check_as_undisturbed(night, report, redis_url, server.url, undisturbed)


LIMITED = """
import resource, signal, sys
from leaderboard.pipelines import flights, topk
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
sys.exit(topk.main(sys.argv[2:]))
"""


@pytest.mark.slow
def test_disk_that_takes_no_more_leaves_no_half_file_and_the_next_run_mends_it(
    sample_events, tmp_path):
  root = tmp_path / 'parquet'
  flags = [f'--input={sample_events}', '--windows=1h', f'--parquet={root}',
           f'--data_dir={tmp_path}']
  done = subprocess.run([sys.executable, '-c', LIMITED, '20000', *flags], capture_output=True,
                        text=True, timeout=120)
  assert done.returncode == 1
  told = done.stderr.splitlines()[-1]
  assert told.startswith(f'topk: the job failed: --parquet: {root}/')
  assert ' is full; make room and run it again (File too large' in told
  assert list(root.rglob('*.part')) == []
  for path in root.rglob('*.parquet'):
    pq.ParquetFile(path).read()   # whole
  report = topk.run(flags)
  assert report.balanced
  archived = sum(len(block.data) for folder in archived_folders(str(root), START, 2 * START)
                 for block in read_folder(folder, START, 2 * START))
  assert archived == report.events_counted == 3459


@pytest.mark.slow
def test_disk_that_has_no_room_for_postgres_is_told_in_one_line(sample_events, tmp_path):
  done = subprocess.run(
      [sys.executable, '-c', LIMITED, '500000', f'--input={sample_events}', '--windows=1h',
       f'--data_dir={tmp_path}', '--postgres=embedded'],
      capture_output=True, text=True, timeout=120)
  (told,) = done.stderr.splitlines()
  assert told.startswith(f"topk: --postgres: PostgreSQL did not start on '{tmp_path}/postgres': ")
  assert told.endswith('; its disk is full; make room and run it again') and done.returncode == 2


@pytest.mark.slow
def test_disk_that_has_no_room_for_redis_is_told_in_one_line(sample_events, tmp_path, capsys):
  flags = [f'--input={sample_events}', '--windows=1h', f'--data_dir={tmp_path}']
  with embedded.start_redis(tmp_path) as server, redis.Redis.from_url(server.url) as client:
    client.config_set('appendonly', 'no')
    # What the server opens next to append to; every write to it finds no room.
    (tmp_path / 'redis' / 'appendonlydir' / 'temp-appendonly.aof.incr').symlink_to('/dev/full')
    client.config_set('appendonly', 'yes')
    for store, code, told in (
        ('embedded', 1, f'the job failed: --data_dir: {tmp_path}/redis is full; make room'),
        (server.url, 2, f'--redis: the disk of Redis at {server.url} is full; make room')):
      assert topk.main([*flags, f'--redis={store}']) == code
      last = capsys.readouterr().err.splitlines()[-1]
      assert last.startswith(f'topk: {told} and run it again (')
      assert 'Errors writing to the AOF file: No space left on device' in last
