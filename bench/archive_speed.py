"""Raw events a second into the Parquet archive, beside pyarrow alone on the same rows.

    python bench/archive_speed.py

The plain writer puts a block into one file per tenant, event type and day too, sorted or not:
`pyarrow.dataset.write_dataset` with hive partitions and zstd. Rounds are interleaved.
"""
import argparse
import pathlib
import statistics
import tempfile
import time

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds

from leaderboard.io.parquetio import _ArchiveFn
from leaderboard.transforms.blocks import OriginRange
from leaderboard.transforms.countevents import KeptBlock


def block(events, number):
  """Events of two tenants, three types and two days, in order, as a block is kept."""
  rng = np.random.default_rng(number)
  place = np.arange(events)
  return pa.table({
      'tenant_id': pa.array(np.array(['acme', 'umbrella'])[rng.integers(0, 2, events)]),
      'event_type': pa.array(np.array(['play', 'like', 'share'])[rng.integers(0, 3, events)]),
      'timestamp': pa.array(1_356_998_400_000 + np.sort(rng.integers(0, 2 * 86_400_000, events)),
                            pa.timestamp('ms')),
      'item_id': pa.array([f'song_{item}' for item in rng.zipf(1.3, events) % 100_000]),
      'event_id': pa.array([f'e{number}-{one:08d}' for one in place]),
      'weight': pa.array(np.ones(events, np.int64)),
      'offset': pa.array(place * 240)}).sort_by([(name, 'ascending') for name in (
          'tenant_id', 'event_type', 'timestamp', 'offset')])


def plain(root, table, number):
  days = table['timestamp'].cast(pa.date32(), safe=False).cast(pa.string())
  part = pa.schema([('tenant_id', pa.string()), ('event_type', pa.string()), ('day', pa.string())])
  ds.write_dataset(
      table.append_column('day', days), root, format='parquet',
      basename_template=f'{number}-{{i}}', partitioning=ds.partitioning(part, flavor='hive'),
      existing_data_behavior='overwrite_or_ignore',
      file_options=ds.ParquetFileFormat().make_write_options(compression='zstd'))


def main():
  parser = argparse.ArgumentParser(description=__doc__,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--events', type=int, default=280_000, help='of a block (64 MiB of JSON)')
  parser.add_argument('--rounds', type=int, default=7)
  args = parser.parse_args()
  speeds = {'ours': [], 'plain': []}
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    archive = _ArchiveFn(str(folder / 'ours'))
    for number in range(args.rounds):
      table = block(args.events, number)
      origin = OriginRange('events.jsonl', 0, number << 26, (number + 1) << 26)
      started = time.perf_counter()
      archive.process(KeptBlock(origin, table))
      speeds['ours'].append(args.events / (time.perf_counter() - started))
      started = time.perf_counter()
      plain(folder / 'plain', table, number)
      speeds['plain'].append(args.events / (time.perf_counter() - started))
  ours, other = (statistics.median(speeds[who]) for who in ('ours', 'plain'))
  print('| writer | events/s | ratio |\n|---|---|---|')
  print(f'| archive, with origins, in order of time | {ours:,.0f} | {ours / other:.2f} |')
  print(f'| pyarrow.dataset | {other:,.0f} | 1 |')


if __name__ == '__main__':
  main()
