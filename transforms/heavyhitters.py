"""The mergeable heavy-hitter summary: exact while it can be, bounded for ever after.

Up to 2 * candidates distinct items it is an exact map. Beyond, it keeps candidates with
deterministic brackets `lower <= true weight <= upper`, one bound `tau` for every other item,
and a Count-Min table with conservative update that tightens the brackets.

Guarantees, after any batches and merges in any tree: the brackets hold whatever collides,
and `tau <= total / candidates`, so that every item heavier than that is tracked.
Sources: Agarwal et al. 2013 (mergeable summaries), Cormode & Muthukrishnan 2005 (Count-Min),
Berinde et al. 2009 (tail bound).
"""
import collections
import dataclasses
import itertools
import operator
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from leaderboard.transforms import certify, wire
from leaderboard.transforms.candidates import Candidates
from leaderboard.transforms.countmin import MAX_TOTAL, sum_of
from leaderboard.transforms.parameters import Parameters

_STRETCH = 1 << 16   # events counted together by `extend`

# Items in rank order, their lower and their upper bounds.
_Report = tuple[list[str], np.ndarray, np.ndarray]


class RankedRow(NamedTuple):
  """One row of a report; `count` is `lower`, the weight that is proven."""
  rank: int
  item: str
  count: int   # type: ignore[assignment]   # shadows tuple.count, which no one needs
  lower: int
  upper: int
  certified: bool


