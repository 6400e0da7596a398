"""Times the summary beside a dictionary and the textbook sketch, as ratios in one run.

    python bench/summary_speed.py

Rounds are interleaved and the median is told, so that a busy machine slows all alike.
"""
import collections
import statistics
import sys
import time

import mmh3
import numpy as np

from leaderboard.transforms import HeavyHitters
from leaderboard.transforms.columnar import delta_bytes, merge_encoded

EVENTS = 200_000
ROUNDS = 5


def zipf_items(exponent=1.2, distinct=1_000_000):
  rng = np.random.default_rng(12)
  return [f'song_{rank}' for rank in (rng.zipf(exponent, EVENTS) % distinct).tolist()]


def textbook(items, depth=5, width=272, k=100):
  """Count-Min with a heap as it is usually written: for every event a seeded hash a row, the
  estimate, and the k items that look heaviest."""
  table = np.zeros((depth, width), np.int64)
  heaviest, least = {}, 0
  for item in items:
    estimate = None
    for row in range(depth):
      column = mmh3.hash(item, row, signed=False) % width
      table[row, column] += 1
      cell = table[row, column]
      if estimate is None or cell < estimate:
        estimate = cell
    if item in heaviest:
      heaviest[item] = estimate
    elif len(heaviest) < k or estimate > least:
      heaviest[item] = estimate
      if len(heaviest) > k:
        del heaviest[min(heaviest, key=heaviest.__getitem__)]
      least = min(heaviest.values())


def dictionary(items):
  counts = {}
  for item in items:
    counts[item] = counts.get(item, 0) + 1


def summary(items):
  counts = HeavyHitters()
  for item in items:
    counts.add(item)
  counts.top(100)


def stream(items):
  counts = HeavyHitters()
  counts.extend(items)
  counts.top(100)


def columns(items):
  """As the pipeline does it: a large group straight from columns."""
  counted = collections.Counter(items)
  texts = [item.encode() for item in counted]
  arrays = (np.array([len(text) for text in texts], np.int64),
            np.fromiter(counted.values(), np.int64), b''.join(texts))
  started = time.perf_counter()
  delta_bytes(HeavyHitters().parameters, *arrays, len(items))
  return time.perf_counter() - started


def full_summary(seed):
  rng = np.random.default_rng(seed)
  counts = HeavyHitters()
  for _ in range(10):
    counts.update({f'song_{item}': 1 + item % 7 for item in rng.integers(0, 10**6, 5000).tolist()})
  return counts.to_bytes(compress=False)


def timed(call, *args):
  started = time.perf_counter()
  call(*args)
  return time.perf_counter() - started


def main():
  items = zipf_items()
  few = [f'song_{hash(item) % 5000}' for item in items]
  encoded = [full_summary(seed) for seed in range(2)]
  whole = HeavyHitters.from_bytes(encoded[0])
  seconds = collections.defaultdict(list)
  for _ in range(ROUNDS):
    seconds['textbook'].append(timed(textbook, items))
    seconds['dict'].append(timed(dictionary, items))
    seconds['add'].append(timed(summary, items))
    seconds['extend'].append(timed(stream, items))
    seconds['columns'].append(columns(items))
    seconds['dict few'].append(timed(dictionary, few))
    seconds['add few'].append(timed(summary, few))
    seconds['extend few'].append(timed(stream, few))
    seconds['merge'].append(timed(merge_encoded, encoded))
    seconds['encode'].append(timed(whole.to_bytes))
    seconds['decode'].append(timed(HeavyHitters.from_bytes, encoded[0]))
    seconds['top'].append(timed(whole.top, 100))
  median = {name: statistics.median(values) for name, values in seconds.items()}
  ratios = [
      ('per-event add, Zipf 1.2: times faster than the textbook sketch',
       median['textbook'] / median['add'], 'at least 5', lambda r: r >= 5),
      ('a stream by extend, Zipf 1.2: times a dict', median['extend'] / median['dict'],
       'at most 4', lambda r: r <= 4),
      ('a stream by extend, exact mode, 5,000 items: times a dict',
       median['extend few'] / median['dict few'], 'at most 2', lambda r: r <= 2),
      ('per-event add, Zipf 1.2: times a dict', median['add'] / median['dict'], '',
       lambda r: True),
      ('per-event add, exact mode, 5,000 items: times a dict',
       median['add few'] / median['dict few'], '', lambda r: True),
      ('merge of two full summaries, ms', 1000 * median['merge'], 'at most 10',
       lambda r: r <= 10)]
  print('| what | measured | wanted |\n|---|---|---|')
  for what, ratio, wanted, _ in ratios:
    print(f'| {what} | {ratio:.1f} | {wanted} |')
  print()
  print(f'us per event: add {1e6 * median["add"] / EVENTS:.2f}, extend '
        f'{1e6 * median["extend"] / EVENTS:.2f}, from columns '
        f'{1e6 * median["columns"] / EVENTS:.3f}, dict {1e6 * median["dict"] / EVENTS:.2f}, '
        f'textbook {1e6 * median["textbook"] / EVENTS:.2f}')
  print(f'ms: encode {1000 * median["encode"]:.1f}, decode {1000 * median["decode"]:.1f}, '
        f'top 100 {1000 * median["top"]:.1f}')
  return 0 if all(holds(ratio) for _, ratio, _, holds in ratios) else 1


if __name__ == '__main__':
  sys.exit(main())
