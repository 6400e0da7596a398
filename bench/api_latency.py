"""Latencies of the query service at stated request rates, beside a plain reader of Redis.

    python bench/api_latency.py --secs=30

Starts embedded Redis and PostgreSQL, fills them with boards, and serves them by `topk-serve` and,
as the least that any service has to do, by a FastAPI that asks redis-py for ZREVRANGE. Requests
are sent at their time whatever the server does, by a process of its own (openloop.py); on two
cores it takes its share from them. Shares are of one core.

Live boards: 300, of 1,000 rows, k = 10; with the caches as they come, and without any. Merges:
ranges of 30 days, and of a year by its days, no two the same, each the merge of as many spilled
summaries from PostgreSQL.
"""
import argparse
import contextlib
import dataclasses
import json
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.request

import numpy as np
import redis

from leaderboard.io import embedded, postgresio
from leaderboard.io.postgresio import PostgresBoards
from leaderboard.io.redisio import RedisBoards
from leaderboard.transforms import HeavyHitters, Parameters
from leaderboard.transforms.boards import parse_window_size
from leaderboard.transforms.columnar import delta_bytes, merge_encoded
from leaderboard.transforms.ranking import rank_board

START = 1_735_689_600   # 2025-01-01
DAY = 86_400
BOARDS, ROWS = 300, 1000
FAMILIES, DAYS, RANGE = 6, 90, 30
YEAR, YEARS = 365, 30   # so many ranges of a year, each a day after the last
DISTINCT, SHARED, EVENTS = 100_000, 2_000, 8_000_000
NO_CACHE = ('--cache_entries=0', '--shared_cache=0', '--rollups=0')
# What p99 must not exceed, milliseconds.
LIVE_P99, MERGE_P99 = 100, 1000

_PLAIN = '''
import sys
import fastapi, redis.asyncio, uvicorn
app = fastapi.FastAPI()
client = redis.asyncio.Redis.from_url(sys.argv[1], decode_responses=True)
@app.get('/plain/{tenant}')
async def plain(tenant: str, k: int = 10):
  rows = await client.zrevrange(f'plain:{tenant}', 0, k - 1, withscores=True)
  return [{'rank': rank, 'item': item, 'count': int(count)}
          for rank, (item, count) in enumerate(rows, 1)]
config = uvicorn.Config(app, port=0, loop='uvloop', http='httptools', access_log=False,
                        log_level='warning')
class Server(uvicorn.Server):
  async def startup(self, sockets=None):
    await super().startup(sockets)
    print('serving http://127.0.0.1:%d/' % self.servers[0].sockets[0].getsockname()[1], flush=True)
Server(config).run()
'''


def fill_live(url):
  """Small boards of the newest hour, as the job writes them, and the same rows as plain sets."""
  rng = np.random.default_rng(1)
  size = parse_window_size('1h')
  records = []
  with redis.Redis.from_url(url) as client:
    for number in range(BOARDS):
      counts = {f'item{row:06}': int(count) for row, count in enumerate(rng.zipf(1.3, ROWS) % 10**6
                                                                       + 1)}
      summary = HeavyHitters()
      summary.update(counts)
      records.append(rank_board((f't{number}', 'play', START), size, summary.to_bytes(), ROWS, 0))
      client.zadd(f'plain:t{number}', counts)
  boards = RedisBoards(url)
  boards.apply(records)
  boards.close()


