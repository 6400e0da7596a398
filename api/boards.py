"""Which path answers a question, and the board that it leads to."""
import asyncio
import collections
import contextlib
import dataclasses
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterable
from typing import Any, NamedTuple

from fastapi import Request

from leaderboard.api.answers import EXACT, HISTORY, LIVE, Board
from leaderboard.api.archive import Archive, ArchiveDown
from leaderboard.api.breaker import StoreDown
from leaderboard.api.caches import Cache, Freshness, Stamp
from leaderboard.api.exact import ExactBoards
from leaderboard.api.feed import FINALITY, Feed, board_tag, family_tag
from leaderboard.api.history import HistoryBoards
from leaderboard.api.live import LiveBoards
from leaderboard.api.merging import Unmergeable
from leaderboard.api.metrics import Metrics
from leaderboard.api.parameters import check_text, read_moment, read_window
from leaderboard.api.problems import Problem, bad
from leaderboard.api.ranges import OddEdges, Ranges, TooManyWindows
from leaderboard.api.replies import Reply
from leaderboard.api.settings import Settings
from leaderboard.api.singleflight import SingleFlight
from leaderboard.io import redisio
from leaderboard.io.flags import utc
from leaderboard.transforms.boards import WindowSize

AUTO = 'auto'
_CONNECT_SECS = 2.0
_SWEEP_SECS = 60
_RETRY_SECS = 1
_NOTED = 10_000
_REPLIES_BYTES = 256 << 20
# What a path cannot answer, so that another one may.
_CANNOT = (StoreDown, ArchiveDown, OddEdges, TooManyWindows, Unmergeable)


@dataclasses.dataclass(frozen=True)
class Question:
  """What is asked: a window, or a range.

  Attributes:
    size: the window size; None for a range.
    at: a moment inside the window, epoch seconds; None for the newest window, and for a range.
    from_secs, to_secs: the range.
    path: `auto`, `live`, `history` or `exact`.
    to_now: whether the range ends with whatever is newest.
  """
  tenant_id: str
  event_type: str
  size: WindowSize | None
  at: int | None = None
  from_secs: int | None = None
  to_secs: int | None = None
  path: str = AUTO
  to_now: bool = False

  @classmethod
  def of(cls, event_type: str, tenant: str, window: str | None, at: str | None = None,
         from_: str | None = None, to: str | None = None, path: str = AUTO) -> 'Question':
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
    if path == LIVE:
      raise bad('path', path, 'live boards are windows', 'leave path out, or name history')
    from_secs, to_secs = read_moment('from', str(from_)), read_moment('to', str(to))
    if to_secs <= from_secs:
      raise bad('to', to, f'must be later than from={from_}', 'turn them round')
    return cls(tenant, event_type, None, None, from_secs, to_secs, path, to == 'now')

  @property
  def start(self) -> int | None:
    """Start of the window that is asked for; None for the newest, and for a range."""
    return self.size.start(self.at) if self.size and self.at is not None else None

  @property
  def key(self) -> Hashable:
    """The same for all questions that have one answer."""
    # With a range to now, the second in which it is asked is part of it.
    return (self.tenant_id, self.event_type, self.size, self.start, self.from_secs, self.to_secs,
            self.path, self.to_now)


class Answer(NamedTuple):
  """A board, the one of the last closed comparable window before (of a range none), and how long
  both hold."""
  board: Board
  previous: Board | None
  stamp: Stamp


