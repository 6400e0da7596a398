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
import functools
import heapq
import itertools
import math
import operator
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from leaderboard.transforms import certify, wire
from leaderboard.transforms.countmin import MAX_CELLS, MAX_TOTAL, CountMinSketch, size_for, sum_of
from leaderboard.transforms.hashing import columns_of_bytes

_STRETCH = 1 << 16   # events counted together by `extend`
# So many items a column leave less than two cells in a hundred empty: e^-4.
_FULL = 4

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


@dataclasses.dataclass(frozen=True)
class Parameters:
  """The size of a summary; summaries merge only when theirs are equal.

  Attributes:
    candidates: items tracked once spilled; up to twice as many are counted exactly.
    depth, width: rows and columns of the Count-Min table; depth 0 leaves it out.
    seed: of the hash.
    batch: distinct items that may wait before they are entered together.
  """
  candidates: int = 4096
  depth: int = 4
  width: int = 8192
  seed: int = 0
  batch: int = 4096

  def __post_init__(self) -> None:
    for name, least, most in (('candidates', 1, 2**31), ('depth', 0, 64), ('width', 1, 2**31),
                              ('seed', 0, 2**31), ('batch', 1, 2**31)):
      value = getattr(self, name)
      if not least <= value < most:
        raise ValueError(f'{name} must be at least {least} and less than {most}, got {value}')
    if self.depth * self.width > MAX_CELLS:
      raise ValueError(f'depth * width must be at most {MAX_CELLS}, got '
                       f'{self.depth} * {self.width}')

  @classmethod
  def from_error(cls, epsilon: float, delta: float, k: int) -> 'Parameters':
    """Sizes for `estimate <= true + epsilon * total` with probability 1 - delta per item."""
    depth, width = size_for(epsilon, delta)
    if k < 1:
      raise ValueError(f'k must be at least 1, got {k}')
    return cls(candidates=max(40 * k, math.ceil(1 / epsilon)), depth=depth, width=width)

  @classmethod
  def profile(cls, name: str) -> 'Parameters':
    """`default`, or `small` for a quarter of its memory."""
    if name not in ('default', 'small'):
      raise ValueError(f'profile must be default or small, got {name!r}')
    return cls() if name == 'default' else cls(candidates=1024, width=2048)


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
    """A table estimate exceeds the truth by at most epsilon * total, with probability 1 - delta."""
    if self.exact:
      return 0.0
    return math.e / self.parameters.width if self.parameters.depth else None

  @property
  def delta(self) -> float | None:
    """Per item; for K reported items at once it is K * delta."""
    if self.exact:
      return 0.0
    return math.exp(-self.parameters.depth) if self.parameters.depth else None

  def top(self, n: int) -> list[RankedRow]:
    """The min(n, tracked) heaviest rows, certified for n: proven to be among the true n."""
    if n < 0:
      raise ValueError(f'n must be at least 0, got {n}')
    items, lowers, uppers = self._report()
    flags = certify.certified(lowers, uppers, self.tau, n)
    counts = lowers[:n].tolist()
    return [RankedRow(rank, *row) for rank, row in enumerate(
        zip(items[:n], counts, counts, uppers[:n].tolist(), flags[:n], strict=True), 1)]

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
    return _from_columns(wire.decode(data))

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

  def _spill_into(self, state: 'Candidates') -> None:
    self._spilled = state
    self._room = self.parameters.batch

  def _read(self) -> 'Candidates':
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
    return self.order(), self.lowers, np.minimum(self.uppers, self.estimates(self.items))

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


def _from_columns(found: wire.Columns) -> HeavyHitters:
  if found.kind == wire.SKETCH:
    raise wire.CorruptSummary('it is a Count-Min sketch alone')
  try:
    summary = HeavyHitters(found.candidates, found.depth, found.width, found.seed, found.batch)
    items = found.items()
  except ValueError as error:
    raise wire.CorruptSummary(f'the content is that of no summary: {error}') from None
  if len(set(items)) != len(items):
    raise wire.CorruptSummary('an item stands twice')
  summary.total, summary.events = found.total, found.events
  if found.kind == wire.EXACT:
    if sum_of(found.lowers) != found.total:
      raise wire.CorruptSummary('the weights do not add up to the total')
    summary._pending = dict(zip(items, found.lowers.tolist(), strict=True))
    if len(summary._pending) > summary._room:
      summary._flush_pending()
    return summary
  uppers = found.lowers + found.spans
  # A sum that wrapped is, unsigned, the largest of all.
  if max(found.tau, *(int(np.max(values.view(np.uint64), initial=0))
                      for values in (uppers, found.table))) > found.total:
    raise wire.CorruptSummary('a bound is beyond the total')
  state = Candidates(summary.parameters)
  state.tau, state.items, state.lowers, state.uppers = found.tau, items, found.lowers, uppers
  state.sketch.total = found.total
  state.sketch.table = found.table.reshape(found.depth, found.width)
  summary._spill_into(state)
  return summary


def merge_encoded(parts: Iterable[bytes]) -> HeavyHitters:
  """The merge of encoded summaries, at least one; what is exact is added up as columns."""
  return functools.reduce(HeavyHitters.merge, map(_from_columns, _gather(parts)))


def sum_encoded(parts: Iterable[bytes]) -> bytes:
  """The merge of encoded summaries, at least one, encoded again: without an object per item
  as long as all are exact."""
  gathered = _gather(parts)
  if len(gathered) == 1:
    return wire.encode(gathered[0], compress=False)
  return functools.reduce(HeavyHitters.merge, map(_from_columns, gathered)).to_bytes(False)


