"""The summary under the names of the field: Space-Saving counts over, Misra-Gries under.

Both are one HeavyHitters without a table; they differ in which end of the bracket they tell.
Sources: Metwally et al. 2005 (Space-Saving), Misra & Gries 1982, Agarwal et al. 2013 (the two
are one summary, and it merges).
"""
from collections.abc import Mapping
from typing import NamedTuple, TypeVar

from leaderboard.transforms.heavyhitters import HeavyHitters

_Same = TypeVar('_Same', bound='_View')


class Counter(NamedTuple):
  """An item's count and how far it may be off, in the one direction of its view."""
  item: str
  count: int   # type: ignore[assignment]   # shadows tuple.count, which no one needs
  error: int


class _View:
  """What both have in common.

  Args:
    candidates: items tracked; up to twice as many are counted exactly.
  """

  def __init__(self, candidates: int = 4096) -> None:
    self.summary = HeavyHitters(candidates, depth=0)

  def add(self, item: str, weight: int = 1) -> None:
    self.summary.add(item, weight)

  def update(self, weights: Mapping[str, int]) -> None:
    self.summary.update(weights)

  def merge(self: _Same, other: _Same) -> _Same:
    self.summary.merge(other.summary)
    return self


class SpaceSaving(_View):
  """Counts that are never too small: `true <= count <= true + total / candidates`."""

  def count(self, item: str) -> int:
    """An upper bound of the item's weight."""
    return self.summary.bounds(item)[1]

  def top(self, n: int) -> list[Counter]:
    """The n items with the largest counts."""
    rows = self.summary.top(2 * self.summary.parameters.candidates)
    rows.sort(key=lambda row: (-row.upper, row.item))
    return [Counter(row.item, row.upper, row.upper - row.lower) for row in rows[:n]]


class MisraGries(_View):
  """Counts that are never too large: `true - total / candidates <= count <= true`."""

  def count(self, item: str) -> int:
    """A lower bound of the item's weight; 0 for an item that is not tracked."""
    return self.summary.bounds(item)[0]

  def top(self, n: int) -> list[Counter]:
    """The n items with the largest counts, and how much larger each may be."""
    return [Counter(row.item, row.lower, row.upper - row.lower) for row in self.summary.top(n)]
