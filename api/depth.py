"""A board as deep as it is stored: with its summary, which knows more than the kept rows."""
import asyncio
import dataclasses
from collections.abc import Iterable

from leaderboard.api import history
from leaderboard.api.answers import EXACT, HISTORY, Board
from leaderboard.api.boards import AUTO, Boards, Question
from leaderboard.transforms.heavyhitters import HeavyHitters

_SUMMARY = ('select generation, events, summary from board_windows where tenant_id = %s '
            'and event_type = %s and window_size = %s and window_start = %s')


async def ask_for(boards: Boards, question: Question, items: Iterable[str]) -> Board:
  """The board that answers a question; where it does not list all of the items, with its summary
  or, of the archive, with the counts of the others."""
  board = await boards.ask(question)
  others = sorted({item for item in items if item not in board.brackets.places})
  if not board.brackets.rest_upper or not others:
    return board
  if board.path == EXACT:
    found = await boards.ask_exact(question, others)
    return dataclasses.replace(
        found, degraded=board.degraded or found.degraded) if found else board
  return await _deepened(boards, question, board)


async def ask_deep(boards: Boards, question: Question) -> Board:
  """The board that answers a question, with its summary where its rows are not all of it."""
  board = await boards.ask(question)
  return await _deepened(boards, question, board) if board.brackets.rest_upper else board


async def _deepened(boards: Boards, question: Question, board: Board) -> Board:
  """The board with its summary, if there is one of the same revision or a newer one; bounds from
  an older one need not hold any more."""
  if (board.window is None or board.brackets.unlisted or board.path == EXACT
      or boards.history is None or question.path not in (AUTO, HISTORY)):
    return board
  try:
    rows = await boards.history.fetch(_SUMMARY, [
        board.tenant_id, board.event_type, board.window, history.moment(board.from_secs)])
  except history.DOWN:
    return board
  if not rows or rows[0][:2] < (board.generation, board.events):
    return board
  generation, events, encoded = rows[0]
  summary = await asyncio.to_thread(HeavyHitters.from_bytes, encoded)
  # What was final stays so; what is newer was read after the boards that were final then.
  return Board.of_summary(
      summary, generation, path=HISTORY,
      **{field.name: getattr(board, field.name) for field in dataclasses.fields(board)
         if field.name not in _FROM_SUMMARY})


_FROM_SUMMARY = {'generation', 'events', 'total', 'tau', 'epsilon', 'delta', 'exact', 'brackets',
                 'path'}
