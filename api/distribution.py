"""How the weight of a board is spread over its items, between bounds that always hold.

An item is one that was counted, with a weight of at least 1. What a board does not list is bounded
by `rest_upper` and by the weight that is left, `Brackets.slack`; on an exact board all bounds meet.
"""
import bisect
import fractions
import itertools
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from leaderboard.api.brackets import Brackets
from leaderboard.transforms.countmin import sum_of

_PARTS = 10**6   # of a whole, to which shares are told


class Between(NamedTuple):
  """The true value lies from `lower` to `upper`."""
  lower: int
  upper: int


class Bin(NamedTuple):
  """How many items weigh at least `at_least` and less than `below`."""
  at_least: int
  below: int
  items: Between


def percentile(board: Brackets, percent: fractions.Fraction) -> Between:
  """The least weight that so many percent of the items do not exceed (nearest rank).

  Args:
    percent: in (0, 100].

  Raises:
    ValueError: nothing was counted.
  """
  if not board.total:
    raise ValueError('a board without items has no percentiles')
  shallow, deep = (items - _ceil(percent / 100 * items) + 1
                   for items in (max(items, 1) for items in board.counted))
  # The more items there are, the further from the top lies the one that is asked for.
  lower = int(board.lowers[deep - 1]) if deep <= len(board.items) else 0
  return Between(max(lower, 1), min(_highest(board, shallow), board.total // shallow))


def head_weight(board: Brackets, k: int) -> Between:
  """The weight of the k heaviest items together."""
  if k >= board.counted[1]:
    return Between(board.least_total, board.total)
  listed = min(k, len(board.items))
  # Where more items than are listed were counted, each weighs 1 or more.
  proven = sum_of(board.lowers[:k])
  possible = sum_of(board.highest[:k]) + (k - listed) * board.rest_upper
  return Between(min(proven + k - listed, board.least_total),
                 min(possible, proven + board.slack))


def items_holding(board: Brackets, share: fractions.Fraction) -> Between:
  """How many of the heaviest items it takes to hold this share of the total.

  Args:
    share: in (0, 1].
  """
  # The less the head may weigh, the more of it are needed.
  return Between(_first(board, lambda k: head_weight(board, k).upper,
                        _ceil(share * board.least_total)),
                 _first(board, lambda k: head_weight(board, k).lower, _ceil(share * board.total)))


def _first(board: Brackets, weight: Callable[[int], int], wanted: int) -> int:
  """The least k from which on the heaviest k weigh so much; at most as many as were counted."""
  most = board.counted[1]
  return min(1 + bisect.bisect_left(range(1, most + 1), wanted, key=weight), most)


def histogram(board: Brackets, edges: Iterable[int]) -> list[Bin]:
  """How many items weigh how much.

  Args:
    edges: ascending, from 1; a bin goes from one to below the next.
  """
  return [Bin(at_least, below, Between(
      int(np.count_nonzero((board.lowers >= at_least) & (board.uppers < below))),
      int(np.count_nonzero((board.lowers < below) & (board.uppers >= at_least)))
      + (board.slack // at_least if board.rest_upper >= at_least else 0)))
          for at_least, below in itertools.pairwise(edges)]


def edges_for(board: Brackets) -> list[int]:
  """Edges 1, 2, 5, 10, 20, 50, ... up to beyond the heaviest item.

  >>> from leaderboard.transforms.boards import Row
  >>> edges_for(Brackets.of_rows([Row('a', 12, 12)], 0, 12))
  [1, 2, 5, 10, 20]
  """
  heaviest = int(np.max(board.uppers, initial=board.rest_upper))
  edges = [1]
  for tens in itertools.count():
    for step in (2, 5, 10):
      if edges[-1] > heaviest:
        return edges
      edges.append(step * 10**tens)
  raise AssertionError('a count ends only here')


def share(weight: Between, board: Brackets) -> tuple[float, float]:
  """Parts of the total, to a millionth: the lower one is rounded down, the upper one up.

  >>> from leaderboard.transforms.boards import Row
  >>> share(Between(1, 2), Brackets.of_rows([Row('a', 1, 2)], 2, 3))
  (0.333333, 0.666667)
  """
  return part(weight.lower, board.total)[0], part(weight.upper, board.least_total)[1]


def part(weight: int, whole: int) -> tuple[float, float]:
  """A weight as part of a whole, rounded down and up to a millionth; all of nothing is 1."""
  if weight >= whole:
    return 1.0, 1.0
  return weight * _PARTS // whole / _PARTS, -(-weight * _PARTS // whole) / _PARTS


def _ceil(number: fractions.Fraction) -> int:
  return -(-number.numerator // number.denominator)


def _highest(board: Brackets, rank: int) -> int:
  """No item of this rank weighs more."""
  return int(board.highest[rank - 1]) if rank <= len(board.items) else board.rest_upper
