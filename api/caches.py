"""Answers kept in this process, for as long as they are known to be right.

`Freshness` follows what changes; a `Stamp` says since when a value may be out of date and by what.
"""
import collections
import time
from collections.abc import Callable, Hashable, Iterable
from typing import Any, Generic, NamedTuple, TypeVar

_V = TypeVar('_V')
# The contract: while it is connected, the service answers with nothing older.
STALE_SECS = 1.0
_REMEMBERED = 100_000


class Stamp(NamedTuple):
  """Of what a value was made, and when.

  Attributes:
    sequence: changes that had been heard when its reading began.
    tags: what must not have changed since; none for a value of which no change is told.
    made_at: when its reading began, monotonic seconds.
  """
  sequence: int
  tags: tuple[Hashable, ...]
  made_at: float


class Freshness:
  """Knows what has changed since when.

  Args:
    most_secs: how long a value may be used though nothing is known to have changed.
    clock: seconds.
  """

  def __init__(self, most_secs: float, clock: Callable[[], float] = time.monotonic) -> None:
    self._most_secs = most_secs
    self._clock = clock
    self._sequence = 0
    # Tag -> when it last changed; older changes than the last so many are taken for changes of all.
    self._changes: collections.OrderedDict[Hashable, int] = collections.OrderedDict()
    self._floor = 0
    self._heard_at = float('-inf')

  def stamp(self, tags: Iterable[Hashable] = ()) -> Stamp:
    """To be taken before a value is read."""
    return Stamp(self._sequence, tuple(tags), self._clock())

  def changed(self, tags: Iterable[Hashable]) -> None:
    """These have changed."""
    self._sequence += 1
    for tag in tags:
      self._changes[tag] = self._sequence
      self._changes.move_to_end(tag)
    while len(self._changes) > _REMEMBERED:
      self._floor = self._changes.popitem(last=False)[1]

  def flush(self) -> None:
    """Anything may have changed."""
    self._sequence += 1
    self._floor = self._sequence
    self._changes.clear()

  def heard(self, until: float) -> None:
    """All that had changed until that moment of the clock has been told."""
    self._heard_at = max(self._heard_at, until)

  @property
  def connected(self) -> bool:
    """Whether changes of the last second would be known."""
    return self._clock() - self._heard_at < STALE_SECS

  def holds(self, stamp: Stamp) -> bool:
    """Whether a value is not out of date, or by at most STALE_SECS."""
    age = self._clock() - stamp.made_at
    if stamp.sequence < self._floor:
      return False
    if any(self._changes.get(tag, 0) > stamp.sequence for tag in stamp.tags):
      return False
    return age < STALE_SECS or bool(stamp.tags) and self.connected and age < self._most_secs


class Cache(Generic[_V]):
  """The values used last, within two limits.

  Args:
    freshness: what makes a value unusable; None where a key stands for one value for ever.
    entries: at most so many; 0 for none.
    weight: at most so much, in the unit of `weigh`.
    weigh: what a value takes.
  """

  def __init__(self, freshness: Freshness | None, entries: int, weight: int = 2**63,
               weigh: Callable[[_V], int] = lambda _: 1) -> None:
    self._freshness = freshness
    self._entries = entries
    self._most = weight
    self._weigh = weigh
    self._weight = 0
    self._values: collections.OrderedDict[Hashable, tuple[_V, Stamp, int]] = (
        collections.OrderedDict())
    self.hits = self.misses = 0

  def __len__(self) -> int:
    return len(self._values)

  def get(self, key: Hashable) -> _V | None:
    """A value that still holds."""
    found = self._values.get(key)
    if found is None:
      self.misses += 1
      return None
    value, stamp, _ = found
    if self._freshness and not self._freshness.holds(stamp):
      self._drop(key)
      self.misses += 1
      return None
    self._values.move_to_end(key)
    self.hits += 1
    return value

  def put(self, key: Hashable, value: _V, stamp: Stamp) -> None:
    """Keeps a value; its stamp was taken before it was read."""
    self._drop(key)
    weight = self._weigh(value)
    if weight > self._most or not self._entries:
      return
    if self._freshness and not self._freshness.holds(stamp):
      return
    self._values[key] = value, stamp, weight
    self._weight += weight
    while len(self._values) > self._entries or self._weight > self._most:
      self._drop(next(iter(self._values)))

  def clear(self) -> None:
    self._values.clear()
    self._weight = 0

  def _drop(self, key: Hashable) -> None:
    found: Any = self._values.pop(key, None)
    if found:
      self._weight -= found[2]
