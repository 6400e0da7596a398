"""Candidates with deterministic brackets, and one bound for every other item: a spilled summary."""
import heapq
from collections.abc import Iterable, Mapping

import numpy as np

from leaderboard.transforms.countmin import CountMinSketch
from leaderboard.transforms.parameters import Parameters


class Candidates:
  """Candidates with brackets, tau and the Count-Min table."""

  def __init__(self, parameters: Parameters) -> None:
    self.parameters = parameters
    self.tau = 0
    self.items: list[str] = []
    self.lowers: np.ndarray = np.zeros(0, np.int64)
    self.uppers: np.ndarray = np.zeros(0, np.int64)
    self.sketch = CountMinSketch(parameters.depth, parameters.width, parameters.seed)
    self._index: dict[str, int] | None = None

  def copy(self) -> 'Candidates':
    twin = Candidates.__new__(Candidates)
    twin.parameters, twin.tau = self.parameters, self.tau
    twin.items, twin._index = list(self.items), None
    twin.lowers, twin.uppers = self.lowers.copy(), self.uppers.copy()
    twin.sketch = self.sketch.copy()
    return twin

  @property
  def index(self) -> dict[str, int]:
    """Item -> place."""
    if self._index is None:
      self._index = {item: place for place, item in enumerate(self.items)}
    return self._index

  def estimates(self, items: Iterable[str]) -> np.ndarray:
    """The table's upper bound for each item."""
    return self.sketch.estimates(self.sketch.places(items))

  def enter(self, weights: Mapping[str, int]) -> None:
    """Enters distinct items together."""
    if weights:
      added = np.fromiter(weights.values(), np.int64, len(weights))
      self.enter_brackets(list(weights), added, added)

  def enter_brackets(self, items: list[str], lowers: np.ndarray, uppers: np.ndarray) -> None:
    """Enters distinct items whose weights lie between these bounds: the table first, then the
    brackets, then the cut."""
    before = self.sketch.enter(self.sketch.places(items), uppers)
    index = self.index
    known = np.array([index.get(item, -1) for item in items], np.int64)
    old = known >= 0
    self.lowers[known[old]] += lowers[old]
    self.uppers[known[old]] += uppers[old]
    new = ~old
    # An item that was not tracked may have weighed as much as tau or its estimate allow.
    self._append([items[place] for place in np.flatnonzero(new).tolist()], lowers[new],
                 np.minimum(self.tau, before[new]) + uppers[new])
    if len(self.items) > 2 * self.parameters.candidates:
      self.cut(self.parameters.candidates)

  def merge(self, other: 'Candidates') -> None:
    """Adds another spilled state, leaving it as it is."""
    index, other_index = self.index, other.index
    # What a side does not track it bounds by its own tau and its own table: tighter than
    # the joint ones.
    mine_only = [place for place, item in enumerate(self.items) if item not in other_index]
    self.uppers[mine_only] += np.minimum(
        other.tau, other.estimates([self.items[place] for place in mine_only]))
    common = [(index[item], place) for item, place in other_index.items() if item in index]
    if common:
      here, there = np.array(common, np.int64).T
      self.lowers[here] += other.lowers[there]
      self.uppers[here] += other.uppers[there]
    theirs = [place for place, item in enumerate(other.items) if item not in index]
    items = [other.items[place] for place in theirs]
    uppers = other.uppers[theirs] + np.minimum(self.tau, self.estimates(items))
    self._append(items, other.lowers[theirs], uppers)
    self.tau += other.tau
    self.sketch.merge(other.sketch)
    if len(self.items) > 2 * self.parameters.candidates:
      self.cut(self.parameters.candidates)

  def cut(self, most: int) -> None:
    """Keeps the items with the largest upper bounds; tau covers the others from now on."""
    if len(self.items) <= most:
      return
    uppers = self.uppers
    edge = int(np.partition(uppers, len(uppers) - most)[len(uppers) - most])
    kept = np.flatnonzero(uppers > edge).tolist()
    # Ties at the edge go by item, so that the cut does not depend on the order of arrival.
    tied = np.flatnonzero(uppers == edge).tolist()
    if len(kept) + len(tied) > most:
      tied = heapq.nsmallest(most - len(kept), tied, key=lambda place: self.items[place])
    stay = sorted(kept + tied)
    gone = np.ones(len(uppers), bool)
    gone[stay] = False
    self.tau = max(self.tau, int(uppers[gone].max()))
    self.items = [self.items[place] for place in stay]
    self.lowers, self.uppers = self.lowers[stay], uppers[stay]
    self._index = None

  def order(self) -> np.ndarray:
    """Places by (lower descending, item ascending)."""
    by_item = sorted(range(len(self.items)), key=self.items.__getitem__)
    order = np.array(by_item, np.int64)
    return order[np.argsort(-self.lowers[order], kind='stable')]

  def report(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places in rank order; lower bounds; upper bounds tightened by the table."""
    uppers = self.uppers.copy()
    loose = np.flatnonzero(uppers > self.lowers)
    uppers[loose] = np.minimum(uppers[loose], self.estimates(
        [self.items[place] for place in loose.tolist()]))
    return self.order(), self.lowers, uppers

  def bounds(self, item: str) -> tuple[int, int]:
    estimate = int(self.estimates([item])[0])
    place = self.index.get(item)
    if place is None:
      return 0, min(self.tau, estimate)
    return int(self.lowers[place]), min(int(self.uppers[place]), estimate)

  def _append(self, items: list[str], lowers: np.ndarray, uppers: np.ndarray) -> None:
    if self._index is not None:
      self._index.update(zip(items, range(len(self.items), len(self.items) + len(items)),
                             strict=True))
    self.items = self.items + items
    self.lowers = np.concatenate((self.lowers, lowers))
    self.uppers = np.concatenate((self.uppers, uppers))