class HeavyHitters:
  """A summary of weighted items.

  >>> summary = HeavyHitters()
  >>> summary.add('JFK-LAX', 2)
  >>> summary.update({'EWR-SFO': 1})
  >>> [(row.item, row.count) for row in summary.top(10)]
  [('JFK-LAX', 2), ('EWR-SFO', 1)]

  Attributes:
    parameters: its size.
    total: sum of all weights, N.
    events: how many events it holds.
  """

  def __init__(self, candidates: int = 4096, depth: int = 4, width: int = 8192, seed: int = 0,
               batch: int = 4096) -> None:
    self.parameters = Parameters(candidates, depth, width, seed, batch)
    self.total = 0
    self.events = 0
    # Exact: every item's weight. Spilled: the batch that waits.
    self._pending: dict[str, int] = {}
    self._spilled: Candidates | None = None
    # Distinct items that the map, or once spilled the waiting batch, may hold.
    self._room = 2 * candidates
    # The last report, and the total it was made at.
    self._reported: tuple[int, _Report] | None = None

  @classmethod
  def of(cls, parameters: Parameters) -> 'HeavyHitters':
    return cls(**dataclasses.asdict(parameters))

  @classmethod
  def from_error(cls, epsilon: float, delta: float, k: int) -> 'HeavyHitters':
    """See Parameters.from_error."""
    return cls.of(Parameters.from_error(epsilon, delta, k))

  def add(self, item: str, weight: int = 1) -> None:
    """Counts one event."""
    if type(weight) is not int:
      weight = operator.index(weight)
    if weight < 1:
      raise ValueError(f'weight must be at least 1, got {weight}')
    total = self.total + weight
    if total > MAX_TOTAL:
      self._count(weight, 1)   # which says so
    self.total = total
    self.events += 1
    pending = self._pending
    if item in pending:
      pending[item] += weight
    else:
      pending[item] = weight
      if len(pending) > self._room:
        self._flush_pending()

  def extend(self, items: Iterable[str]) -> None:
    """Counts a stream of events, one item each: several times faster than `add` in a loop."""
    stream = iter(items)
    while counts := collections.Counter(itertools.islice(stream, _STRETCH)):
      self.update(counts)

  def update(self, weights: Mapping[str, int], events: int | None = None) -> None:
    """Counts a pre-aggregated batch.

    Args:
      weights: item -> weight, an integer of at least 1.
      events: how many events these are; as many as their weight if not told.

    Raises:
      ValueError, TypeError: a weight is less than 1, or no integer.
      OverflowError: the sum of weights or of events exceeds 63 bits.
    """
    if set(map(type, weights.values())) - {int}:
      # Integers of numpy's would wrap; fractions are refused.
      weights = {item: operator.index(weight) for item, weight in weights.items()}
    if weights and min(weights.values()) < 1:
      raise ValueError(f'weights must be at least 1, got {min(weights.values())}')
    total = sum(weights.values())
    self._count(total, total if events is None else events)
    self._enter(weights)

  def merge(self, other: 'HeavyHitters') -> 'HeavyHitters':
    """Adds another summary to this one; the other is unchanged. Returns self."""
    if other.parameters != self.parameters:
      raise ValueError(f'only summaries of equal parameters merge: {self.parameters} and '
                       f'{other.parameters}')
    self._count(other.total, other.events)
    if other._spilled is not None:
      waiting = dict(self._pending)
      if self._spilled is None:
        self._spill_into(other._spilled.copy())
      else:
        self._spilled.merge(other._spilled)
      self._pending = {}
      self._enter(waiting)
    self._enter(other._pending)
    return self

  @property
  def tau(self) -> int:
    """No item that is not tracked weighs more."""
    return self._read().tau if self._spilled else 0

  @property
  def exact(self) -> bool:
    """Whether every count is exact and every item tracked."""
    return self._spilled is None

  @property
  def epsilon(self) -> float | None:
    """See Parameters.epsilon; 0 while counts are exact."""
    return 0.0 if self.exact else self.parameters.epsilon

  @property
  def delta(self) -> float | None:
    """See Parameters.delta; 0 while counts are exact."""
    return 0.0 if self.exact else self.parameters.delta

  def top(self, n: int) -> list[RankedRow]:
    """The min(n, tracked) heaviest rows, certified for n: proven to be among the true n."""
    if n < 0:
      raise ValueError(f'n must be at least 0, got {n}')
    items, lowers, uppers = self._report()
    flags = certify.certified(lowers[:n], uppers, self.tau, n)
    counts = lowers[:n].tolist()
    return [RankedRow(rank, *row) for rank, row in enumerate(
        zip(items[:n], counts, counts, uppers[:n].tolist(), flags, strict=True), 1)]

  def ranking(self) -> tuple[list[str], np.ndarray, np.ndarray]:
    """All tracked items in rank order, with their lower and their upper bounds; read only."""
    return self._report()

  def rest_upper(self, n: int) -> int:
    """No item outside the first n rows weighs more."""
    _, _, uppers = self._report()
    return max(self.tau, int(np.max(uppers[n:], initial=0)))

  @property
  def certified_prefix(self) -> int:
    """How many of the first rows have a proven rank and order."""
    _, lowers, uppers = self._report()
    return certify.certified_prefix(lowers, uppers, self.tau)

  def resolution(self, k: int) -> str:
    """`exact`, `resolved`, `partial` or `low`: see certify.resolution."""
    _, lowers, uppers = self._report()
    return certify.resolution(lowers, uppers, self.tau, self.tau, self.exact, k)

  def bounds(self, item: str) -> tuple[int, int]:
    """(lower, upper) of any item's weight, tracked or not."""
    if self._spilled is None:
      weight = self._pending.get(item, 0)
      return weight, weight
    return self._read().bounds(item)

  def to_bytes(self, compress: bool = True) -> bytes:
    """The canonical encoding: equal content gives equal bytes. See wire."""
    parameters = self.parameters
    if self._spilled is None:
      items, lowers, _ = self._report()
      spans = np.zeros(len(items), np.int64)
      kind, tau, table = wire.EXACT, 0, np.zeros(0, np.int64)
    else:
      state = self._read().copy()
      state.cut(parameters.candidates)
      order = state.order()
      items = [state.items[place] for place in order.tolist()]
      lowers, spans = state.lowers[order], (state.uppers - state.lowers)[order]
      kind, tau, table = wire.SPILLED, state.tau, state.sketch.table.ravel()
    texts = [item.encode('utf-8', 'surrogatepass') for item in items]
    return wire.encode(wire.Columns(
        kind, parameters.depth, parameters.width, parameters.candidates, parameters.batch,
        parameters.seed, self.total, self.events, tau,
        np.array([len(text) for text in texts], np.int64), lowers, spans, b''.join(texts), table),
        compress)

  @classmethod
  def from_bytes(cls, data: bytes) -> 'HeavyHitters':
    """Reads what `to_bytes` or `delta_bytes` wrote.

    Raises:
      wire.CorruptSummary: the bytes are no summary.
    """
    return from_columns(wire.decode(data))

  def __eq__(self, other: object) -> bool:
    return isinstance(other, HeavyHitters) and self.to_bytes() == other.to_bytes()

  __hash__ = None   # type: ignore[assignment]

  def _count(self, weight: int, events: int) -> None:
    if self.total + weight > MAX_TOTAL:
      raise OverflowError(f'the total weight {self.total + weight} exceeds {MAX_TOTAL}')
    if not 0 <= events <= MAX_TOTAL - self.events:
      raise OverflowError(f'{events} more than {self.events} events: not in [0, {MAX_TOTAL}]')
    self.total += weight
    self.events += events

  def _enter(self, weights: Mapping[str, int]) -> None:
    pending = self._pending
    if self._spilled is not None and not pending and len(weights) > self._room:
      self._spilled.enter(weights)
      return
    for item, weight in weights.items():
      pending[item] = pending.get(item, 0) + weight
    if len(pending) > self._room:
      self._flush_pending()

  def _flush_pending(self) -> None:
    if self._spilled is None:
      self._spill_into(Candidates(self.parameters))
      assert self._spilled is not None
    entered, self._pending = self._pending, {}
    self._spilled.enter(entered)

  def _spill_into(self, state: Candidates) -> None:
    self._spilled = state
    self._room = self.parameters.batch

  def _read(self) -> Candidates:
    """The spilled state with nothing waiting."""
    assert self._spilled is not None
    if self._pending:
      self._flush_pending()
    return self._spilled

  def _report(self) -> _Report:
    """All tracked items in rank order, with their lower and upper bounds."""
    # Any change adds weight: while the total is the same, so is the report.
    if self._reported is None or self._reported[0] != self.total:
      self._reported = self.total, self._rank()
    return self._reported[1]

  def _rank(self) -> _Report:
    if self._spilled is None:
      weights = self._pending
      items = sorted(weights)
      items.sort(key=weights.__getitem__, reverse=True)   # stable: ties stay in order of item
      counts = np.fromiter(map(weights.__getitem__, items), np.int64, len(items))
      return items, counts, counts
    state = self._read()
    order, lowers, uppers = state.report()
    return [state.items[place] for place in order.tolist()], lowers[order], uppers[order]


