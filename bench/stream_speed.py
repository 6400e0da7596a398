"""Kafka -> Flink -> Redis on this machine: events a second, and the time from event to board.

    python bench/stream_speed.py                       # 4 million events, then three loads
    python bench/stream_speed.py --loads=              # how many events a second only
    python bench/stream_speed.py --rate=200000         # the loads are shares of this rate

A real broker, a Flink cluster, worker processes and Redis share the machine with the producer.

Rate: the topic is full when the job starts. From the account of the first block to the last board
in Redis of all window sizes, without the events of that block. What went before, from the
submission to the first account, is told apart. Beside it, in the same run, what one plain
confluent-kafka consumer reads that does nothing with the messages, 10,000 at a time and, as the job
does, 1,000 at a time. CPU seconds are those from the first account to the last board, by part.

Latency: a producer sends events of now. Of each event, from the moment at which it is handed to
the producer to the moment (of the clock of Redis) at which the board of its minute holds as many
events as were produced of it until then. The events of a board are in one partition, in order.

Every run ends with the accounts: each board of each size has the events that were produced of it.
"""
import argparse
import collections
import contextlib
import json
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

import apache_beam as beam
import numpy as np
import psutil
import pyarrow.compute as pc
import pyarrow.parquet as pq
import redis
import stream_load

ROOT = pathlib.Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / 'tests'))
from servers import flink, kafka, processes, workers  # noqa: E402   # the servers of the tests

from leaderboard.io import embedded, kafkaclient, ledgerio  # noqa: E402
from leaderboard.io.redisio import family  # noqa: E402
from leaderboard.pipelines import account, topk  # noqa: E402
from leaderboard.pipelines.jobs import parse  # noqa: E402

START_MS = 1_356_998_400_000   # 2013-01-01
SIZES = '1m,5m,1h,1d'
OUT_OF_ORDERNESS = '2s'
WARM_UP_SECS = 12
_PARTS = (('kafka.Kafka', 'broker'), ('TaskManagerRunner', 'task manager'),
          ('StandaloneSession', 'job manager'), ('FlinkJobServerDriver', 'job server'),
          ('sdk_worker', 'workers'), ('worker_pool', 'workers'), ('valkey', 'redis'),
          ('stream_load', 'producer'))


class Usage:
  """What each part of the machinery takes while the context lasts.

  Attributes:
    cpu_secs: {part: CPU seconds}.
    peak_mb: {part: most resident memory, MB}, shared pages counted in each process.
    history: (epoch ms, cpu_secs until then), twice a second.
  """

  def __enter__(self):
    self.cpu_secs, self.peak_mb, self.history = {}, {}, []
    self._parts = {}
    self._before, self._now = self._look(), {}
    self._ended = threading.Event()
    self._thread = threading.Thread(target=self._watch, daemon=True)
    self._thread.start()
    return self

  def __exit__(self, *_):
    self._ended.set()
    self._thread.join()
    self._take()

  def _watch(self):
    while not self._ended.wait(0.5):
      self._take()

  def _take(self):
    # Processes that end between two looks lose what they took since the last one.
    self._now.update(self._look())
    self.cpu_secs = collections.Counter()
    memory = collections.Counter()
    for pid, (part, cpu, resident, alive) in self._now.items():
      self.cpu_secs[part] += cpu - self._before.get(pid, (part, 0.0))[1]
      memory[part] += resident if alive else 0
    for part, resident in memory.items():
      self.peak_mb[part] = max(self.peak_mb.get(part, 0.0), resident / 1e6)
    self._now = {pid: (*told[:3], False) for pid, told in self._now.items()}
    self.history.append((time.time() * 1000, self.cpu_secs))

  def since(self, moment_ms):
    """CPU seconds from the look before a moment on."""
    before = [cpu for at, cpu in self.history if at <= moment_ms]
    return {part: secs - (before[-1][part] if before else 0.0)
            for part, secs in self.cpu_secs.items()}

  def _look(self):
    found = {}
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
      with contextlib.suppress(psutil.Error):
        command = ' '.join(process.cmdline())
        # Of a process that has ended no command is told any more.
        part = self._parts.setdefault(process.pid, next(
            (name for word, name in _PARTS if word in command), 'benchmark'))
        times = process.cpu_times()
        found[process.pid] = part, times.user + times.system, process.memory_info().rss, True
    return found


