"""Forward decay: recent events weigh more, old ones fade by half every half-life.

An event at time t weighs `weight * 2 ** ((t - landmark) / half_life)`. Relative to any moment
that is the decayed weight, so nothing is ever aged: summaries just add up, late events need no
special case, and moving the landmark is a shift of bits. Source: Cormode et al. 2009.
"""
import math
import struct
from typing import NamedTuple

import numpy as np

from leaderboard.transforms import certify, wire
from leaderboard.transforms.candidates import Candidates
from leaderboard.transforms.countmin import MAX_TOTAL
from leaderboard.transforms.parameters import Parameters

_FRACTION_BITS = 20   # of a weight of 1 at the landmark: rounding costs a millionth
_MAX_AHEAD = 8        # half-lives that events may lie ahead of the landmark before it moves
_SLACK = 2.0**-48     # relative error that a double's power and product may have
_HEADER = struct.Struct('<4sBdqq')
_MAGIC, _VERSION = b'TKFD', 1


def half_life_of(damping: float, period_secs: float) -> float:
  """The half-life, seconds, at which weights shrink by the factor `damping` every period.

  >>> half_life_of(0.5, 3600)
  3600.0
  """
  if not 0 < damping < 1:
    raise ValueError(f'damping must lie in (0, 1), got {damping}')
  return period_secs * math.log(2) / -math.log(damping)


class DecayedRow(NamedTuple):
  """One row of a report; bounds of the decayed weight as of the moment that was asked for."""
  rank: int
  item: str
  lower: float
  upper: float
  certified: bool