def _gather(parts: Iterable[bytes]) -> list[wire.Columns]:
  """Decodes summaries and adds the exact ones up to one."""
  found = [wire.decode(part) for part in parts]
  exact = [columns for columns in found if columns.kind == wire.EXACT]
  if len(exact) < 2:
    return found
  return [*(columns for columns in found if columns.kind != wire.EXACT), _sum_exact(exact)]


def _sum_exact(parts: list[wire.Columns]) -> wire.Columns:
  first = parts[0]
  sizes = {(part.candidates, part.depth, part.width, part.seed, part.batch) for part in parts}
  if len(sizes) > 1:
    raise ValueError(f'only summaries of equal parameters merge: {sizes}')
  try:
    Parameters(*sizes.pop())
  except ValueError as error:
    raise wire.CorruptSummary(f'the content is that of no summary: {error}') from None
  total, events = sum(part.total for part in parts), sum(part.events for part in parts)
  if max(total, events) > MAX_TOTAL:
    raise OverflowError(f'the total weight {total} or the events {events} exceed {MAX_TOTAL}')
  weights = np.concatenate([part.lowers for part in parts])
  if sum_of(weights) != total:
    raise wire.CorruptSummary('the weights do not add up to the total')
  items = _array(np.concatenate([part.lengths for part in parts]),
                 b''.join([part.text for part in parts])).dictionary_encode()
  sums = np.zeros(len(items.dictionary), np.int64)
  np.add.at(sums, items.indices.to_numpy(), weights)
  lengths = pc.binary_length(items.dictionary).to_numpy()
  text = items.dictionary.buffers()[2]   # None where all are empty
  return _spill_if_many(dataclasses.replace(
      first, total=total, events=events, lengths=lengths, lowers=sums,
      spans=np.zeros(len(sums), np.int64),
      text=text.to_pybytes()[:int(lengths.sum())] if text else b''))


def _array(lengths: np.ndarray, text: bytes) -> pa.Array:
  ends = np.concatenate(([0], np.cumsum(lengths)))
  return pa.Array.from_buffers(pa.large_binary(), len(lengths),
                               [None, pa.py_buffer(ends), pa.py_buffer(text)])


def delta_bytes(parameters: Parameters, lengths: np.ndarray, weights: np.ndarray,
                text: bytes, events: int) -> bytes:
  """Encodes a block's distinct items straight from columns, without an object per item.

  Args:
    lengths: bytes of every item's UTF-8: int64[n].
    weights: of every item, at least 1: int64[n].
    text: the items' UTF-8, one after the other.
    events: how many events these are.

  Raises:
    OverflowError: the sum of weights exceeds 63 bits.
  """
  total = sum_of(weights)
  if total > MAX_TOTAL:
    raise OverflowError(f'the total weight {total} exceeds {MAX_TOTAL}')
  return wire.encode(_spill_if_many(wire.Columns(
      wire.EXACT, parameters.depth, parameters.width, parameters.candidates, parameters.batch,
      parameters.seed, total, events, 0, lengths, weights, np.zeros(len(lengths), np.int64), text,
      np.zeros(0, np.int64))), compress=False)


def _spill_if_many(found: wire.Columns) -> wire.Columns:
  return _spill_at_once(found) if len(found.lengths) > 2 * found.candidates else found


def _spill_at_once(found: wire.Columns) -> wire.Columns:
  """The spilled summary of many distinct items, of which only the heaviest become text.

  The brackets are those of one batch into an empty summary. Of the table, cells are as large
  or larger: items so light that others of their weight would fill nearly every cell are not
  hashed one by one; the cells start from their weight instead. A cell then exceeds an item's
  weight by no more, on average, than N / width, as in any Count-Min table: by at most
  floor + (sum of (w - floor) over the _FULL * width heaviest) / width, which is no more than
  N / width - (_FULL - 1) * floor.
  """
  ends = np.cumsum(found.lengths)
  starts = ends - found.lengths
  weights = found.lowers

  def texts(places: np.ndarray) -> list[bytes]:
    return [found.text[start:end] for start, end in zip(
        starts[places].tolist(), ends[places].tolist(), strict=True)]

  most = found.candidates
  edge = int(np.partition(weights, len(weights) - most)[len(weights) - most])
  kept, tied = np.flatnonzero(weights > edge), np.flatnonzero(weights == edge)
  if len(kept) + len(tied) > most:
    # Ties at the edge go by item, so that the cut does not depend on the order of arrival.
    first = pc.bottom_k_unstable(_array(found.lengths, found.text).take(tied), most - len(kept))
    tied = tied[first.to_numpy()]
  stay = np.concatenate((kept, tied))
  gone = np.ones(len(weights), bool)
  gone[stay] = False

  sketch = CountMinSketch(found.depth, found.width, found.seed)
  if found.depth:
    full = _FULL * found.width
    floor = int(np.partition(weights, len(weights) - full)[len(weights) - full]) \
        if len(weights) > full else 0
    sketch.table += floor
    heavy = np.flatnonzero(weights > floor)
    places = columns_of_bytes(texts(heavy), found.depth, found.width, found.seed)
    for row, place in zip(sketch.table, places, strict=True):
      np.maximum.at(row, place, weights[heavy])
  return dataclasses.replace(
      found, kind=wire.SPILLED, tau=int(weights[gone].max()), lengths=found.lengths[stay],
      lowers=weights[stay], spans=np.zeros(len(stay), np.int64), text=b''.join(texts(stay)),
      table=sketch.table.ravel())
