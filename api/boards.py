"""Which path answers a question, and the board that it leads to."""
import dataclasses
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Request

from leaderboard.api import history, live
from leaderboard.api.answers import HISTORY, LIVE, Board
from leaderboard.api.parameters import check_text, read_moment, read_window
from leaderboard.api.problems import Problem, bad
from leaderboard.api.settings import Settings
from leaderboard.transforms.boards import WindowSize


@dataclasses.dataclass(frozen=True)
class Question:
  """What is asked: a window, or a range.

  Attributes:
    size: the window size; None for a range.
    at: a moment inside the window, epoch seconds; None for the newest window, and for a range.
    from_secs, to_secs: the range.
    path: `auto`, `live`, `history` or `exact`.
  """
  tenant_id: str
  event_type: str
  size: WindowSize | None
  at: int | None = None
  from_secs: int | None = None
  to_secs: int | None = None
  path: str = 'auto'

  @classmethod
  def of(cls, event_type: str, tenant: str, window: str | None, at: str | None = None,
         from_: str | None = None, to: str | None = None, path: str = 'auto') -> 'Question':
    """Reads the parameters of a request.

    Raises:
      Problem: one of them cannot be.
    """
    check_text('event_type', event_type)
    check_text('tenant', tenant)
    if from_ is None and to is None:
      size = read_window('1h' if window is None else window)
      return cls(tenant, event_type, size, None if at is None else read_moment('at', at),
                 path=path)
    for name, value in (('from', from_), ('to', to)):
      if value is None:
        raise bad(name, None, 'a range needs both from and to', f'add {name}=...')
    for name, value in (('at', at), ('window', window)):
      if value is not None:
        raise bad(name, value, 'a range has from and to alone', f'leave {name} out')
    from_secs, to_secs = read_moment('from', str(from_)), read_moment('to', str(to))
    if to_secs <= from_secs:
      raise bad('to', to, f'must be later than from={from_}', 'turn them round')
    return cls(tenant, event_type, None, None, from_secs, to_secs, path)


class Boards:
  """Answers questions from the stores that there are.

  Args:
    settings: where they are.
  """

  def __init__(self, settings: Settings) -> None:
    self.settings = settings
    self.live = live.LiveBoards(settings.redis, settings.redis_msec / 1000) \
        if settings.redis else None
    self.history = history.HistoryBoards(
        settings.postgres, 2.0, settings.postgres_msec / 1000) if settings.postgres else None

  @asynccontextmanager
  async def open(self) -> AsyncIterator['Boards']:
    """Holds the connections while the application runs."""
    if self.history:
      await self.history.open()
    try:
      yield self
    finally:
      if self.live:
        await self.live.close()
      if self.history:
        await self.history.close()

  async def ask(self, question: Question) -> Board:
    """The board that answers a question.

    Raises:
      Problem: there is none (404), or no store can answer now (503).
    """
    board, _ = await self.ask_with_previous(question)
    return board

  async def ask_with_previous(self, question: Question) -> tuple[Board, Board | None]:
    """The board, and the one of the last closed comparable window before; None where there is
    none."""
    if question.size is None:
      raise Problem(501, 'not_implemented', 'ranges are not there yet')
    for path, store, down in ((LIVE, self.live, live.DOWN), (HISTORY, self.history, history.DOWN)):
      if store is None or question.path not in ('auto', path):
        continue
      try:
        found = await self._window(path, store, question, question.size)
      except down:
        continue
      if found:
        return found
    raise Problem(404, 'no_board', f'there is no board of tenant {question.tenant_id!r}, event '
                  f'type {question.event_type!r} in that window', field='at', value=question.at,
                  remedy='GET /v1/event_types lists what there is')

  async def _window(self, path: str, store: Any, question: Question, size: WindowSize
                    ) -> tuple[Board, Board | None] | None:
    family = question.tenant_id, question.event_type, size.label
    start = size.start(question.at) if question.at is not None else await store.newest(*family)
    if start is None:
      return None
    # In this order: a board that is read after it became final has all its events.
    until = await store.final_until()
    read_at = time.time()
    record, before = await store.read(*family, [start, size.start(start - 1)])
    if record is None:
      return None
    final = None if until is None else record.window_end <= until
    return (Board.of_record(record, path, read_at, final),
            before and Board.of_record(before, path, read_at))


def boards_of(request: Request) -> Boards:
  """The boards of the application that serves a request: for `Depends`."""
  return request.app.state.boards