class Changes:
  """What Redis tells of its boards of one size: when each revision came, by its own clock.

  Attributes:
    boards: {(which of BOARDS, window start): (moments in epoch ms, events by then)}.
  """

  def __init__(self, url, size='1m'):
    found = collections.defaultdict(list)
    with redis.Redis.from_url(url, decode_responses=True) as client:
      for number, board in enumerate(stream_load.BOARDS):
        for at, change in client.xrange(f'{family(*board, size)}:changes'):
          found[number, int(change['start'])].append(
              (int(at.split('-')[0]), int(change['events'])))
    self.boards = {key: tuple(np.array(column) for column in zip(*changes, strict=True))
                   for key, changes in found.items()}


def counted(url, size):
  """Events of each of BOARDS in Redis: int64[boards]."""
  with redis.Redis.from_url(url, decode_responses=True) as client:
    keys = list(client.scan_iter(f'topk:*:{size}:*:board', count=10_000))
    pipeline = client.pipeline(transaction=False)
    for key in keys:
      pipeline.hget(key, 'events')
    found = collections.Counter()
    for key, events in zip(keys, pipeline.execute(), strict=True):
      found[key.rsplit(':', 3)[0]] += int(events)
  return np.array([found[family(*board, '')[:-1]] for board in stream_load.BOARDS])


def first_block(folder):
  """When a job wrote the account of its first block (epoch ms), and how many events that has."""
  accounts = pq.read_table(
      folder / ledgerio.ACCOUNTS, columns=['written_us', 'tenant_id', 'events'])
  blocks = accounts.filter(pc.is_null(accounts['tenant_id'])).sort_by('written_us')
  return blocks['written_us'][0].as_py() / 1000, blocks['events'][0].as_py()


def plain_rate(broker, topic, partitions, events, at_once):
  """Messages a second of one consumer that does nothing with them, with the reader's settings."""
  consumer = kafkaclient.open_consumer(broker.url, {}, None)
  kafkaclient.assign(consumer, {kafkaclient.Partition(topic, number): 0
                                for number in range(partitions)})
  read, began = 0, None
  while read < events:
    messages = consumer.consume(at_once, 0.2)
    if messages and began is None:
      began = time.monotonic()
      events -= len(messages)
    elif messages:
      read += sum(message.error() is None for message in messages)
  took = time.monotonic() - began
  consumer.close()
  return read / took


@contextlib.contextmanager
def running(args, broker, topic, cluster, pool, url, folder, *flags):
  """A job from the topic to Redis; its handle, and when it was submitted (epoch ms)."""
  job = parse([
      f'--kafka={broker.url}', f'--topics={topic}', f'--redis={url}', f'--data_dir={folder}',
      f'--windows={SIZES}', f'--out_of_orderness={OUT_OF_ORDERNESS}', '--idle=5s', *flags,
      *cluster.flags(args.parallelism, checkpoint_msec=args.checkpoint),
      *(pool.flags(args.workers) if args.workers else ()), *args.flags], 'bench')
  pipeline = beam.Pipeline(options=job.beam)
  topk.build(pipeline, job, 'bench', job.stores)
  submitted = time.time() * 1000
  result = pipeline.run()
  try:
    yield submitted
  except TimeoutError:
    for told in cluster.unfinished_jobs():
      print('\n'.join(told.failures), file=sys.stderr)
    raise
  finally:
    cluster.cancel_jobs()
    result.cancel()


def check(url, folder, produced):
  """Whether every board of every size holds what was produced of it, and the accounts agree."""
  with contextlib.redirect_stdout(sys.stderr):
    report = account.run([f'--redis={url}', f'--data_dir={folder}', f'--windows={SIZES}'])
  return (report.balanced and report.events_read == int(produced.sum())
          and report.events_too_late == 0 and not report.events_rejected
          and all((counted(url, size) == produced).all() for size in SIZES.split(',')))


