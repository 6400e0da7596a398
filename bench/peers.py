"""The peers of the accuracy tables: each counts shards, merges them and reports a top list.

A peer is a class with `update(mapping)`, `merge(other)`, `top(n) -> [(item, count, lower, upper)]`
and `size() -> bytes`; brackets are None where the method gives none.
"""
import collections
import heapq
import struct
import sys

import datasketches

from leaderboard.transforms import CountMinSketch, HeavyHitters, SpaceSaving


class Ours:
  """The certified summary."""

  def __init__(self, candidates=4096, depth=4, width=8192):
    self.summary = HeavyHitters(candidates, depth, width)

  def update(self, weights):
    self.summary.update(weights)

  def merge(self, other):
    self.summary.merge(other.summary)

  def top(self, n):
    return [(row.item, row.count, row.lower, row.upper) for row in self.summary.top(n)]

  def size(self):
    return len(self.summary.to_bytes(compress=False))


class PlainSpaceSaving:
  """Space-Saving without a table, ranked by its over-counts as the field does."""

  def __init__(self, candidates=4096):
    self.view = SpaceSaving(candidates)

  def update(self, weights):
    self.view.update(weights)

  def merge(self, other):
    self.view.merge(other.view)

  def top(self, n):
    return [(item, count, count - error, count) for item, count, error in self.view.top(n)]

  def size(self):
    return len(self.view.summary.to_bytes(compress=False))


class SketchAndHeap:
  """The textbook: a plain Count-Min sketch and a heap of the k items that look heaviest."""

  def __init__(self, epsilon, k=100, delta=0.01):
    width, depth = -int(-2.718281828459045 // epsilon), 5
    assert delta == 0.01
    self.sketch = CountMinSketch(depth, width, conservative=False)
    self.k = k
    self.heap = {}

  def update(self, weights):
    self.sketch.update(weights)
    self._keep({*self.heap, *weights})

  def merge(self, other):
    self.sketch.merge(other.sketch)
    self._keep({*self.heap, *other.heap})

  def _keep(self, items):
    names = list(items)
    estimates = self.sketch.estimates(self.sketch.places(names)).tolist()
    self.heap = dict(heapq.nlargest(self.k, zip(names, estimates, strict=True),
                                    key=lambda entry: (entry[1], entry[0])))

  def top(self, n):
    ranked = sorted(self.heap.items(), key=lambda entry: (-entry[1], entry[0]))[:n]
    return [(item, count, None, None) for item, count in ranked]

  def size(self):
    return self.sketch.table.size * 4 + sum(len(item.encode()) + 8 for item in self.heap)


class DataSketches:
  """Apache DataSketches frequent items, with a map that may grow to at least these bytes."""

  def __init__(self, least_bytes, item_bytes=12):
    # 2^lg slots, three quarters of which hold items: 8 bytes of count, 4 of length, the text.
    lg = 3
    while (3 << lg >> 2) * (8 + 4 + item_bytes) < least_bytes:
      lg += 1
    self.sketch = datasketches.frequent_strings_sketch(lg)

  def update(self, weights):
    for item, weight in weights.items():
      self.sketch.update(item, weight)

  def merge(self, other):
    self.sketch.merge(other.sketch)

  def top(self, n):
    kind = datasketches.frequent_items_error_type.NO_FALSE_NEGATIVES
    rows = self.sketch.get_frequent_items(kind, 0)[:n]
    return [(item, estimate, lower, upper) for item, estimate, lower, upper in rows]

  def size(self):
    return len(self.sketch.serialize())


class Exact:
  """A dictionary."""

  def __init__(self):
    self.counts = collections.Counter()

  def update(self, weights):
    self.counts.update(weights)

  def merge(self, other):
    self.counts.update(other.counts)

  def top(self, n):
    ranked = heapq.nsmallest(n, self.counts.items(), key=lambda entry: (-entry[1], entry[0]))
    return [(item, count, count, count) for item, count in ranked]

  def size(self):
    return sum(len(item.encode()) + struct.calcsize('q') for item in self.counts)


if __name__ == '__main__':
  sys.exit('peers.py is used by accuracy.py')