class Boards:
  """Answers questions from the stores that there are.

  Args:
    settings: where they are.
    metrics: what is told to Prometheus.
  """

  def __init__(self, settings: Settings, metrics: Metrics | None = None) -> None:
    self.settings = settings
    self.metrics = metrics or Metrics()
    self.freshness = Freshness(settings.cache_secs)
    self.live = LiveBoards(settings.redis, settings.redis_msec / 1000) if settings.redis else None
    self.history = HistoryBoards(settings.postgres, _CONNECT_SECS, settings.postgres_msec / 1000) \
        if settings.postgres else None
    self.archive = Archive(settings.parquet, settings.exact_secs, settings.exact_memory,
                           settings.exact_threads) if settings.parquet else None
    self._feed = Feed(self.live, self.freshness) if self.live else None
    self._ranges = Ranges(self.history, self.live, settings.shared_cache_secs,
                          settings.rollup_secs, self.metrics) if self.history else None
    self._exact = ExactBoards(self.archive, self.history, self.metrics) if self.archive else None
    self._answers: Cache[Answer] = Cache(self.freshness, settings.cache_entries)
    self.replies: Cache[Reply] = Cache(self.freshness, settings.cache_entries, _REPLIES_BYTES,
                                       lambda reply: len(reply.start) + 500)
    self._asked: collections.Counter[Question] = collections.Counter()
    # What there is, and when it was listed: see operations.
    self.listed: tuple[float, list[dict[str, Any]]] | None = None
    self.listing: SingleFlight[list[dict[str, Any]]] = SingleFlight(1)
    self._flights: SingleFlight[Answer] = SingleFlight(1)

  @contextlib.asynccontextmanager
  async def open(self) -> AsyncIterator['Boards']:
    """Holds the connections while the application runs."""
    tasks = []
    if self.history:
      await self.history.open()
      if self.settings.rollup_secs:
        tasks.append(asyncio.create_task(self._sweep()))
    if self._feed:
      tasks.append(asyncio.create_task(self._feed.run()))
    try:
      yield self
    finally:
      for task in tasks:
        task.cancel()
      await asyncio.gather(*tasks, return_exceptions=True)
      if self._ranges:
        await self._ranges.close()
      if self.live:
        await self.live.close()
      if self.history:
        await self.history.close()
      if self.archive:
        self.archive.close()

  def flush(self) -> None:
    """Forgets all that is kept in this process."""
    self.freshness.flush()
    for kept in (self._ranges, self._exact):
      if kept:
        kept.flush()

  async def ask(self, question: Question) -> Board:
    """The board that answers a question.

    Raises:
      Problem: there is none (404), it cannot be made (422), or no store can answer now (503).
    """
    return (await self.answer(question)).board

  async def answer(self, question: Question) -> Answer:
    """The board that answers a question, with the one before.

    Raises:
      Problem: as of `ask`.
    """
    self.note(question)
    found = self._answers.get(question.key)
    self.metrics.cache('boards', found is not None)
    return await self.renew(question) if found is None else found

  async def renew(self, question: Question) -> Answer:
    """As `answer`, whatever is kept."""
    found = await self._flights.do(question.key, lambda: self._answer(question))
    self._answers.put(question.key, found, found.stamp)
    return found

  def take_asked(self) -> 'collections.Counter[Question]':
    """How often each question was asked since this was called last; of the first so many."""
    asked, self._asked = self._asked, collections.Counter()
    return asked

  def note(self, question: Question) -> None:
    """Counts that a question was asked, also where a kept reply answers it."""
    if question in self._asked or len(self._asked) < _NOTED:
      self._asked[question] += 1

  async def _answer(self, question: Question) -> Answer:
    """What the first path that can answer says."""
    absent: list[str] = []
    failed: dict[str, Exception] = {}
    for path, ask in self._paths(question):
      try:
        answer = await ask(question)
      except _CANNOT as error:
        failed[path] = error
        continue
      if answer is None:
        absent.append(path)
        continue
      reason = '; '.join(dict.fromkeys(
          str(error) for error in failed.values()
          if question.path != AUTO or not isinstance(error, OddEdges)))
      self.metrics.answers.labels(path, 'yes' if reason else 'no').inc()
      if reason:
        own = answer.board.degraded or ''
        degraded = own if reason in own else '; '.join(filter(None, (reason, own)))
        # Nothing tells that the better path is back.
        answer = Answer(dataclasses.replace(answer.board, degraded=degraded), answer.previous,
                        answer.stamp._replace(tags=()))
      return answer
    raise self._refusal(question, absent, failed)

  def _paths(self, question: Question
             ) -> list[tuple[str, Callable[[Question], Awaitable[Answer | None]]]]:
    """The ways to an answer, best first."""
    ways: dict[str, tuple[Any, Callable[[Question], Awaitable[Answer | None]]]] = {
        LIVE: (self.live if question.size else None, self._ask_live),
        HISTORY: (self._ranges, self._ask_history), EXACT: (self._exact, self._ask_exact)}
    order = {AUTO: [LIVE, HISTORY, EXACT], LIVE: [LIVE, HISTORY, EXACT],
             HISTORY: [HISTORY, LIVE, EXACT], EXACT: [EXACT]}[question.path]
    return [(path, ways[path][1]) for path in order if ways[path][0]]

  async def _ask_live(self, question: Question) -> Answer | None:
    size, live, feed = question.size, self.live, self._feed
    assert size and live and feed
    stamp = self.freshness.stamp()
    # In this order: a board that is read after it became final has all its events.
    until = await feed.final_until()
    family = question.tenant_id, question.event_type, size.label
    start = await live.newest(*family) if question.start is None else question.start
    if start is None:
      return None
    before = previous_start(size, start, until)
    read_at = time.time()
    record, previous = await live.read(*family, [start, before])
    if record is None:
      return None
    key = redisio.family(*family)
    tags: list[Hashable] = [board_tag(key, start), board_tag(key, before), FINALITY]
    if question.start is None:
      tags.append(family_tag(key))
    final = None if until is None else record.window_end <= until
    return Answer(Board.of_record(record, LIVE, read_at, final),
                  None if previous is None else Board.of_record(previous, LIVE, read_at),
                  stamp._replace(tags=tuple(tags)))

  async def _ask_history(self, question: Question) -> Answer | None:
    size, history, ranges = question.size, self.history, self._ranges
    assert history and ranges
    stamp = self.freshness.stamp()
    who = question.tenant_id, question.event_type
    if size is None:
      assert question.from_secs is not None and question.to_secs is not None
      board = await ranges.board(*who, question.from_secs, question.to_secs, None,
                                 question.to_now)
      return None if board is None else Answer(board, None, stamp)
    until = await history.final_until()
    start = (await history.newest(*who, size.label) if question.start is None
             else question.start)
    if start is None and not size.period_secs:
      newest = await history.newest_of_any(*who)   # of finer windows, to be merged
      start = None if newest is None else size.start(newest)
    if start is None:
      return None
    board, previous = await self._windows(
        question, [start, previous_start(size, start, until)], until)
    return None if board is None else Answer(board, previous, stamp)

  async def _windows(self, question: Question, starts: list[int], until: int | None
                     ) -> list[Board | None]:
    """Windows of the history, stored or made of finer ones; where there is not the first, none."""
    size, history, ranges = question.size, self.history, self._ranges
    assert size and history and ranges
    who = question.tenant_id, question.event_type
    read_at = time.time()
    found: list[Board | None] = []
    for start, record in zip(starts, await history.read(*who, size.label, starts), strict=True):
      if record is not None:
        final = None if until is None else record.window_end <= until
        found.append(Board.of_record(record, HISTORY, read_at, final))
      elif found[:1] == [None] or size.period_secs:
        found.append(None)
      else:
        found.append(await ranges.board(*who, start, size.end(start), size.label))
    return found

  async def ask_exact(self, question: Question, items: Iterable[str]) -> Board | None:
    """The exact board, which knows these items though it does not list them; None where the
    archive cannot tell now."""
    with contextlib.suppress(*_CANNOT):
      answer = await self._ask_exact(question, tuple(items))
      return answer and answer.board
    return None

  async def _ask_exact(self, question: Question, items: tuple[str, ...] = ()) -> Answer | None:
    size, exact = question.size, self._exact
    assert exact
    stamp = self.freshness.stamp()
    who = question.tenant_id, question.event_type
    if size is None:
      assert question.from_secs is not None and question.to_secs is not None
      board = await exact.board(*who, question.from_secs, question.to_secs, None, items)
      return None if board is None else Answer(board, None, stamp)
    start = question.start
    if start is None:
      start = await self._newest(*who, size.label)
    if start is None:
      return None
    board = await exact.board(*who, start, size.end(start), size.label, items)
    if board is None:
      return None
    previous = None
    if self.history:
      with contextlib.suppress(*_CANNOT):
        until = await self.history.final_until()
        [previous] = await self._windows(question, [previous_start(size, start, until)], until)
    return Answer(board, previous, stamp)

  async def _newest(self, tenant_id: str, event_type: str, label: str) -> int | None:
    """Start of the newest window, of whichever store can tell it."""
    stores: list[Any] = [store for store in (self.live, self.history) if store]
    for place, store in enumerate(stores, 1):
      try:
        found = await store.newest(tenant_id, event_type, label)
      except StoreDown:
        if place == len(stores):
          raise
        continue
      if found is not None:
        return found
    return None

  def _refusal(self, question: Question, absent: list[str], failed: dict[str, Exception]
               ) -> Problem:
    """Why no path answers."""
    down = [error for error in failed.values() if isinstance(error, (StoreDown, ArchiveDown))]
    if down:
      return Problem(503, 'unavailable', '; '.join(dict.fromkeys(map(str, down))),
                     remedy='try again in a moment', retry_secs=_RETRY_SECS)
    for path, error in failed.items():
      if isinstance(error, OddEdges):
        name, nearest = next(iter(error.edges.items()))
        if question.size and nearest:
          return bad('window', question.size.label, 'is not stored, and no stored windows make it '
                     'up', 'GET /v1/event_types lists the sizes that are stored')
        if question.size:   # nothing is
          absent.append(path)
          continue
        return bad(name, utc(getattr(question, f'{name}_secs')),
                   'no stored window begins or ends there, and there is no archive to count in',
                   f'take {utc(nearest[0])} or {utc(nearest[1])}' if nearest else
                   'take the edge of a stored window')
      return bad('to', question.to_secs and utc(question.to_secs),
                 f'this range cannot be merged: {error}',
                 'take a shorter one, or roll its windows up (topk-rollup)')
    if not absent:
      return bad('path', question.path, 'the service has no store that answers by this path',
                 'leave path out')
    what = f'tenant {question.tenant_id!r}, event type {question.event_type!r}'
    if question.size is None:
      field, value, which = 'from', utc(question.from_secs or 0), 'in that range'
    elif question.at is None:
      field, value, which = 'window', question.size.label, f'of window {question.size.label}'
    else:
      field, value, which = 'at', utc(question.at), (
          f'of window {question.size.label} at {utc(question.start or 0)}')
    return Problem(404, 'no_board', f'there is no board of {what} {which}', field=field,
                   value=value, remedy='GET /v1/event_types lists what there is')

  async def _sweep(self) -> None:
    """Drops merged ranges from PostgreSQL when their time is over."""
    assert self.history
    while True:
      await asyncio.sleep(_SWEEP_SECS)
      with contextlib.suppress(StoreDown):
        await self.history.forget_kept(self.settings.rollup_secs)


def previous_start(size: WindowSize, start: int, until: int | None) -> int:
  """Start of the last window before this one that is closed and shares no time with it.

  Args:
    until: windows that ended until then are closed; None where no one knows: then all that end
      before this one starts are taken for it.

  >>> previous_start(WindowSize('1h', 3600), 7200, until=7000)
  0
  """
  edge = start if until is None else min(start, until)
  if size.period_secs:
    return edge - edge % size.period_secs - size.secs
  return size.start(size.start(edge) - 1)


def boards_of(request: Request) -> Boards:
  """The boards of the application that serves a request: for `Depends`."""
  return request.app.state.boards