class DecayedHeavyHitters:
  """A mergeable summary of decayed weights with brackets that always hold.

  Args:
    half_life_secs: a weight halves in this time.
    candidates: items tracked; up to twice as many without loss.

  Attributes:
    events: how many events it holds; the revision of a decayed board.
    tau: no untracked item weighs more, in units of the landmark.
  """

  def __init__(self, half_life_secs: float, candidates: int = 4096) -> None:
    if not (half_life_secs > 0 and math.isfinite(half_life_secs)):
      raise ValueError(f'half_life_secs must be positive, got {half_life_secs}')
    self.half_life_secs = float(half_life_secs)
    self.events = 0
    # Half-lives since the epoch; None until the first event says where time is.
    self._landmark: int | None = None
    # Without a table: its cells would depend on the order of arrival.
    self._state = Candidates(Parameters(candidates, depth=0, width=1))

  @property
  def tau(self) -> int:
    return self._state.tau

  def add(self, item: str, at_secs: float, weight: int = 1,
          now_secs: float = math.inf) -> None:
    """Counts one event.

    Args:
      at_secs: its time, seconds since the epoch.
      now_secs: later times count as this: one event from the far future would fade all others.

    Raises:
      ValueError: the weight is less than 1.
      OverflowError: the sum of weights exceeds 63 bits.
    """
    if weight < 1:
      raise ValueError(f'weight must be at least 1, got {weight}')
    age = min(at_secs, now_secs) / self.half_life_secs
    if self._landmark is None:
      self._landmark = math.floor(age)
    if age - self._landmark > _MAX_AHEAD:
      self._move_landmark(math.floor(age))
    scaled = weight * 2.0**(age - self._landmark + _FRACTION_BITS)
    lower, upper = math.floor(scaled * (1 - _SLACK)), math.ceil(scaled * (1 + _SLACK))
    upper = max(upper, 1)   # a weight beyond the smallest double is still no zero
    if self._state.sketch.total + upper > MAX_TOTAL:
      raise OverflowError(f'the decayed total exceeds {MAX_TOTAL}')
    self._state.enter_brackets([item], np.array([lower]), np.array([upper]))
    self.events += 1

  def merge(self, other: 'DecayedHeavyHitters') -> 'DecayedHeavyHitters':
    """Adds another summary of the same half-life and size, which is unchanged; returns self."""
    if (self.half_life_secs, self._state.parameters) != (
        other.half_life_secs, other._state.parameters):
      raise ValueError('only summaries of equal half-life and candidates merge')
    if other._landmark is None:
      return self
    if self._landmark is None:
      self._landmark = other._landmark
    later = max(self._landmark, other._landmark)
    aligned = other.copy()
    aligned._move_landmark(later)
    self._move_landmark(later)
    self._state.merge(aligned._state)
    self.events += other.events
    return self

  def copy(self) -> 'DecayedHeavyHitters':
    twin = DecayedHeavyHitters(self.half_life_secs, self._state.parameters.candidates)
    twin.events, twin._landmark, twin._state = self.events, self._landmark, self._state.copy()
    return twin

  def top(self, n: int, as_of_secs: float) -> list[DecayedRow]:
    """The n heaviest items as of a moment."""
    state = self._state
    order, lowers, uppers = state.report()
    first, rest = order[:n], order[n:]
    rest_upper = max([state.tau, *uppers[rest].tolist()])
    low, high = lowers[first].tolist(), uppers[first].tolist()
    flags = certify.certified(low, high, rest_upper, n)
    return [DecayedRow(rank, state.items[place], *self._as_of(as_of_secs, lower, upper), flag)
            for rank, (place, lower, upper, flag) in enumerate(
                zip(first.tolist(), low, high, flags, strict=True), 1)]

  def bounds(self, item: str, as_of_secs: float) -> tuple[float, float]:
    """(lower, upper) of any item's decayed weight as of a moment."""
    return self._as_of(as_of_secs, *self._state.bounds(item))

  def to_bytes(self) -> bytes:
    """The encoded summary: with one landmark and no loss, the same for every order of events."""
    state = self._state.copy()
    if state.tau:
      state.cut(state.parameters.candidates)
    order = state.order()
    texts = [state.items[place].encode('utf-8', 'surrogatepass') for place in order.tolist()]
    body = wire.encode(wire.Columns(
        wire.SPILLED, 0, 1, state.parameters.candidates, state.parameters.batch, 0,
        state.sketch.total, self.events, state.tau,
        np.array([len(text) for text in texts], np.int64), state.lowers[order],
        (state.uppers - state.lowers)[order], b''.join(texts), np.zeros(0, np.int64)), True)
    landmark = -2**63 if self._landmark is None else self._landmark
    return _HEADER.pack(_MAGIC, _VERSION, self.half_life_secs, landmark, len(body)) + body

  @classmethod
  def from_bytes(cls, data: bytes) -> 'DecayedHeavyHitters':
    """Reads what `to_bytes` wrote.

    Raises:
      wire.CorruptSummary: the bytes are no decayed summary.
    """
    if len(data) < _HEADER.size or not data.startswith(_MAGIC):
      raise wire.CorruptSummary('not a decayed summary')
    _, version, half_life, landmark, size = _HEADER.unpack_from(data)
    if version != _VERSION or size != len(data) - _HEADER.size:
      raise wire.CorruptSummary(f'version {version} or length {size} is not what was expected')
    found = wire.decode(data[_HEADER.size:])
    try:
      summary = cls(half_life, found.candidates)
    except ValueError as error:
      raise wire.CorruptSummary(str(error)) from None
    summary.events = found.events
    summary._landmark = None if landmark == -2**63 else landmark
    state = summary._state
    state.items, state.tau, state.sketch.total = found.items(), found.tau, found.total
    state.lowers, state.uppers = found.lowers, found.lowers + found.spans
    return summary

  def _as_of(self, moment: float, lower: int, upper: int) -> tuple[float, float]:
    if self._landmark is None:
      return 0.0, 0.0
    factor = 2.0**(self._landmark - moment / self.half_life_secs - _FRACTION_BITS)
    return lower * factor * (1 - _SLACK), upper * factor * (1 + _SLACK)

  def _move_landmark(self, landmark: int) -> None:
    """Moves the landmark forward: lower bounds round down, all others up."""
    assert self._landmark is not None
    shift = landmark - self._landmark
    if shift <= 0:
      return
    bits = min(shift, 63)
    state = self._state
    state.lowers = state.lowers >> bits
    state.uppers = -(-state.uppers >> bits)
    state.tau = -(-state.tau >> bits)
    # Each tracked item may have been rounded up by one.
    state.sketch.total = -(-state.sketch.total >> bits) + len(state.items)
    self._landmark = landmark
