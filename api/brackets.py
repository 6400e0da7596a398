"""What is known of the weight of every item of a board, whether the board lists it or not."""
import dataclasses
import functools
from collections.abc import Callable, Sequence

import numpy as np

from leaderboard.transforms.boards import Row
from leaderboard.transforms.countmin import sum_of
from leaderboard.transforms.heavyhitters import HeavyHitters


@dataclasses.dataclass(frozen=True)
class Brackets:
  """Lower and upper bounds of the true weight of every item.

  Attributes:
    items: the listed items, by (lower descending, item ascending).
    lowers, uppers: their bounds, int64.
    rest_upper: no item that is not listed weighs more.
    total: the weight of all items together: of the listed ones and of all others.
    unlisted: tighter bounds of an item that is not listed, where a summary tells them.
    unsure: so much of the total may not be there.
  """
  items: list[str]
  lowers: np.ndarray
  uppers: np.ndarray
  rest_upper: int
  total: int
  unlisted: Callable[[str], tuple[int, int]] | None = None
  unsure: int = 0

  @classmethod
  def of_rows(cls, rows: Sequence[Row], rest_upper: int, total: int) -> 'Brackets':
    """What the rows of a stored board tell, in rank order.

    >>> Brackets.of_rows([Row('a', 5, 6), Row('b', 2, 2)], rest_upper=3, total=12).of('c')
    (0, 3)
    """
    return cls([row.item for row in rows],
               np.fromiter((row.count for row in rows), np.int64, len(rows)),
               np.fromiter((row.upper for row in rows), np.int64, len(rows)), rest_upper, total)

  @classmethod
  def of_summary(cls, summary: HeavyHitters) -> 'Brackets':
    """What a summary tells; it must not change from now on."""
    items, lowers, uppers = summary.ranking()
    return cls(items, lowers, uppers, summary.tau, summary.total, summary.bounds)

  def of(self, item: str) -> tuple[int, int]:
    """(lower, upper) of any item; (0, 0) for one that was never counted, where that is known."""
    place = self.places.get(item)
    if place is not None:
      return int(self.lowers[place]), int(self.uppers[place])
    lower, upper = self.unlisted(item) if self.unlisted else (0, self.rest_upper)
    return lower, min(upper, self.slack)

  @functools.cached_property
  def places(self) -> dict[str, int]:
    """Item -> its place in the list, from 0."""
    return {item: place for place, item in enumerate(self.items)}

  @functools.cached_property
  def slack(self) -> int:
    """The weight that is not proven to be any item's: all that may lie above the lower bounds."""
    return self.total - sum_of(self.lowers)

  @property
  def least_total(self) -> int:
    """The weight of all items together is this at least."""
    return self.total - self.unsure

  @functools.cached_property
  def exact(self) -> bool:
    """Whether every item is listed with its exact weight."""
    return not self.rest_upper and bool(np.all(self.lowers == self.uppers))

  @functools.cached_property
  def counted(self) -> tuple[int, int]:
    """Least and largest number of different items that were counted, weight 1 or more."""
    proven = int(np.count_nonzero(self.lowers))
    possible = self.slack if self.rest_upper else min(
        self.slack, int(np.count_nonzero(self.uppers)) - proven)
    return proven, proven + possible

  @functools.cached_property
  def highest(self) -> np.ndarray:
    """By rank, as many as are listed: no item of that rank weighs more."""
    return np.maximum(-np.sort(-self.uppers), self.rest_upper)

  def pierced(self, first: int) -> int:
    """Least number of different weights among the first listed items."""
    return int(self._pierced[first])

  def values(self, first: int) -> int:
    """Largest number of different weights among the first listed items, as far as it is told by
    how many brackets are closed on one weight."""
    return int(self._values[first])

  @functools.cached_property
  def _pierced(self) -> np.ndarray:
    # The fewest points that pierce all brackets: from the highest lower bound on, each point is
    # the lower bound of the first bracket that lies beyond the last point.
    points, point = [0], None
    for lower, upper in zip(self.lowers.tolist(), self.uppers.tolist(), strict=True):
      if point is None or upper < point:
        point = lower
        points.append(points[-1] + 1)
      else:
        points.append(points[-1])
    return np.array(points)

  @functools.cached_property
  def _values(self) -> np.ndarray:
    closed = self.lowers == self.uppers
    places = np.flatnonzero(closed)
    weights = self.lowers[places]
    again = places[1:][weights[1:] == weights[:-1]]
    new = np.ones(len(self.items), np.int64)
    new[again] = 0
    return np.append(0, np.cumsum(new))
