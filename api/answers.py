"""What is answered: a board from any path, and its rows as plain data."""
import dataclasses
import datetime
from typing import Any

from leaderboard.api.brackets import Brackets
from leaderboard.api.ties import Ties, shown_ranks
from leaderboard.io.flags import utc
from leaderboard.transforms import certify
from leaderboard.transforms.boards import BoardRecord
from leaderboard.transforms.heavyhitters import HeavyHitters

LIVE, HISTORY, EXACT = 'live', 'history', 'exact'
_UTC = datetime.timezone.utc


@dataclasses.dataclass(frozen=True)
class Coverage:
  """Of what an answer is made.

  Attributes:
    windows: (size label, how many) of the stored boards behind it.
    missing: stretches [from, to) in epoch seconds of which the store holds no board: nothing
      happened then, or it is not known there.
    missing_windows: how many windows of the finest size these are.
    complete: whether all of the answer's time is covered.
  """
  windows: tuple[tuple[str, int], ...] = ()
  missing: tuple[tuple[int, int], ...] = ()
  missing_windows: int = 0
  complete: bool = True


@dataclasses.dataclass(frozen=True)
class Board:
  """The board of a tenant and event type over some time, from any path.

  Attributes:
    window: label of its window size; None for a range.
    from_secs, to_secs: the time that is covered, epoch seconds.
    generation, events: its revision.
    total, tau, epsilon, delta: as in BoardRecord.
    exact: whether every count is exact and every item listed.
    brackets: its items with their bounds, in rank order.
    path: `live`, `history` or `exact`.
    read_at: when the store was read, epoch seconds.
    final: whether no event can change it any more; None where no one knows.
    degraded: why another path answered than was to be expected.
  """
  tenant_id: str
  event_type: str
  window: str | None
  from_secs: int
  to_secs: int
  generation: int
  events: int
  total: int
  tau: int
  epsilon: float | None
  delta: float | None
  exact: bool
  brackets: Brackets
  path: str
  read_at: float
  final: bool | None = None
  coverage: Coverage = Coverage()
  degraded: str | None = None

  @classmethod
  def of_record(cls, record: BoardRecord, path: str, read_at: float,
                final: bool | None = None) -> 'Board':
    """A stored board as it is."""
    return cls(
        tenant_id=record.tenant_id, event_type=record.event_type, window=record.window_size,
        from_secs=record.window_start, to_secs=record.window_end, generation=record.generation,
        events=record.events, total=record.total, tau=record.tau, epsilon=record.epsilon,
        delta=record.delta, exact=record.resolution == 'exact',
        brackets=Brackets.of_rows(record.rows, record.rest_upper, record.total), path=path,
        read_at=read_at, final=final, coverage=Coverage(((record.window_size, 1),)))

  @classmethod
  def of_summary(cls, summary: HeavyHitters, generation: int, **fields: Any) -> 'Board':
    """A merged summary; it must not change from now on.

    Args:
      fields: all others.
    """
    return cls(generation=generation, events=summary.events, total=summary.total,
               tau=summary.tau, epsilon=summary.epsilon, delta=summary.delta,
               exact=summary.exact, brackets=Brackets.of_summary(summary), **fields)

  def certified(self, k: int) -> list[bool]:
    """For each listed item, whether it is proven to be among the true top k."""
    return certify.certified(self.brackets.lowers, self.brackets.uppers,
                             self.brackets.rest_upper, k)

  def resolution(self, k: int) -> str:
    """How far the first k rows can be told apart from the rest: see certify.resolution."""
    return certify.resolution(self.brackets.lowers, self.brackets.uppers,
                              self.brackets.rest_upper, self.tau, self.exact, k)


