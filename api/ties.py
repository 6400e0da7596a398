"""Ranks under a tie policy: the rank that is shown, and between which ranks the true one lies.

Policies, for the weights 9 7 7 5: `ordinal` 1 2 3 4 (ties by item), `competition` 1 2 2 4, `dense`
1 2 2 3.

The bounds of a rank follow from the brackets alone: an item is surely ahead when its lower bound is
beyond the other's upper one, and may be ahead when its upper bound is beyond the other's lower
one, as far as there is weight for it: all true weights add up to the total, so that no more than
`Brackets.slack` lies above the lower bounds.
"""
import bisect
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from leaderboard.api.brackets import Brackets
from leaderboard.transforms.countmin import MAX_TOTAL

Ties = Literal['ordinal', 'dense', 'competition']


class RankBounds(NamedTuple):
  """The true rank is one from `best` to `worst`, from 1."""
  best: int
  worst: int


def shown_ranks(counts: Sequence[int] | np.ndarray, ties: Ties) -> list[int]:
  """The rank of every row, by its count.

  Args:
    counts: of all rows from the first one on, descending.

  >>> shown_ranks([9, 7, 7, 5], 'competition')
  [1, 2, 2, 4]
  """
  values = np.asarray(counts)
  if ties == 'ordinal' or not len(values):
    return list(range(1, len(values) + 1))
  firsts = np.append(True, values[1:] != values[:-1])
  if ties == 'dense':
    return np.cumsum(firsts).tolist()
  return np.maximum.accumulate(np.where(firsts, np.arange(1, len(values) + 1), 0)).tolist()


def rank_bounds(board: Brackets, item: str, ties: Ties = 'ordinal') -> RankBounds | None:
  """Between which ranks, among all items that were counted, an item's true rank lies.

  Returns:
    None for an item that surely was never counted. Of one that may not have been, the bounds are
    of the rank that it has if it was.
  """
  lower, upper = board.of(item)
  upper = min(upper, lower + board.slack)
  if not upper:
    return None
  # It was counted: where no weight of it is proven, the first unit is no other item's; nor is any
  # that is proven of an item which is not listed.
  own, lower = lower, max(lower, 1)
  slack = board.slack - (0 if own and item in board.places else lower)
  surely = _above(board, upper)
  certain = _above(board, lower)
  rising = _may_rise(board, item, lower, certain, slack, ties)
  if ties == 'dense':
    # Different weights: of the items surely above no fewer than points that pierce all their
    # brackets, and no more than there are brackets, closed ones of one weight taken as one.
    highest = max(int(np.max(board.uppers, initial=0)), board.rest_upper)
    return RankBounds(1 + board.pierced(surely),
                      1 + min(board.values(certain) + rising, highest - lower))
  if ties == 'ordinal':
    tied = bisect.bisect_left(board.items, item, surely, _above(board, upper - 1))
    return RankBounds(1 + tied, 1 + certain + rising)
  return RankBounds(1 + surely, 1 + certain + rising)


def _above(board: Brackets, weight: int) -> int:
  """How many items surely weigh more."""
  return int(np.searchsorted(-board.lowers, -weight))


def _may_rise(board: Brackets, item: str, lower: int, certain: int, slack: int, ties: Ties) -> int:
  """How many of the items that are not `certain` to weigh more than `lower` may be ahead of an
  item of that weight, all at once."""
  places = certain + np.flatnonzero(board.uppers[certain:] >= lower)
  places = places[places != board.places.get(item, -1)]
  # Of equal weights an ordinal rank is better by the item alone.
  beyond = np.fromiter((ties != 'ordinal' or board.items[place] > item
                        for place in places.tolist()), np.int64, len(places))
  needs = (lower - board.lowers[places] + beyond)[board.uppers[places] - lower >= beyond]
  # The cheapest first: so the most of them get their weight out of the slack.
  needs = np.sort(needs[needs <= slack])
  spent = np.cumsum(needs, dtype=np.int64 if len(needs) * slack <= MAX_TOTAL else object)
  rising = int(np.searchsorted(spent, slack, side='right'))
  left = slack - (int(spent[rising - 1]) if rising else 0)
  least = lower if ties == 'ordinal' else lower + 1
  return rising + (left // least if board.rest_upper >= least else 0)