def measure_rate(args, broker, cluster, pool, url, folder):
  topic = broker.create_topic(kafka.unique('full'), partitions=args.partitions)
  began = time.monotonic()
  produced = stream_load.fill(broker.url, topic, args.partitions, stream_load.draw(), args.events,
                              START_MS, args.minutes * 60_000)
  filling = args.events / (time.monotonic() - began)
  _say(f'filled: {filling:,.0f} events/s')
  plain, quick = (plain_rate(broker, topic, args.partitions, args.events, at_once)
                  for at_once in (10_000, 1_000))
  _say(f'plain consumer: {plain:,.0f} messages/s, {quick:,.0f} in small portions')
  with Usage() as usage, running(args, broker, topic, cluster, pool, url, folder,
                                 '--stop_at_end') as submitted:
    processes.wait_for('not all counted', lambda: counted(url, '1d').sum() == args.events, 300)
    # The last revision of any size; the last 1d board may have siblings on their way.
    processes.wait_for('not whole', lambda: all(
        counted(url, size).sum() == args.events for size in SIZES.split(',')), 60)
    state_bytes = _state_bytes(cluster)
  changes = {size: Changes(url, size) for size in SIZES.split(',')}
  first, already = first_block(folder)
  last = max(int(moments[-1]) for told in changes.values() for moments, _ in told.boards.values())
  return {
      'events': args.events, 'right': check(url, folder, produced), 'filled_per_sec': filling,
      'plain_consumer_per_sec': plain, 'plain_in_small_portions_per_sec': quick,
      'first_account_secs': (first - submitted) / 1000,
      'from_first_account_to_last_board_secs': (last - first) / 1000,
      'per_sec': (args.events - already) / ((last - first) / 1000),
      'boards': {size: len(told.boards) for size, told in changes.items()},
      'state_bytes': state_bytes,
      'cpu_secs': usage.since(first), 'start_cpu_secs': {
          part: usage.cpu_secs[part] - secs for part, secs in usage.since(first).items()},
      'peak_mb': usage.peak_mb}


def measure_latency(args, broker, cluster, pool, url, folder, rate):
  topic = broker.create_topic(kafka.unique('live'), partitions=args.partitions)
  ticks, rows, produced = [], [], np.zeros(len(stream_load.BOARDS), np.int64)
  with running(args, broker, topic, cluster, pool, url, folder, f'--early={args.early}'):
    for load in (None, *args.loads):
      wanted = int(rate * (load or 0.05))
      secs = args.secs if load else WARM_UP_SECS
      with Usage() as usage:
        moments, sent = _paced(broker, topic, wanted, secs, folder)
      ticks.append((moments, np.diff(sent, axis=0, prepend=0)))
      produced += sent[-1]
      try:
        # The warm-up waits for the job to start.
        total = int(produced.sum())
        processes.wait_for('behind', lambda total=total: counted(url, '1m').sum() >= total,
                           args.patience if load else 120)
      except TimeoutError:
        if not load:
          raise
      _say(f'load {load}: sent {int(sent[-1].sum()):,}, '
           f'{int(produced.sum() - counted(url, "1m").sum()):,} not seen')
      if load:
        rows.append({'load': load, 'wanted_per_sec': wanted,
                     'sent_per_sec': int(sent[-1].sum()) / secs,
                     'state_bytes_per_event': _state_bytes(cluster) / int(produced.sum()),
                     'cpu_secs': dict(usage.cpu_secs), 'peak_mb': usage.peak_mb})
    # The coarse sizes speak early more rarely: the end of the topic is not theirs.
    changes = Changes(url)
  for row, (waits, weights) in zip(rows, waits_of(changes, ticks)[1:], strict=True):
    row.update(seen=float(weights[np.isfinite(waits)].sum() / weights.sum()), **{
        f'p{share}_secs': percentile(waits, weights, share) for share in (50, 99)})
  return rows, bool((counted(url, '1m') == produced).all())


def _state_bytes(cluster):
  """The size of the newest checkpoint."""
  (told,) = cluster.unfinished_jobs()
  return told.checkpoints.state_bytes


def _paced(broker, topic, rate, secs, folder):
  folder.mkdir(parents=True, exist_ok=True)
  path = folder / 'ticks.npz'
  subprocess.run([sys.executable, str(ROOT / 'bench' / 'stream_load.py'), broker.url, topic,
                  str(rate), str(secs), str(path)], check=True)
  told = np.load(path)
  return told['moments'], told['sent']


def waits_of(changes, phases):
  """Of each phase: seconds from tick to board, and how many events waited so long."""
  before = collections.Counter()
  found = []
  for moments, sent in phases:
    waits, weights = [], []
    minutes = moments // 60_000 * 60
    for minute in np.unique(minutes).tolist():
      chosen = minutes == minute
      for number in range(len(stream_load.BOARDS)):
        ours = sent[chosen, number]
        totals = before[number, minute] + np.cumsum(ours)
        before[number, minute] = int(totals[-1])
        came, events = changes.boards.get((number, minute), (np.zeros(0), np.zeros(0)))
        places = np.searchsorted(events, totals)
        visible = np.append(came.astype(float), np.inf)[places]
        waits.append((visible - moments[chosen]) / 1000)
        weights.append(ours)
    found.append((np.concatenate(waits), np.concatenate(weights)))
  return found


def percentile(waits, weights, share):
  order = np.argsort(waits)
  place = np.searchsorted(np.cumsum(weights[order]), weights.sum() * share / 100)
  return float(waits[order][min(place, len(waits) - 1)])


