"""Merges 2 to 365 stored summaries at once and one after the other, as ratios in one run.

    python bench/merge_speed.py

Every summary is a spilled one of the default size over a Zipf stream of ten-character items,
encoded as a store keeps it. Either all sides draw from the same items, or they share 500 and have
the rest to themselves. Times are from the bytes to the first 100 rows with their certificates,
decoding included; the best of a few rounds, which alternate. `tau` is what either way bounds every
untracked item with, in parts of a million of the total.
"""
import functools
import sys
import time

import numpy as np

from leaderboard.transforms import HeavyHitters, Parameters, wire
from leaderboard.transforms.columnar import delta_bytes, merge_encoded

EVENTS = 8_000_000   # of each summary, counted in four deltas
DISTINCT = 100_000
SKEW = 1.05
SHARED = 500
COUNTS = (2, 7, 30, 90, 365)
WANTED = 35   # ms for 30 summaries, on a core of 2024


def stored(side, shared):
  """An encoded summary whose items beyond the `shared` heaviest are its own."""
  rng = np.random.default_rng(side)
  shares = np.arange(1, DISTINCT + 1) ** -SKEW
  texts = [f'item{rank:06}' if rank < shared else f'i{side:03}x{rank:05}'
           for rank in range(DISTINCT)]
  deltas = []
  for _ in range(4):
    weights = rng.multinomial(EVENTS // 4, shares / shares.sum())
    seen = np.flatnonzero(weights)
    deltas.append(delta_bytes(
        Parameters(), np.full(len(seen), len(texts[0])), weights[seen],
        ''.join([texts[rank] for rank in seen.tolist()]).encode(), EVENTS // 4))
  return merge_encoded(deltas).to_bytes()


def at_once(parts):
  merged = merge_encoded(parts)
  return merged, merged.top(100)


def one_by_one(parts):
  merged = functools.reduce(HeavyHitters.merge, map(HeavyHitters.from_bytes, parts))
  return merged, merged.top(100)


def decoded(parts):
  for part in parts:
    wire.decode(part)


def timed(call, parts):
  started = time.perf_counter()
  found = call(parts)
  return 1000 * (time.perf_counter() - started), found


def main():
  print('| sides | items | at once, ms | decoding alone | one by one | times faster | '
        'certified | tau | tau one by one |\n|---|---|---|---|---|---|---|---|---|')
  wrong = []
  for items, shared in (('shared', DISTINCT), ('mostly own', SHARED)):
    parts = [stored(side, shared) for side in range(max(COUNTS))]
    for count in COUNTS:
      chosen = parts[:count]
      best = {}
      for turn in range(3 if count > 30 else 7):
        for call in (at_once, decoded, one_by_one):
          if call is one_by_one and count > 30 and turn:
            continue
          took, found = timed(call, chosen)
          best[call] = min(took, best.get(call, (took,))[0]), found
      (here, (merged, rows)), (there, (other, others)) = best[at_once], best[one_by_one]
      certified = [sum(row.certified for row in ranked) for ranked in (rows, others)]
      print(f'| {count} | {items} | {here:.1f} | {best[decoded][0]:.1f} | {there:.0f} | '
            f'{there / here:.1f} | {certified[0]} | {1e6 * merged.tau / merged.total:.1f} | '
            f'{1e6 * other.tau / other.total:.1f} |', flush=True)
      # Both bracket one truth: they must overlap.
      for row in rows:
        lower, upper = other.bounds(row.item)
        if row.lower > upper or lower > row.upper:
          wrong.append(f'{count} sides: {row} beside {lower}..{upper}')
      if count == 30 and here > WANTED:
        wrong.append(f'30 summaries took {here:.1f} ms, more than {WANTED}')
  print(f'\n{max(map(len, parts)) / 1000:.0f} KB a summary, the largest')
  for problem in wrong:
    print(problem, file=sys.stderr)
  return 1 if wrong else 0


if __name__ == '__main__':
  sys.exit(main())
