"""Sliding windows over summaries: one merge per slide, or logarithmically many summaries.

`TwoStackWindow` is exact about which sub-windows it holds and costs one merge per slide.
`ExponentialHistogram` holds about k summaries per power of two when a window spans hundreds
of sub-windows; what its oldest bucket holds beyond the window opens the brackets.
Sources: Tangwongsan et al. 2015 (two stacks), Datar et al. 2002 (exponential histograms).
"""
import collections
from collections.abc import Iterable

from leaderboard.transforms import certify
from leaderboard.transforms.heavyhitters import HeavyHitters, RankedRow
from leaderboard.transforms.parameters import Parameters


def _merged(parts: Iterable[HeavyHitters], parameters: Parameters) -> HeavyHitters:
  total = HeavyHitters.of(parameters)
  for part in parts:
    total.merge(part)
  return total


class TwoStackWindow:
  """The sum of the last `size` summaries that were pushed.

  Args:
    size: sub-windows in the window.
    parameters: of the summaries.
  """

  def __init__(self, size: int, parameters: Parameters | None = None) -> None:
    if size < 1:
      raise ValueError(f'size must be at least 1, got {size}')
    self._size = size
    self._parameters = parameters or Parameters()
    # The front holds sums of itself and all younger ones of its stack, oldest last.
    self._front: list[HeavyHitters] = []
    self._back: list[HeavyHitters] = []
    self._back_sum = HeavyHitters.of(self._parameters)

  def push(self, part: HeavyHitters) -> None:
    """Adds the newest sub-window and drops the one that falls out."""
    if len(self._front) + len(self._back) == self._size:
      self._drop_oldest()
    self._back.append(part)
    self._back_sum.merge(part)

  def sum(self) -> HeavyHitters:
    """A summary of the whole window, the caller's to keep."""
    return _merged([*self._front[-1:], self._back_sum], self._parameters)

  def _drop_oldest(self) -> None:
    if not self._front:
      newest_first = reversed(self._back)
      running = HeavyHitters.of(self._parameters)
      for part in newest_first:
        running = _merged([running, part], self._parameters)
        self._front.append(running)
      self._back = []
      self._back_sum = HeavyHitters.of(self._parameters)
    self._front.pop()


class ExponentialHistogram:
  """The last `size` sub-windows in about k * log2(size / k) summaries.

  Args:
    size: sub-windows in the window.
    k: buckets of each length that are kept apart; the share of a window that may be in
      doubt is about 1 / k.
    parameters: of the summaries.
  """

  def __init__(self, size: int, k: int = 8, parameters: Parameters | None = None) -> None:
    if size < 1 or k < 1:
      raise ValueError(f'size and k must be at least 1, got {size} and {k}')
    self._size = size
    self._k = k
    self._parameters = parameters or Parameters()
    # (number of the first sub-window, how many, their sum), oldest first.
    self._buckets: collections.deque[tuple[int, int, HeavyHitters]] = collections.deque()
    self._pushed = 0

  def __len__(self) -> int:
    """How many summaries are held."""
    return len(self._buckets)

  def push(self, part: HeavyHitters) -> None:
    """Adds the newest sub-window."""
    self._buckets.append((self._pushed, 1, _merged([part], self._parameters)))
    self._pushed += 1
    self._join()
    start = self._pushed - self._size
    while self._buckets[0][0] + self._buckets[0][1] <= start:
      self._buckets.popleft()

  def top(self, n: int) -> list[RankedRow]:
    """The n heaviest items of the window; lower bounds from what is surely inside it, upper
    bounds from all that may be."""
    inner, outer = self._sums()
    if inner is outer:
      return outer.top(n)
    tracked = outer.top(2 * self._parameters.candidates)
    brackets = sorted(((inner.bounds(row.item)[0], row.item, row.upper) for row in tracked),
                      key=lambda bracket: (-bracket[0], bracket[1]))
    rest = max([outer.tau, *(upper for _, _, upper in brackets[n:])])
    lowers = [lower for lower, _, _ in brackets[:n]]
    uppers = [upper for _, _, upper in brackets[:n]]
    flags = certify.certified(lowers, uppers, rest, n)
    return [RankedRow(rank, item, lower, lower, upper, flag)
            for rank, ((lower, item, upper), flag) in enumerate(
                zip(brackets[:n], flags, strict=True), 1)]

  def bounds(self, item: str) -> tuple[int, int]:
    """(lower, upper) of any item's weight in the window."""
    inner, outer = self._sums()
    return inner.bounds(item)[0], outer.bounds(item)[1]

  def _sums(self) -> tuple[HeavyHitters, HeavyHitters]:
    """The sum of the buckets that lie inside the window, and that of all."""
    start = self._pushed - self._size
    inside = _merged([part for first, _, part in self._buckets if first >= start],
                     self._parameters)
    if not self._buckets or self._buckets[0][0] >= start:
      return inside, inside
    return inside, _merged([inside, self._buckets[0][2]], self._parameters)

  def _join(self) -> None:
    """Joins the two oldest buckets of a length of which there are more than k."""
    length = 1
    while True:
      places = [place for place, (_, count, _) in enumerate(self._buckets) if count == length]
      if len(places) <= self._k:
        return
      older, younger = places[:2]
      first, _, part = self._buckets[older]
      joined = _merged([part, self._buckets[younger][2]], self._parameters)
      self._buckets[older] = (first, 2 * length, joined)
      del self._buckets[younger]
      length *= 2
