"""The Count-Min sketch: an upper bound of any item's weight in fixed memory."""
import math
import operator
from collections.abc import Iterable, Mapping

import numpy as np

from leaderboard.transforms import wire
from leaderboard.transforms.hashing import columns

MAX_CELLS = 2**24   # of a table: 128 MiB
MAX_TOTAL = 2**63 - 1


def size_for(epsilon: float, delta: float) -> tuple[int, int]:
  """(depth, width) for `estimate <= true + epsilon * total` with probability 1 - delta.

  depth = ceil(ln(1 / delta)); width = e / epsilon, rounded up to a power of two.

  >>> size_for(0.01, 0.01)
  (5, 512)

  Raises:
    ValueError: epsilon or delta does not lie in (0, 1).
  """
  for name, value in (('epsilon', epsilon), ('delta', delta)):
    if not 0 < value < 1:
      raise ValueError(f'{name} must lie in (0, 1), got {value}')
  return (math.ceil(math.log(1 / delta)),
          1 << math.ceil(math.log2(math.ceil(math.e / epsilon))))


def sum_of(weights: np.ndarray) -> int:
  """The exact sum of weights of at least 0, where numpy's would wrap silently."""
  if len(weights) * int(np.max(weights, initial=0)) <= MAX_TOTAL:
    return int(weights.sum())
  return sum(weights.tolist())


def _fitting(total: int) -> int:
  if total > MAX_TOTAL:
    raise OverflowError(f'the total weight {total} exceeds {MAX_TOTAL}')
  return total


def estimates(table: np.ndarray, columns: np.ndarray) -> np.ndarray:
  """The least cell of each item: from int64[depth, width] and int64[depth, items], depth >= 1."""
  least = table[0].take(columns[0])
  for row, column in zip(table[1:], columns[1:], strict=True):
    np.minimum(least, row.take(column), out=least)
  return least


class CountMinSketch:
  """Estimates weights: `true <= estimate <= true + epsilon * total`.

  The first holds always, the second with probability 1 - delta for each item asked; for k
  items at once it is k * delta. Source: Cormode & Muthukrishnan 2005; conservative update,
  which raises a cell no further than needed, Estan & Varghese 2002.

  Args:
    depth, width: rows and columns; depth 0 makes every estimate the total.
    seed: of the hash.
    conservative: whether updates are conservative; plain ones add to every cell.

  Attributes:
    table: the cells, int64[depth, width].
    total: sum of all weights.
  """

  def __init__(self, depth: int = 4, width: int = 8192, seed: int = 0,
               conservative: bool = True) -> None:
    if depth < 0 or width < 1 or depth * width > MAX_CELLS:
      raise ValueError(f'depth * width must be at most {MAX_CELLS}, got {depth} * {width}')
    self.depth, self.width, self.seed = depth, width, seed
    self.conservative = conservative
    self.total = 0
    self.table = np.zeros((depth, width), np.int64)

  @classmethod
  def from_error(cls, epsilon: float, delta: float, seed: int = 0) -> 'CountMinSketch':
    """See size_for."""
    return cls(*size_for(epsilon, delta), seed)

  @property
  def epsilon(self) -> float:
    return math.e / self.width

  @property
  def delta(self) -> float:
    return math.exp(-self.depth)

  def add(self, item: str, weight: int = 1) -> None:
    """Counts one item."""
    self.update({item: weight})

  def update(self, weights: Mapping[str, int]) -> None:
    """Counts a batch of distinct items."""
    if weights and min(weights.values()) < 1:
      raise ValueError(f'weights must be at least 1, got {min(weights.values())}')
    integers = [operator.index(weight) for weight in weights.values()]
    self.enter(self.places(weights), np.array(integers, np.int64))

  def estimate(self, item: str) -> int:
    """An upper bound of the item's weight."""
    return int(self.estimates(self.places([item]))[0])

  def merge(self, other: 'CountMinSketch') -> 'CountMinSketch':
    """Adds another sketch of the same shape, which is unchanged; returns self.

    Raises:
      ValueError: the shapes differ.
      OverflowError: the sum of weights exceeds 63 bits.
    """
    shape = self.depth, self.width, self.seed
    if shape != (other.depth, other.width, other.seed):
      raise ValueError(f'only sketches of equal depth, width and seed merge: {shape} and '
                       f'{(other.depth, other.width, other.seed)}')
    # No cell is larger than its total: where that fits, they do.
    total = _fitting(self.total + other.total)
    self.table += other.table
    self.total = total
    return self

  def copy(self) -> 'CountMinSketch':
    twin = CountMinSketch(self.depth, 1, self.seed, self.conservative)
    twin.width, twin.total, twin.table = self.width, self.total, self.table.copy()
    return twin

  def places(self, items: Iterable[str]) -> np.ndarray:
    """The column of every item in every row: int64[depth, items]."""
    return columns(items, self.depth, self.width, self.seed)

  def estimates(self, places: np.ndarray) -> np.ndarray:
    """An upper bound for each item; without a table, the total."""
    if not len(places):
      return np.full(places.shape[1], self.total, np.int64)
    return estimates(self.table, places)

  def enter(self, places: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Counts distinct items at their places; returns their estimates from before."""
    total = _fitting(self.total + sum_of(weights))
    before = self.estimates(places)
    for row, place in zip(self.table, places, strict=True):
      if self.conservative:
        np.maximum.at(row, place, before + weights)
      else:
        np.add.at(row, place, weights)
    self.total = total
    return before

  def to_bytes(self, compress: bool = True) -> bytes:
    """The encoded sketch; see wire."""
    none = np.zeros(0, np.int64)
    return wire.encode(wire.Columns(
        wire.SKETCH, self.depth, self.width, 0, int(self.conservative), self.seed, self.total, 0,
        0, none, none, none, b'', self.table.ravel()), compress)

  @classmethod
  def from_bytes(cls, data: bytes) -> 'CountMinSketch':
    """Reads what `to_bytes` wrote.

    Raises:
      wire.CorruptSummary: the bytes are no sketch.
    """
    found = wire.decode(data)
    if found.kind != wire.SKETCH or np.max(found.table, initial=0) > found.total:
      raise wire.CorruptSummary('the bytes are no Count-Min sketch')
    sketch = cls(found.depth, 1, found.seed, bool(found.batch))
    sketch.width, sketch.total = found.width, found.total
    sketch.table = found.table.reshape(found.depth, found.width)
    return sketch

  def __eq__(self, other: object) -> bool:
    return isinstance(other, CountMinSketch) and self.to_bytes() == other.to_bytes()

  __hash__ = None   # type: ignore[assignment]
