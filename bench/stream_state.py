"""State, CPU and firings of many live boards on a real Flink cluster, as a simulated day passes.

    python bench/stream_state.py                # 1,000 boards, 24 hours: about 8 minutes
    python bench/stream_state.py --boards=100 --hours=6

A replayed stream with late events goes through the main job into Redis, with checkpoints. Every
simulated hour is told: bounded is what does not grow with the hours behind it. Of a level, the
firings per board tell how often it was published.
"""
import argparse
import collections
import json
import os
import pathlib
import random
import sys
import tempfile
import time

import apache_beam as beam
import redis

ROOT = pathlib.Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / 'tests'))
from servers import flink, processes  # noqa: E402   # the cluster of the tests

from leaderboard.io import embedded, replayio  # noqa: E402
from leaderboard.pipelines import account, topk  # noqa: E402
from leaderboard.pipelines.jobs import parse  # noqa: E402

START = 1_356_998_400   # 2013-01-01
ITEMS = 20
SIZES = '1m,5m,1h,1d'
OUT_OF_ORDERNESS_SECS = 60
LATENESS_SECS = 1800


def write_events(path, boards, hours, active, late, rng):
  """Each board has two events in this share of its minutes; this share of them comes late."""
  count = 0
  waiting = collections.defaultdict(list)
  with open(path, 'w', encoding='utf-8') as file:
    for minute in range(hours * 60):
      events = waiting.pop(minute, [])
      for board in range(boards):
        if rng.random() < active:
          for _ in range(2):
            second = START + minute * 60 + rng.randrange(60)
            behind = rng.randrange(3, LATENESS_SECS // 60 - 10) if rng.random() < late else 0
            (waiting[minute + behind] if behind else events).append((second, board))
      rng.shuffle(events)
      for second, board in events:
        file.write(json.dumps({
            'event_type': f'type{board % 10}', 'tenant_id': f'tenant{board // 10}',
            'item_id': f'item{rng.randrange(ITEMS)}', 'timestamp': second * 1000}) + '\n')
      count += len(events)
  return count


def slow_down(pace_secs):
  """Makes the replay, which runs in this process, wait before each block."""
  advance = replayio._Reader.advance

  def paced(reader):
    time.sleep(pace_secs)
    return advance(reader)

  replayio._Reader.advance = paced


def cpu_secs(pid):
  """CPU seconds that a process has taken."""
  fields = pathlib.Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()
  return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def watermark(url):
  with redis.Redis.from_url(url, decode_responses=True) as client:
    told = client.hget('topk:jobs:topk', 'watermark_secs')
  return int(told) if told else 0


def firings(url):
  """{size: (boards, times that they were published)}."""
  found = collections.defaultdict(lambda: [0, 0])
  with redis.Redis.from_url(url, decode_responses=True) as client:
    keys = list(client.scan_iter('topk:*:board', count=10_000))
    for first in range(0, len(keys), 10_000):
      pipeline = client.pipeline(transaction=False)
      part = keys[first:first + 10_000]
      for key in part:
        pipeline.hget(key, 'revisions')
      for key, revisions in zip(part, pipeline.execute(), strict=True):
        cell = found[key.rsplit(':', 3)[1]]
        cell[0] += 1
        cell[1] += int(revisions or 1)
  return {size: tuple(found[size]) for size in SIZES.split(',')}


def main():
  parser = argparse.ArgumentParser(description=__doc__,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--boards', type=int, default=1000, help='tenants x event types')
  parser.add_argument('--hours', type=int, default=24, help='of simulated time')
  parser.add_argument('--active', type=float, default=0.05,
                      help='share of its minutes in which a board has events (default 0.05)')
  parser.add_argument('--late', type=float, default=0.1, help='share of late events (default 0.1)')
  parser.add_argument('--pace', type=float, default=1.5,
                      help='seconds of the clock for five simulated minutes: a source that runs '
                      'ahead of the cluster shows queues, not state (default 1.5)')
  parser.add_argument('--json', metavar='FILE', help='writes the figures to this file too')
  args = parser.parse_args()
  slow_down(args.pace)
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    events = write_events(folder / 'events.jsonl', args.boards, args.hours, args.active, args.late,
                          random.Random(11))
    size = (folder / 'events.jsonl').stat().st_size
    with embedded.start_redis(folder) as store, flink.FlinkCluster() as cluster:
      flags = [f'--redis={store.url}', f'--data_dir={folder}', f'--windows={SIZES}']
      job = parse([
          f'--input={folder}/events.jsonl', *flags, f'--allowed_lateness={LATENESS_SECS}s',
          f'--out_of_orderness={OUT_OF_ORDERNESS_SECS}s',
          f'--replay_bytes={max(4096, size // (args.hours * 12))}',   # five minutes a block
          *cluster.flags(2, checkpoint_msec=2000)], 'bench')
      pipeline = beam.Pipeline(options=job.beam)
      topk.build(pipeline, job, 'bench', job.stores)
      began = time.monotonic()
      result = pipeline.run()
      (told,) = processes.wait_for('not submitted', cluster.unfinished_jobs, 60)
      (manager,) = cluster.running_task_managers()
      hours = follow(args.hours, store.url, told, manager, began)
      result.cancel()
      report = account.run(flags)
      published = firings(store.url)
  print(f'\n{args.boards:,} boards, {events:,} events, read = counted + too late: '
        f'{report.balanced and report.events_read == events}\n')
  print('| simulated hour | wall, s | CPU, s | checkpointed state, MB |\n|---|---|---|---|')
  for row in hours:
    print('| {hour} | {wall:.1f} | {cpu:.1f} | {state:.1f} |'.format(**row))
  print('\n| window | boards | firings | per board |\n|---|---|---|---|')
  for label, (boards, times) in published.items():
    print(f'| {label} | {boards:,} | {times:,} | {times / max(boards, 1):.2f} |')
  if args.json:
    pathlib.Path(args.json).write_text(json.dumps({'hours': hours, 'firings': published}, indent=2))
  return 0 if report.balanced and report.events_read == events else 1


def follow(hours, url, told, manager, began):
  """What each simulated hour took, as its watermark passes."""
  rows, cpu_before, wall_before = [], 0.0, began
  deadline = time.monotonic() + 7200
  for hour in range(1, hours):
    processes.wait_for(
        f'hour {hour} does not pass',
        lambda hour=hour: watermark(url) >= START + hour * 3600,
        deadline - time.monotonic(), manager)
    cpu, wall = time.process_time() + cpu_secs(manager.process.pid), time.monotonic()
    rows.append({'hour': hour, 'wall': wall - wall_before, 'cpu': cpu - cpu_before,
                 'state': told.checkpoints.state_bytes / 1e6})
    print('hour {hour}: {wall:.1f} s, {cpu:.1f} CPU s, {state:.1f} MB'.format(**rows[-1]),
          file=sys.stderr, flush=True)
    cpu_before, wall_before = cpu, wall
  processes.wait_for('the day does not end', lambda: watermark(url) >= START + hours * 3600,
                     600, manager)
  return rows


if __name__ == '__main__':
  sys.exit(main())
