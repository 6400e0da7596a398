"""What is proven of the change between two boards."""
from collections.abc import Sequence
from typing import Literal, NamedTuple

from leaderboard.api.brackets import Brackets
from leaderboard.api.distribution import Between
from leaderboard.api.ties import RankBounds, Ties, rank_bounds

Direction = Literal['up', 'down', 'same', 'unproven']


class Change(NamedTuple):
  """An item on two boards.

  Attributes:
    weight, before: its true weight now and before lies between these.
    rank, rank_before: its true ranks do; None where it surely was not counted.
    by: the true change of its weight does; negative where it lost.
    ranks_gained: the true number of ranks gained does, negative where it fell behind; None where
      it has no rank on one of both.
    direction: of its weight, `unproven` where the bounds allow more than one.
  """
  item: str
  weight: Between
  before: Between
  rank: RankBounds | None
  rank_before: RankBounds | None
  by: Between
  ranks_gained: Between | None
  direction: Direction


def compare(now: Brackets, before: Brackets, items: Sequence[str],
            ties: Ties = 'ordinal') -> list[Change]:
  """How items changed from one board to another.

  >>> from leaderboard.transforms.boards import Row
  >>> (change,) = compare(Brackets.of_rows([Row('a', 9, 10)], 0, 10),
  ...                     Brackets.of_rows([Row('a', 4, 6)], 0, 6), ['a'])
  >>> change.by, change.direction
  (Between(lower=3, upper=6), 'up')
  """
  return [_change(now, before, item, ties) for item in items]


def items_of_interest(now: Brackets, before: Brackets, k: int) -> list[str]:
  """The first k items of either board: those of the first, then what else led the second."""
  return list(dict.fromkeys((*now.items[:k], *before.items[:k])))


def _change(now: Brackets, before: Brackets, item: str, ties: Ties) -> Change:
  weight, earlier = Between(*now.of(item)), Between(*before.of(item))
  rank, rank_before = rank_bounds(now, item, ties), rank_bounds(before, item, ties)
  by = Between(weight.lower - earlier.upper, weight.upper - earlier.lower)
  gained = Between(rank_before.best - rank.worst, rank_before.worst - rank.best) if (
      rank and rank_before) else None
  return Change(item, weight, earlier, rank, rank_before, by, gained, _direction(by))


def _direction(by: Between) -> Direction:
  if by.lower > 0:
    return 'up'
  if by.upper < 0:
    return 'down'
  return 'same' if by == (0, 0) else 'unproven'
