"""One board of a million different items: recall, memory, and what the summary costs.

    python bench/large_board.py            # 10 million events, about 2.6 GB in a temporary folder

Prints the CPU seconds of the summary stage (deltas, merges, ranking) as a share of parsing the
same events, with the Count-Min table and without it. All on one thread.
"""
import argparse
import pathlib
import sys
import tempfile
import time

import duckdb
import numpy as np
import pyarrow as pa

from leaderboard.io.filesio import BLOCK_BYTES, FileRange, read_range
from leaderboard.transforms import HeavyHitters, Parameters, counting
from leaderboard.transforms.boards import parse_window_size
from leaderboard.transforms.combine import SummaryFn

EXPONENT = 1.05
FIELDS = ('event_type', 'timestamp', 'item_id', 'tenant_id', 'weight')


def write_events(path, events, distinct):
  rng = np.random.default_rng(7)
  weights = np.arange(1, distinct + 1) ** -EXPONENT
  ranks = np.searchsorted(np.cumsum(weights) / weights.sum(), rng.random(events))
  table = pa.table({'rank': np.minimum(ranks, distinct - 1),
                    'ms': 1_356_998_400_000 + np.sort(rng.integers(0, 86_400_000, events))})
  with duckdb.connect() as connection:
    connection.register('events', table)
    connection.execute(
        f"copy (select 'e' || lpad((row_number() over ())::varchar, 9, '0') as event_id, "
        f"'song_play' as event_type, 'acme' as tenant_id, ms as timestamp, "
        f"'u' || (rank % 9973) as user_id, 's' || (ms % 77777) as session_id, "
        f"'song_' || lpad(rank::varchar, 7, '0') as item_id, 1 as weight, "
        f"{{'country': 'US', 'device': 'mobile', 'version': '1.2.3', 'note': 'aaaaaaaaaaaaaaaa'}} "
        f"as metadata from events) to '{path}' (format json)")


def parse_seconds(path):
  with duckdb.connect(config={'threads': 1}) as connection:
    columns = ', '.join(f"{field}: 'JSON'" for field in FIELDS)
    started = time.process_time()
    connection.sql(f"select {', '.join(f'count({field})' for field in FIELDS)} from read_json("
                   f"'{path}', format='newline_delimited', ignore_errors=true, "
                   f'columns={{{columns}}})').fetchall()
    return time.process_time() - started


class Stopwatch:
  """Adds up the CPU seconds of calls."""

  def __init__(self):
    self.seconds = 0.0

  def __call__(self, call, *args):
    started = time.process_time()
    answer = call(*args)
    self.seconds += time.process_time() - started
    return answer


def run(path, parameters):
  """The board of all events; CPU seconds of the summary stage; most bytes of its accumulator."""
  watch = Stopwatch()
  plain = counting.delta_bytes
  counting.delta_bytes = lambda *args: watch(plain, *args)
  counter = counting.BlockCounter(
      counting.CountingRules(parse_window_size('1d'), parameters=parameters))
  fn = SummaryFn(parameters)
  parts, most = fn.create_accumulator(), 0
  size = path.stat().st_size
  for start in range(0, size, BLOCK_BYTES):
    for block in read_range(FileRange(str(path), start, min(start + BLOCK_BYTES, size))):
      for cell in counter.count(block).cells:
        parts = watch(fn.add_input, parts, cell.delta)
        most = max(most, sum(map(len, parts)))
  counter.close()
  counting.delta_bytes = plain
  summary = watch(lambda: HeavyHitters.from_bytes(fn.extract_output(parts)))
  watch(summary.top, 1000)
  watch(summary.to_bytes)
  return summary, watch.seconds, most


def main():
  parser = argparse.ArgumentParser(description=__doc__,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--events', type=int, default=10_000_000)
  parser.add_argument('--distinct', type=int, default=1_000_000)
  args = parser.parse_args()
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / 'events.jsonl'
    write_events(path, args.events, args.distinct)
    parse = parse_seconds(path)
    with duckdb.connect() as connection:
      truth = dict(connection.sql(
          f"select item_id, count(*) from read_json('{path}', format='newline_delimited', "
          "columns={item_id: 'VARCHAR'}) group by 1").fetchall())
    edge = sorted(truth.values())[-100]
    print(f'{args.events:,} events, {len(truth):,} items; parsing takes {parse:.2f} CPU s\n')
    print('| table | recall@100 | brackets | accumulator, KiB | stored, KiB | summary CPU, share '
          'of parsing |\n|---|---|---|---|---|---|')
    faults = 0
    for name, parameters, most_share in (('4 x 8192', Parameters(), 0.5),
                                         ('none', Parameters(depth=0, width=1), 0.25)):
      summary, seconds, most = run(path, parameters)
      recall = sum(truth[row.item] >= edge for row in summary.top(100)) / 100
      true = all(row.lower <= truth[row.item] <= row.upper for row in summary.top(10_000))
      print(f'| {name} | {recall:.2f} | {"true" if true else "FALSE"} | {most / 1024:.0f} | '
            f'{len(summary.to_bytes()) / 1024:.0f} | {seconds / parse:.2f} |')
      faults += not true or recall < 1 or most > 1 << 20 or seconds > most_share * parse
  return 1 if faults else 0


if __name__ == '__main__':
  sys.exit(main())
