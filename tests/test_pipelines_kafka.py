"""Kafka to the stores, through the main job: every event once, whatever dies on the way."""
import collections
import json
import subprocess
import sys

import apache_beam as beam
import numpy as np
import pytest
import redis
from servers import kafka, processes

from leaderboard.io import kafkaclient
from leaderboard.io.archiveio import archived_folders, read_folder
from leaderboard.io.kafkaclient import Partition
from leaderboard.io.postgresio import PostgresBoards
from leaderboard.io.redisio import RedisBoards
from leaderboard.pipelines import account, backfill, topk
from leaderboard.pipelines.checks import UsageError
from leaderboard.pipelines.jobs import parse
from leaderboard.transforms.boards import parse_window_sizes

START = 1_356_998_400   # 2013-01-01
HOURS = 6
SIZES = parse_window_sizes('10m,1h')
TENANTS, ITEMS = 2, 3000
GARBAGE_EVERY = 20_000


@pytest.fixture
def topic(broker):
  return broker.create_topic(kafka.unique('events'), partitions=4)


class Events:
  """So many events per partition, in order of arrival and a second or two out of order.

  Those of the third partition are an hour late in arriving; of each 20,000 one is garbage.

  Attributes:
    boards: what must come of them: {size label: {board: {item: count}}}.
    rejected: garbage.
  """

  def __init__(self, counts):
    self._partitions = []
    self.boards = {size.label: collections.defaultdict(collections.Counter) for size in SIZES}
    self.rejected = 0
    for partition, count in enumerate(counts):
      rng = np.random.default_rng(partition)
      arrivals = np.sort(rng.integers(0, HOURS * 3600, count))
      seconds = START + np.maximum(0, arrivals - rng.integers(0, 3, count))
      items = np.minimum(rng.zipf(1.3, count), ITEMS)
      tenants = rng.integers(0, TENANTS, count)
      bad = np.arange(count) % GARBAGE_EVERY == 7
      skew = 3600 if partition == 2 else 0
      self._partitions.append([column.tolist() for column in (
          bad, tenants, items, seconds * 1000, (START + arrivals + skew) * 1000)])
      self.rejected += int(bad.sum())
      for size in SIZES:
        cells = np.stack([tenants, seconds - seconds % size.secs, items])[:, ~bad]
        found, times = np.unique(cells, axis=1, return_counts=True)
        for (tenant, start, item), number in zip(found.T.tolist(), times.tolist(), strict=True):
          self.boards[size.label][f't{tenant}', 'play', start][f'song{item}'] += number

  @property
  def counted(self):
    return sum(counts.total() for counts in self.boards['1h'].values())

  def produce(self, broker, topic, part=0, parts=1):
    """Writes one of several equal parts, the first arrivals first."""
    for partition, columns in enumerate(self._partitions):
      count = len(columns[0])
      if not count:
        continue
      chosen = slice(count * part // parts, count * (part + 1) // parts)
      bad, tenants, items, times, arrivals = (column[chosen] for column in columns)
      values = (
          b'{"event_type": garbage' if wrong else
          b'{"event_type":"play","tenant_id":"t%d","item_id":"song%d","timestamp":%d}'
          % (tenant, item, time)
          for wrong, tenant, item, time in zip(bad, tenants, items, times, strict=True))
      broker.produce(topic, values, partition, arrivals)


def counted(url):
  """Events of the coarsest boards in Redis."""
  with redis.Redis.from_url(url) as client:
    keys = list(client.scan_iter('topk:*:1h:*:board', count=10_000))
    return sum(int(client.hget(key, 'events') or 0) for key in keys)


def check_stores(exact, redis_url, postgres_dsn):
  """Asserts that both stores hold every board exactly."""
  for store in (RedisBoards(redis_url), PostgresBoards(postgres_dsn)):
    for size in SIZES:
      revisions = store.revisions(size.label, list(exact[size.label]))
      assert {board: events for board, (_, events) in revisions.items()} == {
          board: counts.total() for board, counts in exact[size.label].items()}
      for board, counts in exact[size.label].items():
        record = store.read_board(*board[:2], size.label, board[2])
        assert {row.item: row.count for row in record.rows} == dict(counts)
        assert all(row.count == row.upper for row in record.rows)
    store.close()


def archived(root):
  """Events in the archive, each origin once."""
  return sum(len(block.data) for folder in archived_folders(root, START, START + 86_400)
             for block in read_folder(folder, START, START + 86_400))


# The processes of the task manager are gone while the calls of its Python workers are under way.
@pytest.mark.filterwarnings('ignore::pytest.PytestUnhandledThreadExceptionWarning')
@pytest.mark.slow
def test_two_million_events_on_flink_into_three_stores_disturbed_twice(
    broker, topic, flink_cluster, redis_url, postgres_dsn, tmp_path):
  events = Events((900_000, 600_000, 500_000, 0))
  assert events.counted + events.rejected == 2_000_000
  stores = [f'--redis={redis_url}', f'--postgres={postgres_dsn}', f'--parquet={tmp_path}',
            '--windows=10m,1h']

  def begin(*flags):
    job = parse([f'--kafka={broker.url}', f'--topics={topic}', '--idle=2s', '--early=1s',
                 '--out_of_orderness=10s', '--allowed_lateness=2m', '--keep=3000', *stores, *flags,
                 *flink_cluster.flags(2, checkpoint_msec=500)], 'test')
    pipeline = beam.Pipeline(options=job.beam)
    topk.build(pipeline, job, kafka.unique('run'), job.stores)
    result = pipeline.run()
    (told,) = processes.wait_for('not submitted', flink_cluster.unfinished_jobs, 60)
    return result, told

  events.produce(broker, topic, 0, 3)
  _, told = begin()
  processes.wait_for('nothing counted', lambda: counted(redis_url), 90)
  before = told.checkpoints.completed
  processes.wait_for('no checkpoint', lambda: told.checkpoints.completed > before, 60)
  at_kill = counted(redis_url)
  flink_cluster.kill_task_manager()
  events.produce(broker, topic, 1, 3)
  flink_cluster.start_task_manager()
  processes.wait_for('not restored', lambda: told.checkpoints.restored and told.running, 60)
  processes.wait_for('no progress', lambda: counted(redis_url) > at_kill, 90)
  reader = RedisBoards(redis_url)
  processes.wait_for('no hour is over', lambda: SIZES[-1].start(
      reader.final_until() or START) > START, 90)
  until = reader.final_until()
  reader.close()
  assert told.checkpoints.restored == 1
  flink_cluster.cancel_jobs()
  at_stop = counted(redis_url)
  assert 0 < at_kill < at_stop < events.counted   # both in the middle

  # A fresh job, without a checkpoint, from the oldest window that may still be open.
  oldest = SIZES[-1].start(until)
  assert oldest > START
  events.produce(broker, topic, 2, 3)
  result, _ = begin(f'--kafka_start={np.datetime64(oldest, "s")}Z', '--stop_at_end')
  processes.wait_for('not all counted', lambda: counted(redis_url) == events.counted, 180)
  report = processes.wait_for('the account does not hold', lambda: balanced(stores), 60)
  result.cancel()
  check_stores(events.boards, redis_url, postgres_dsn)
  assert (report.events_read, report.events_too_late) == (2_000_000, 0)
  assert report.events_rejected == {'malformed_json': events.rejected}
  assert archived(str(tmp_path)) == events.counted


@pytest.mark.filterwarnings('ignore::pytest.PytestUnhandledThreadExceptionWarning')
@pytest.mark.slow
def test_readers_that_run_apart_in_event_time_lose_nothing(
    broker, topic, flink_cluster, redis_url, postgres_dsn, tmp_path):
  # Four readers on two slots; that of the first partition is hours behind the others for long.
  events = Events((400_000, 20_000, 90_000, 0))
  events.produce(broker, topic)
  stores = [f'--redis={redis_url}', f'--postgres={postgres_dsn}', f'--data_dir={tmp_path}',
            '--windows=10m,1h']
  job = parse([f'--kafka={broker.url}', f'--topics={topic}', '--kafka_readers=4', '--stop_at_end',
               '--out_of_orderness=10s', '--keep=3000', *stores,
               *flink_cluster.flags(2, checkpoint_msec=500)], 'test')
  pipeline = beam.Pipeline(options=job.beam)
  topk.build(pipeline, job, 'test', job.stores)
  result = pipeline.run()
  processes.wait_for('not all counted', lambda: counted(redis_url) == events.counted, 180)
  report = processes.wait_for('the account does not hold', lambda: balanced(stores), 60)
  (told,) = flink_cluster.unfinished_jobs()
  # Both slots read: each has two readers, and one partition of four is empty.
  processes.wait_for('not both slots read', lambda: all(told.sent('CountEvents')), 30)
  result.cancel()
  check_stores(events.boards, redis_url, postgres_dsn)
  assert (report.events_read, report.events_too_late) == (510_000, 0)


@pytest.mark.filterwarnings('ignore::pytest.PytestUnhandledThreadExceptionWarning')
@pytest.mark.slow
def test_backfill_beside_a_live_job_changes_no_count(
    broker, topic, flink_cluster, redis_url, tmp_path):
  events = Events((60_000, 40_000, 0, 0))
  stores = [f'--redis={redis_url}', f'--parquet={tmp_path}', '--windows=10m,1h', '--keep=3000']
  job = parse([f'--kafka={broker.url}', f'--topics={topic}', '--idle=2s', '--out_of_orderness=10s',
               *stores, *flink_cluster.flags(1, checkpoint_msec=500)], 'test')
  pipeline = beam.Pipeline(options=job.beam)
  topk.build(pipeline, job, 'live', job.stores)
  events.produce(broker, topic, 0, 2)
  result = pipeline.run()
  reader = RedisBoards(redis_url)
  processes.wait_for('no watermark', lambda: (reader.final_until() or 0) >= START + 2 * 3600, 120)
  with pytest.raises(UsageError, match='--to: the live job may still change boards in redis'):
    backfill.run([*stores, '--from=2013-01-01T00:00', '--to=2013-01-01T05:00'])
  events.produce(broker, topic, 1, 2)   # the live job goes on meanwhile
  # A process of its own, as in life: the live job's worker runs in this one.
  subprocess.run([sys.executable, '-m', 'leaderboard.pipelines.backfill', *stores,
                  '--from=2013-01-01T00:00', '--to=2013-01-01T02:00'], check=True, timeout=120)
  closed = {board: counts.total() for board, counts in events.boards['1h'].items()
            if board[2] < START + 5 * 3600}
  processes.wait_for('not all counted', lambda: {
      board: count for board, (_, count) in reader.revisions('1h', list(closed)).items()
  } == closed, 120)
  assert {board: generation for board, (generation, _) in reader.revisions(
      '1h', list(closed)).items()} == {
          board: int(board[2] < START + 2 * 3600) for board in closed}
  reader.close()
  result.cancel()


@pytest.mark.slow
def test_broker_that_is_killed_while_a_job_reads_loses_nothing(redis_url, postgres_dsn, tmp_path):
  with kafka.Broker() as own:
    topic = own.create_topic('events', partitions=4)
    events = Events((400_000, 300_000, 100_000, 0))
    events.produce(own, topic)
    stores = [f'--redis={redis_url}', f'--postgres={postgres_dsn}', f'--data_dir={tmp_path}',
              '--windows=10m,1h']
    job = subprocess.Popen(
        [sys.executable, '-m', 'leaderboard.pipelines.topk', f'--kafka={own.url}',
         f'--topics={topic}', '--stop_at_end', '--out_of_orderness=10s', '--keep=3000', *stores],
        stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    processes.wait_for('no account', lambda: list(tmp_path.glob('accounts/*.parquet')), 60)
    own.kill()
    own.start()
    assert job.wait(120) == 0
  report = account.run(stores)
  assert report.balanced and report.events_read == 800_000
  check_stores(events.boards, redis_url, postgres_dsn)


def balanced(stores):
  report = account.run(stores)
  return report if report.balanced else None


@pytest.mark.slow
def test_catching_up_and_ending_equals_the_exact_answer(
    broker, topic, redis_url, postgres_dsn, tmp_path):
  dead = broker.create_topic(kafka.unique('dead'))
  events = Events((9000, 60_000, 5000, 0))
  events.produce(broker, topic)
  report = topk.run([
      f'--kafka={broker.url}', f'--topics={topic}', '--stop_at_end', '--windows=10m,1h',
      '--out_of_orderness=10s', '--keep=3000', f'--redis={redis_url}',
      f'--postgres={postgres_dsn}', f'--data_dir={tmp_path}', f'--dead_letters={dead}'])
  assert report.balanced
  assert (report.events_read, report.events_too_late) == (74_000, 0)
  assert report.events_rejected == {'malformed_json': events.rejected}
  check_stores(events.boards, redis_url, postgres_dsn)
  consumer = kafkaclient.open_consumer(broker.url, {}, None)
  assert kafkaclient.bounds(consumer, Partition(dead, 0)) == (0, events.rejected)
  consumer.close()


@pytest.mark.slow
def test_backfill_from_a_topic_makes_the_boards_of_its_time(broker, topic, redis_url, tmp_path):
  events = Events((2000, 0, 3000, 0))
  events.produce(broker, topic)
  flags = [f'--kafka={broker.url}', f'--topics={topic}', '--windows=10m,1h', '--keep=3000',
           f'--redis={redis_url}', f'--data_dir={tmp_path}']
  topk.run([*flags, '--stop_at_end', '--out_of_orderness=2h'])
  report = backfill.run([*flags, '--from=2013-01-01T01:00', '--to=2013-01-01T03:00'])
  inside = {board: counts.total() for board, counts in events.boards['1h'].items()
            if START + 3600 <= board[2] < START + 3 * 3600}
  assert report.balanced and report.events_read == sum(inside.values())
  store = RedisBoards(redis_url)
  assert store.revisions('1h', list(events.boards['1h'])) == {
      board: (int(board in inside), counts.total())
      for board, counts in events.boards['1h'].items()}
  store.close()
  assert account.run(['--windows=10m,1h', f'--redis={redis_url}', f'--data_dir={tmp_path}']
                     ).balanced


@pytest.mark.parametrize(('flags', 'problem'), [
    (['--kafka=localhost:1'], '--topics: is required'),
    (['--kafka=localhost:1', '--topics=^('], '--topics: must be a regular expression'),
    (['--kafka=localhost:1', '--topics=a', '--kafka_start=soon'],
     '--kafka_start: must be earliest, latest or committed, or a moment'),
    (['--kafka=localhost:1', '--topics=a', '--kafka_start=committed'],
     '--kafka_start: committed offsets are those of a --kafka_group'),
    (['--kafka=localhost:1', '--topics=a', '--input=x'],
     '--kafka: one source at a time; got --input=x too'),
    (['--kafka=localhost:1', '--topics=a', '--kafka_readers=2', '--runner=PrismRunner'],
     '--kafka_readers: Prism takes the watermark of one reader for that of all'),
    (['--topics=a'], '--topics: goes with --kafka'),
    (['--kafka=localhost:1', '--topics=a', '--kafka_config=/nowhere'], '--kafka_config: .*nowhere'),
])
def test_wrong_flags_are_named(flags, problem, tmp_path):
  with pytest.raises(UsageError, match=problem):
    parse([f'--data_dir={tmp_path}', '--preflight=off', *flags], 'test')


def test_settings_of_the_client_come_from_a_file(tmp_path):
  path = tmp_path / 'client.properties'
  path.write_text('# TLS\nsecurity.protocol=SSL\nssl.ca.location = /etc/ca.pem\n\n')
  job = parse(['--kafka=localhost:1', '--topics=a', f'--kafka_config={path}',
               '--preflight=off', f'--data_dir={tmp_path}'], 'test')
  assert job.source.config == {'security.protocol': 'SSL', 'ssl.ca.location': '/etc/ca.pem'}
  path.write_text('group.id=mine')
  with pytest.raises(UsageError, match='--kafka_config: group.id is set by the job itself'):
    parse(['--kafka=localhost:1', '--topics=a', f'--kafka_config={path}', '--preflight=off'],
          'test')


def secured(broker, path, password):
  path.write_text(f'security.protocol=SASL_SSL\nsasl.mechanism=PLAIN\n'
                  f'sasl.username={kafka.USER}\nsasl.password={password}\n'
                  f'ssl.ca.location={broker.certificate}\n')
  return f'--kafka_config={path}'


@pytest.mark.slow
def test_broker_that_asks_for_tls_and_a_user_is_read(
    broker, topic, redis_url, tmp_path, monkeypatch):
  monkeypatch.setenv('BROKER_PASSWORD', kafka.PASSWORD)
  events = Events((300, 200, 0, 0))
  events.produce(broker, topic)
  report = topk.run([
      f'--kafka={broker.secure_url}', f'--topics={topic}', '--stop_at_end', '--windows=10m,1h',
      '--out_of_orderness=10s', f'--redis={redis_url}', f'--data_dir={tmp_path}',
      secured(broker, tmp_path / 'client.properties', 'env:BROKER_PASSWORD')])
  assert report.balanced and report.events_counted == events.counted


@pytest.mark.slow
def test_wrong_password_is_one_line_without_it(broker, topic, tmp_path, capsys, monkeypatch):
  monkeypatch.setattr(kafkaclient, '_CHECK_SECS', 2)
  assert topk.main([f'--kafka={broker.secure_url}', f'--topics={topic}', f'--data_dir={tmp_path}',
                    secured(broker, tmp_path / 'client.properties', 'guessed')]) == 2
  (line,) = capsys.readouterr().err.splitlines()
  assert line.startswith('topk: --kafka: ') and 'security settings' in line
  assert 'guessed' not in line


def test_topic_that_is_not_there_is_told_before_anything_runs(broker, tmp_path, capsys):
  assert topk.main([f'--kafka={broker.url}', '--topics=nowhere', f'--data_dir={tmp_path}']) == 2
  assert capsys.readouterr().err == (
      "topk: --kafka: there is no topic 'nowhere', or this user may not read it; create it "
      'first\n')


def test_message_times_are_told_in_the_formats_of_files(broker, redis_url, tmp_path):
  topic = broker.create_topic(kafka.unique('rfc'))
  broker.produce(topic, [json.dumps({'event_type': 'play', 'item_id': 'x', 'timestamp':
                                     '2013-01-01T00:00:05Z'}).encode()])
  report = topk.run([f'--kafka={broker.url}', f'--topics={topic}', '--stop_at_end',
                     '--timestamp_format=rfc3339', '--windows=1h', f'--redis={redis_url}',
                     f'--data_dir={tmp_path}'])
  assert report.balanced and report.events_ranked == 1