def check_columns(found: wire.Columns) -> Parameters:
  """The parameters of a summary that may have such content, but for items that stand twice.

  Raises:
    wire.CorruptSummary: none has.
  """
  if found.kind == wire.SKETCH:
    raise wire.CorruptSummary('it is a Count-Min sketch alone')
  try:
    parameters = Parameters(
        found.candidates, found.depth, found.width, found.seed, found.batch)
  except ValueError as error:
    raise wire.CorruptSummary(f'the content is that of no summary: {error}') from None
  if found.kind == wire.EXACT:
    if sum_of(found.lowers) != found.total:
      raise wire.CorruptSummary('the weights do not add up to the total')
  # A sum that wrapped is, unsigned, the largest of all.
  elif max(found.tau, *(int(np.max(values.view(np.uint64), initial=0))
                        for values in (found.lowers + found.spans, found.table))) > found.total:
    raise wire.CorruptSummary('a bound is beyond the total')
  return parameters


def from_columns(found: wire.Columns) -> HeavyHitters:
  """The summary that these columns hold.

  Raises:
    wire.CorruptSummary: no summary has such content.
  """
  summary = HeavyHitters.of(check_columns(found))
  try:
    items = found.items()
  except ValueError as error:
    raise wire.CorruptSummary(f'the content is that of no summary: {error}') from None
  if len(set(items)) != len(items):
    raise wire.CorruptSummary('an item stands twice')
  summary.total, summary.events = found.total, found.events
  if found.kind == wire.EXACT:
    summary._pending = dict(zip(items, found.lowers.tolist(), strict=True))
    if len(summary._pending) > summary._room:
      summary._flush_pending()
    return summary
  state = Candidates(summary.parameters)
  state.tau, state.items, state.lowers = found.tau, items, found.lowers
  state.uppers = found.lowers + found.spans
  state.sketch.total = found.total
  state.sketch.table = found.table.reshape(found.depth, found.width)
  summary._spill_into(state)
  return summary