def movement(board: Board, ranks: list[int], previous: Board | None, k: int, first: int,
             ties: Ties) -> list[tuple[int | None, int | str | None]]:
  """(rank before, how many ranks it rose) of the rows from place `first` on that have these ranks.

  `new` is an item that is proven not to have been among the first k before; None where the board
  before does not tell.
  """
  if previous is None:
    return [(None, None)] * len(ranks)
  before = previous.brackets
  # An item that is not listed cannot have been in the top k when k listed ones outweigh it; of
  # time that is not covered, nothing is known.
  proves_new = previous.coverage.complete and (
      before.rest_upper == 0 or
      len(before.items) >= k and int(before.lowers[k - 1]) > before.rest_upper)
  ranks_before = shown_ranks(before.lowers, ties)
  moved: list[tuple[int | None, int | str | None]] = []
  for rank, item in zip(ranks, board.brackets.items[first:], strict=False):
    place = before.places.get(item)
    if place is None:
      moved.append((None, 'new' if proves_new else None))
    else:
      moved.append((ranks_before[place], ranks_before[place] - rank))
  return moved


def as_rows(board: Board, k: int, first: int = 0, previous: Board | None = None,
            last: int | None = None, ties: Ties = 'ordinal') -> list[dict[str, Any]]:
  """The rows of a page, certified for the list of all pages up to its end: see as_answer."""
  last = first + k if last is None else last
  end = first + k
  brackets = board.brackets
  items = brackets.items[first:last]
  last = first + len(items)
  ranks = (list(range(first + 1, last + 1)) if ties == 'ordinal'
           else shown_ranks(brackets.lowers[:last], ties)[first:])
  return [
      {'rank': rank, 'item': item, 'count': lower, 'lower': lower, 'upper': upper,
       'certified': flag, 'share': round(lower / board.total, 6), 'previous_rank': was,
       'movement': rose}
      for rank, item, lower, upper, flag, (was, rose) in zip(
          ranks, items, brackets.lowers[first:last].tolist(), brackets.uppers[first:last].tolist(),
          board.certified(end)[first:last], movement(board, ranks, previous, end, first, ties),
          strict=True)]


def identity(board: Board) -> dict[str, Any]:
  """What every answer says first: which board this is, of which revision and by which way."""
  return {
      'tenant': board.tenant_id, 'event_type': board.event_type, 'window': board.window,
      'from': utc(board.from_secs), 'to': utc(board.to_secs), 'path': board.path,
      'degraded': board.degraded,
      'revision': {'generation': board.generation, 'events': board.events},
      'final': board.final,
      'coverage': {
          'complete': board.coverage.complete,
          'windows': [{'size': size, 'count': count} for size, count in board.coverage.windows],
          'missing': [{'from': utc(start), 'to': utc(end)}
                      for start, end in board.coverage.missing],
          'missing_windows': board.coverage.missing_windows}}


def as_answer(board: Board, k: int, first: int = 0, previous: Board | None = None,
              last: int | None = None, ties: Ties = 'ordinal') -> dict[str, Any]:
  """A leaderboard as plain data, all but its age and the ways to other pages.

  Args:
    k: rows that were asked for.
    first: place of the first row, 0 is the leader.
    previous: the board to tell movement against.
    last: place after the last row; without it, k rows.
    ties: how rows of one count rank.
  """
  return {
      **identity(board), 'k': k, 'events': board.events, 'total': board.total, 'tau': board.tau,
      'rest_upper': board.brackets.rest_upper, 'resolution': board.resolution(first + k),
      'epsilon': board.epsilon, 'delta': board.delta,
      'certified_prefix': certify.certified_prefix(
          board.brackets.lowers, board.brackets.uppers, board.brackets.rest_upper),
      'compared_with': None if previous is None else {
          'from': utc(previous.from_secs), 'to': utc(previous.to_secs),
          'complete': previous.coverage.complete},
      'rows': as_rows(board, k, first, previous, last, ties)}


def instant(epoch_secs: float) -> str:
  """How the moment of a reading is told: to the millisecond."""
  return datetime.datetime.fromtimestamp(epoch_secs, _UTC).isoformat(
      timespec='milliseconds').replace('+00:00', 'Z')