def _say(text):
  print(text, file=sys.stderr, flush=True)


def show(rate, rows):
  if rate:
    print(f'\n{rate["events"]:,} events, boards {rate["boards"]}, every count right: '
          f'{rate["right"]}\n\n| | events/s | of the plain consumer |\n|---|---|---|')
    plain = rate['plain_consumer_per_sec']
    for name, per_sec in (('plain confluent-kafka consumer, 10,000 messages at a time', plain),
                          ('the same, 1,000 at a time', rate['plain_in_small_portions_per_sec']),
                          ('Kafka -> Flink -> Redis', rate['per_sec'])):
      print(f'| {name} | {per_sec:,.0f} | {per_sec / plain:.2f} |')
    print(f'\nfirst account {rate["first_account_secs"]:.1f} s after submission, then '
          f'{rate["from_first_account_to_last_board_secs"]:.1f} s to the last board; state '
          f'{rate["state_bytes"] / 1e6:.0f} MB\n')
    _show_usage(rate)
  if rows:
    print('\n| load | events/s | p50, s | p99, s | seen | state, bytes per event so far |\n'
          '|---|---|---|---|---|---|')
    for row in rows:
      print(f'| {row["load"]:.0%} | {row["sent_per_sec"]:,.0f} | {row["p50_secs"]:.2f} | '
            f'{row["p99_secs"]:.2f} | {row["seen"]:.1%} | {row["state_bytes_per_event"]:.1f} |')
    for row in rows:
      print(f'\n{row["load"]:.0%}:')
      _show_usage(row)


def _show_usage(row):
  print('| part | CPU s | peak MB |\n|---|---|---|')
  for part, secs in sorted(row['cpu_secs'].items(), key=lambda one: -one[1]):
    print(f'| {part} | {secs:.1f} | {row["peak_mb"].get(part, 0):,.0f} |')


def arguments(argv=None):
  parser = argparse.ArgumentParser(description=__doc__,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--events', type=int, default=4_000_000,
                      help='of 240 bytes in the full topic; 0: the rate is not measured')
  parser.add_argument('--minutes', type=int, default=5,
                      help='of event time that they span: boards and their rows cost too, and the '
                      'fewer events each has, the more')
  parser.add_argument('--partitions', type=int, default=4)
  parser.add_argument('--parallelism', type=int, default=2, help='of the job, in slots')
  parser.add_argument('--task_managers', type=int, default=1, help='that share the slots')
  parser.add_argument('--workers', type=int, default=2,
                      help='Python processes; 0: threads of this one (LOOPBACK)')
  parser.add_argument('--checkpoint', type=int, default=10_000, help='interval in ms')
  parser.add_argument('--loads', default='0.1,0.5,0.9',
                      type=lambda text: [float(part) for part in text.split(',') if part],
                      help='shares of the rate; empty: no latency is measured')
  parser.add_argument('--rate', type=int, help='events/s that the loads are shares of (default: '
                      'as measured)')
  parser.add_argument('--secs', type=int, default=40, help='how long each load lasts')
  parser.add_argument('--patience', type=int, default=20,
                      help='seconds that a load may take to be seen whole')
  parser.add_argument('--early', default='1s', help='of the job whose latency is measured')
  parser.add_argument('--json', metavar='FILE', help='writes the figures to this file too')
  parser.add_argument('flags', nargs='*', help='further flags of the job, behind --')
  return parser.parse_args(argv)


def main(argv=None):
  args = arguments(argv)
  rate, rows, right = None, [], True
  with tempfile.TemporaryDirectory(prefix='topk-speed-') as name, contextlib.ExitStack() as stack:
    folder = pathlib.Path(name)
    broker = stack.enter_context(kafka.Broker())
    cluster = stack.enter_context(flink.FlinkCluster(
        args.task_managers, args.parallelism // args.task_managers))
    pool = stack.enter_context(workers.WorkerPool())
    if args.events:
      with embedded.start_redis(folder / 'full') as store:
        rate = measure_rate(args, broker, cluster, pool, store.url, folder / 'full')
      right = rate['right']
    if args.loads:
      with embedded.start_redis(folder / 'live') as store:
        rows, whole = measure_latency(args, broker, cluster, pool, store.url, folder / 'live',
                                      args.rate or rate['per_sec'])
      right = right and whole
  show(rate, rows)
  if args.json:
    pathlib.Path(args.json).write_text(json.dumps({'rate': rate, 'latency': rows}, indent=2))
  return 0 if right else 1


if __name__ == '__main__':
  sys.exit(main())
