"""Measures recall and bracket width over skew, distinct items and size: the table of `size`.

    python bench/sizing.py --output=pipelines/sizing.json

A million events per point, dealt out over 16 shards that are merged. Without a Count-Min
table: it only tightens what is told here.
"""
import argparse
import collections
import json
import pathlib

import numpy as np

from leaderboard.transforms import HeavyHitters

EVENTS = 1_000_000
SHARDS = 16
SKEWS = (0.6, 0.8, 1.0, 1.2, 1.5)
DISTINCT = (10_000, 100_000, 1_000_000)
CANDIDATES = (256, 512, 1024, 2048, 4096, 8192, 16_384)
KS = (10, 100, 1000)


def power_law(exponent, distinct):
  rng = np.random.default_rng(31)
  weights = np.arange(1, distinct + 1) ** -exponent
  ranks = np.searchsorted(np.cumsum(weights) / weights.sum(), rng.random(EVENTS))
  return [f'item-{rank:07}' for rank in np.minimum(ranks, distinct - 1).tolist()]


def measure(items, candidates):
  truth = collections.Counter(items)
  parts = [HeavyHitters(candidates, depth=0) for _ in range(SHARDS)]
  for place in range(0, EVENTS, 4096):
    parts[place // 4096 % SHARDS].update(collections.Counter(items[place:place + 4096]))
  for part in parts[1:]:
    parts[0].merge(part)
  weights = sorted(truth.values(), reverse=True)
  found = {'bytes': len(parts[0].to_bytes()), 'recall': {}, 'width': {}}
  for k in (k for k in KS if k <= candidates):
    rows = parts[0].top(k)
    edge = weights[min(k, len(weights)) - 1]
    found['recall'][k] = sum(truth[row.item] >= edge for row in rows) / min(k, len(weights))
    found['width'][k] = sum((row.upper - row.lower) / truth[row.item] for row in rows) / len(rows)
  return found


def main():
  parser = argparse.ArgumentParser(description=__doc__,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--output', type=pathlib.Path, required=True)
  args = parser.parse_args()
  points = []
  for skew in SKEWS:
    for distinct in DISTINCT:
      items = power_law(skew, distinct)
      for candidates in CANDIDATES:
        found = measure(items, candidates)
        points.append({'skew': skew, 'distinct': distinct, 'candidates': candidates,
                       'bytes': found['bytes'],
                       'recall': {k: round(value, 4) for k, value in found['recall'].items()},
                       'width': {k: round(value, 5) for k, value in found['width'].items()}})
      print(f'skew {skew}, {distinct:,} items: recall@100 '
            + ' '.join(f'{point["recall"].get(100)}' for point in points[-len(CANDIDATES):]),
            flush=True)
  lines = ',\n'.join(json.dumps(point) for point in points)
  args.output.write_text(f'[\n{lines}\n]\n')


if __name__ == '__main__':
  main()