def fill_history(dsn):
  """Days of spilled summaries, which share what is heavy and have tails of their own; families
  hold the same. The tenant `year` has the same days again and again."""
  rng = np.random.default_rng(2)
  shares = np.arange(1, DISTINCT + 1) ** -1.05
  size = parse_window_size('1d')
  boards = PostgresBoards(dsn)
  largest = 0
  for day in range(DAYS):
    deltas = []
    for _ in range(4):
      weights = rng.multinomial(EVENTS // 4, shares / shares.sum())
      seen = np.flatnonzero(weights)
      text = ''.join([f'item{rank:06}' if rank < SHARED else f'd{day:03}x{rank:05}'
                      for rank in seen.tolist()])
      deltas.append(delta_bytes(Parameters(), np.full(len(seen), 10), weights[seen], text.encode(),
                                EVENTS // 4))
    record = rank_board(('f0', 'play', START + day * DAY), size, merge_encoded(deltas).to_bytes(),
                        ROWS, 0)
    largest = max(largest, len(record.summary))
    boards.apply([dataclasses.replace(record, tenant_id=f'f{family}')
                  for family in range(FAMILIES)])
    starts = [START + again * DAY for again in range(day, YEAR + YEARS, DAYS)]
    boards.apply([dataclasses.replace(record, tenant_id='year', window_start=start,
                                      window_end=start + DAY) for start in starts])
  boards.close()
  return largest


@contextlib.contextmanager
def served(*command):
  """A server in a process of its own; yields its port and process."""
  process = subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True)
  try:
    line = process.stdout.readline()
    if not line.startswith('serving'):
      raise SystemExit(f'{command[1]} does not start: {line}')
    yield int(line.rstrip('/\n').rpartition(':')[2]), process
  finally:
    process.terminate()
    process.wait()


def cpu_secs(process):
  """Seconds of CPU that a process has taken (Linux)."""
  fields = pathlib.Path(f'/proc/{process.pid}/stat').read_text().rpartition(')')[2].split()
  return (int(fields[11]) + int(fields[12])) / 100


def drive(name, server, rate, secs, paths):
  """One row of the table; returns p99 and the errors."""
  port, process = server
  before, began = cpu_secs(process), time.monotonic()
  sender = subprocess.run(
      [sys.executable, str(pathlib.Path(__file__).with_name('openloop.py'))], text=True, check=True,
      input=json.dumps({'port': port, 'rate': rate, 'secs': secs, 'paths': paths}),
      stdout=subprocess.PIPE)
  busy = (cpu_secs(process) - before) / (time.monotonic() - began)
  found = json.loads(sender.stdout)
  p50, p90, p99, p999 = np.percentile(found['msec'] or [float('inf')], (50, 90, 99, 99.9))
  errors = sum(found['errors'].values())
  print(f'| {name} | {rate} | {p50:.1f} | {p90:.1f} | {p99:.1f} | {p999:.1f} | {errors} | '
        f'{busy:.2f} | {found["share"]:.2f} |', flush=True)
  for error, times in found['errors'].items():
    print(f'{name}: {error}, {times} times', file=sys.stderr)
  return p99, errors


def look(server, path):
  """The answer to one request, to see that it is what is to be measured."""
  with urllib.request.urlopen(f'http://127.0.0.1:{server[0]}{path}') as answer:
    return json.load(answer)


def live_paths():
  return [f'/v1/leaderboards/play?tenant=t{number}&window=1h&k=10' for number in range(BOARDS)]


def merge_paths():
  """Ranges that all differ, each family in turn."""
  ranges = [f'from={_day(first)}&to={_day(first + RANGE)}' for first in range(DAYS - RANGE)]
  return [f'/v1/leaderboards/play?tenant=f{family}&k=100&{span}'
          for span in ranges for family in range(FAMILIES)]


def year_paths():
  return [f'/v1/leaderboards/play?tenant=year&k=100&from={_day(first)}&to={_day(first + YEAR)}'
          for first in range(YEARS)]


def _day(number):
  return time.strftime('%Y-%m-%d', time.gmtime(START + number * DAY))


def main():
  parser = argparse.ArgumentParser(description=__doc__,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--secs', type=int, default=15, help='of each measurement')
  parser.add_argument('--rates', default='200,1000', help='live requests a second')
  parser.add_argument('--uncached_rates', default='100', help='live requests a second, no cache')
  parser.add_argument('--merge_rates', default='2,8', help='merges a second')
  args = parser.parse_args()
  rates, uncached_rates, merge_rates = (
      [int(rate) for rate in text.split(',')]
      for text in (args.rates, args.uncached_rates, args.merge_rates))
  missed = []
  with tempfile.TemporaryDirectory() as name, embedded.start_redis(pathlib.Path(name)) as live, \
      embedded.start_postgres(pathlib.Path(name)) as history:
    postgresio.migrate(history.url)
    fill_live(live.url)
    largest = fill_history(history.url)
    stores = ('-m', 'leaderboard.api.serve', f'--redis={live.url}', f'--postgres={history.url}',
              '--port=0')
    print(f'{BOARDS} live boards of {ROWS} rows; {FAMILIES * DAYS} days of up to '
          f'{largest / 1000:.0f} KB\n')
    print('| what | requests/s | p50 ms | p90 | p99 | p99.9 | errors | server\'s share of a core | '
          'sender\'s |\n|---|---|---|---|---|---|---|---|---|')
    for title, flags, at_rates in (('live boards', (), rates),
                                   ('live boards, no cache', NO_CACHE, uncached_rates)):
      with served(*stores, *flags) as server:
        seen = look(server, live_paths()[0])
        assert seen['path'] == 'live' and len(seen['rows']) == 10, seen
        for rate in at_rates:
          p99, errors = drive(title, server, rate, args.secs, live_paths())
          if errors or p99 > LIVE_P99:
            missed.append(f'{title} at {rate}/s: p99 {p99:.0f} ms, {errors} errors')
    with served('-c', _PLAIN, live.url) as server:
      assert len(look(server, '/plain/t0')) == 10
      for rate in rates:
        drive('plain ZREVRANGE', server, rate, args.secs,
              [f'/plain/t{number}' for number in range(BOARDS)])
    paths = merge_paths()
    for rate in merge_rates:
      secs = min(args.secs, len(paths) // rate - 2)   # no range twice
      with served(*stores, *NO_CACHE) as server:
        drive('first requests', server, 1, 1, paths[-2:])
        p99, errors = drive(f'merges of {RANGE} days', server, rate, secs, paths)
        if errors or p99 > MERGE_P99:
          missed.append(f'merges at {rate}/s: p99 {p99:.0f} ms, {errors} errors')
        seen = look(server, paths[0])
        assert seen['path'] == 'history' and len(seen['rows']) == 100, seen
        assert seen['coverage']['complete'] and seen['resolution'] != 'exact', seen['coverage']
    with served(*stores, *NO_CACHE) as server:
      p99, errors = drive('merges of a year', server, 1, min(args.secs, YEARS - 2), year_paths())
      if errors or p99 > MERGE_P99:
        missed.append(f'a year: p99 {p99:.0f} ms, {errors} errors')
      seen = look(server, year_paths()[0])
      assert seen['coverage']['windows'] == [{'size': '1d', 'count': YEAR}], seen['coverage']
  for problem in missed:
    print(f'missed: {problem}', file=sys.stderr)
  return 1 if missed else 0


if __name__ == '__main__':
  sys.exit(main())
