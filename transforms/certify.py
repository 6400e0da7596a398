"""What a ranked list proves: certificates from lower and upper bounds alone.

All functions take rows in rank order, by (lower descending, item ascending), and
`rest_upper`, an upper bound of every item that is not among them. Of lower bounds the first few
may be given alone, where only those rows are asked about.
"""
from collections.abc import Sequence

import numpy as np

Bounds = Sequence[int] | np.ndarray


def certified(lowers: Bounds, uppers: Bounds, rest_upper: int, k: int) -> list[bool]:
  """For each row, whether it is proven to be among the true top k (ties aside).

  It is when nothing outside the rows can exceed it and fewer than k other rows can.

  >>> certified([9, 5, 4], [9, 6, 6], rest_upper=3, k=2)
  [True, False, False]
  """
  low = np.asarray(lowers, np.int64)
  high = np.asarray(uppers, np.int64)
  above = len(high) - np.searchsorted(np.sort(high), low, side='right')
  # A row whose own bracket is open stands above its own lower bound: it is no rival.
  rivals = above - (high[:len(low)] > low)
  return ((low >= rest_upper) & (rivals < k)).tolist()


def certified_prefix(lowers: Bounds, uppers: Bounds, rest_upper: int) -> int:
  """How many of the first rows have a proven rank and order.

  >>> certified_prefix([9, 5, 4], [9, 6, 6], rest_upper=3)
  1
  """
  low = np.asarray(lowers, np.int64)
  from_last = np.append(rest_upper, np.asarray(uppers, np.int64)[::-1])
  # Of each row: the most that anything ranked after it can weigh.
  later = np.maximum.accumulate(from_last)[-2::-1]
  beaten = np.flatnonzero(low < later)
  return int(beaten[0]) if len(beaten) else len(low)


def resolution(lowers: Bounds, uppers: Bounds, rest_upper: int, tau: int,
               exact: bool, k: int) -> str:
  """How far the first k rows can be told apart from the rest.

  Returns:
    `exact`: every count is exact. `resolved`: each of the k rows is certified. `low`: an
    untracked item may weigh half as much as the last row. `partial`: anything between.
  """
  if exact:
    return 'exact'
  if all(certified(lowers[:k], uppers, rest_upper, k)):
    return 'resolved'
  if 2 * tau >= lowers[min(k, len(lowers)) - 1]:
    return 'low'
  return 'partial'
