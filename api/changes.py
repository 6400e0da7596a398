"""Changes of boards as they happen: server-sent events from the change streams in Redis.

One task reads the end of a family's stream for all who follow it. A follower is sent what is newest
whenever it is ready for it, so that a slow one skips revisions and never makes a queue: each event
says which revision its rows are the difference to (`since`), null where they are all rows.

Events: `board`, a board has changed, with the id of its entry in the stream; `reset`, changes were
missed (the stream no longer has what came after the id, or too many boards changed at once): read
anew; `status`, whether the service is connected to the stream, at once, at each turn and as a sign
of life.
"""
import asyncio
import collections
import contextlib
import random
import re
import time
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any, NamedTuple

import orjson
import redis
from fastapi import APIRouter, FastAPI, Header, Request
from fastapi.responses import StreamingResponse

from leaderboard.api.answers import LIVE, Board, as_answer, instant
from leaderboard.api.boards import previous_start
from leaderboard.api.live import DOWN, LiveBoards
from leaderboard.api.parameters import (
    At,
    EventType,
    K,
    Tenant,
    Window,
    check_text,
    read_moment,
    read_window,
)
from leaderboard.api.problems import Problem, bad
from leaderboard.io import redisio
from leaderboard.transforms.boards import WindowSize

# Proxies give up a connection that is silent for longer; 30 s is the least in use.
BEAT_SECS = 15.0
# No follower is sent more than so often, however often a board changes.
_PACE_SECS = 0.2
_BLOCK_SECS = 1.0
_RETRY_SECS = (0.1, 5.0)
# A backfill changes more boards at once than anybody wants to be told one by one.
_MOST_BOARDS = 50
# Boards of which a follower's rows are remembered; of others it is sent all rows.
_HELD_BOARDS = 8
_KEPT_BOARDS = 64   # that were read for one follower and are there for the next
_TAIL = 1000        # entries, as the stream itself keeps
_MOST_FOLLOWERS = 2000
_MOST_FAMILIES = 500   # each takes one connection
_ID = re.compile(r'(\d{1,19})-(\d{1,19})')
_TOLD = ('tenant', 'event_type', 'window', 'from', 'to', 'revision', 'final', 'k', 'events',
         'total', 'tau', 'rest_upper', 'resolution', 'certified_prefix')

StreamId = tuple[int, int]


class Entry(NamedTuple):
  """A change: its place in the stream, and the start of the board's window."""
  id: StreamId
  start: int


class Tail:
  """The end of one change stream, read once for all who follow it.

  Attributes:
    connected: whether what is newest is known here.
    last: id of the last entry that was read.
    news: set at the next entry and the next turn of `connected`; another is then in its place.
    followers: how many there are.
  """

  def __init__(self, live: LiveBoards, tenant_id: str, event_type: str, size: WindowSize) -> None:
    self._live = live
    self._size = size
    self._family = tenant_id, event_type, size.label
    self._key = f'{redisio.family(*self._family)}:changes'
    self.connected = False
    self.last: StreamId = (0, 0)
    self.news = asyncio.Event()
    self.followers = 0
    self._floor: StreamId = (0, 0)   # every entry after it is in _entries
    self._entries: collections.deque[Entry] = collections.deque()
    self._boards: collections.OrderedDict[int, tuple[StreamId, asyncio.Task]] = (
        collections.OrderedDict())
    self._task = asyncio.create_task(self._run())

  def close(self) -> None:
    self._task.cancel()
    self._tell()

  async def since(self, position: StreamId) -> list[Entry] | None:
    """The entries after a position; None where some of them are not known any more."""
    if self._floor <= position <= self.last:
      return [entry for entry in self._entries if entry.id > position]
    if not (await self._state()).follows(position):
      return None
    return _entries(await self._live.client.xrange(
        self._key, f'({_text(position)}', _text(self.last)))

  async def answer(self, start: int, k: int) -> dict[str, Any] | None:
    """The first k rows of a board with all that is told up to `last`; nobody may change it."""
    read_to, task = self._boards.get(start, ((-1, 0), None))
    if task is None or read_to < self.last or task.done() and task.exception():
      task = asyncio.create_task(self._read_board(start))
      self._boards[start] = self.last, task
    self._boards.move_to_end(start)
    while len(self._boards) > _KEPT_BOARDS:
      self._boards.popitem(last=False)
    # Another follower waits for it, too: it must not end with this one.
    found = await asyncio.shield(task)
    if found is None:
      return None
    if k not in found.answers:
      found.answers[k] = as_answer(found.board, k, 0, found.previous) | {
          'as_of': instant(found.board.read_at)}
    return found.answers[k]

  async def _read_board(self, start: int) -> '_Read | None':
    # In this order: a board that is read after it became final has all its events.
    until = await self._live.final_until()
    read_at = time.time()
    record, before = await self._live.read(
        *self._family, [start, previous_start(self._size, start, until)])
    if record is None:
      return None
    final = None if until is None else record.window_end <= until
    return _Read(Board.of_record(record, LIVE, read_at, final),
                 Board.of_record(before, LIVE, read_at) if before else None, {})

  def _tell(self) -> None:
    news, self.news = self.news, asyncio.Event()
    news.set()

  async def _run(self) -> None:
    wait, longest = _RETRY_SECS
    while True:
      try:
        if not self.connected:
          await self._go_on()
          self.connected, wait = True, _RETRY_SECS[0]
          self._tell()
        await self._read()
      except DOWN:
        self.connected = False
        self._tell()
        # Spread out: a restarted server must not meet all its clients at once.
        await asyncio.sleep(wait * random.uniform(0.75, 1.25))
        wait = min(2 * wait, longest)

  async def _go_on(self) -> None:
    """Goes on where it was, as far as the stream still tells what came since."""
    state = await self._state()
    if not (self.last > (0, 0) and state.follows(self.last)):
      self._entries.clear()
      self.last = self._floor = state.last

  async def _read(self) -> None:
    found = await self._live.client.xread(
        {self._key: _text(self.last)}, count=_TAIL, block=round(1000 * _BLOCK_SECS))
    if not found:
      return
    for entry in _entries(_of_stream(found)):
      self._entries.append(entry)
      self.last = entry.id
    while len(self._entries) > _TAIL:
      self._floor = self._entries.popleft().id
    self._tell()

  async def _state(self) -> '_State':
    try:
      info = await self._live.client.xinfo_stream(self._key)
    except redis.ResponseError as error:
      if 'no such key' not in str(error):
        raise
      return _State((0, 0), (0, 0))
    last, first = _id(info['last-generated-id']), info['first-entry']
    if int(info['entries-added']) == int(info['length']):
      return _State((0, 0), last)
    return _State(_id(first[0]) if first else last, last)


class _Read(NamedTuple):
  """A board, the one it is compared with, and answers by their k: made once for all followers."""
  board: Board
  previous: Board | None
  answers: dict[int, dict[str, Any]]


class _State(NamedTuple):
  """From which id on a stream holds every entry, and its last id."""
  floor: StreamId
  last: StreamId

  def follows(self, position: StreamId) -> bool:
    """Whether the stream tells all that came after a position."""
    return self.floor <= position <= self.last


def _id(text: str) -> StreamId:
  millis, _, number = text.partition('-')
  return int(millis), int(number)


def _text(position: StreamId) -> str:
  return '{}-{}'.format(*position)


def _of_stream(found: Any) -> Any:
  """The entries of one stream in the answer to XREAD, of either protocol."""
  if isinstance(found, dict):
    [(entries,)] = found.values()
    return entries
  [(_, entries)] = found
  return entries


def _entries(found: Any) -> list[Entry]:
  return [Entry(_id(position), int(fields['start'])) for position, fields in found]


class Changes:
  """All that is followed in this process.

  Args:
    live: a client of its own, which waits longer than a blocking read for an answer.
  """

  def __init__(self, live: LiveBoards) -> None:
    self._live = live
    self._tails: dict[tuple[str, str, WindowSize], Tail] = {}
    self._closing = False

  async def close(self) -> None:
    """Ends every stream: a service that stops must not wait for its followers."""
    self._closing = True
    for tail in list(self._tails.values()):
      tail.close()
    await self._live.close()

  def check_room(self, family: tuple[str, str, WindowSize]) -> None:
    """Refuses one follower too many.

    Raises:
      Problem: there is no room (503).
    """
    followers = sum(tail.followers for tail in self._tails.values())
    full = len(self._tails) >= _MOST_FAMILIES and family not in self._tails
    if followers >= _MOST_FOLLOWERS or full:
      raise Problem(503, 'too_many_followers', f'{followers} followers of {len(self._tails)} '
                    f'families are as many as one process serves',
                    remedy='try again later, or ask for the board itself', retry_secs=30)

  @contextlib.contextmanager
  def _followed(self, family: tuple[str, str, WindowSize]) -> Iterator[Tail]:
    tail = self._tails.get(family)
    if tail is None:
      tail = self._tails[family] = Tail(self._live, *family)
    tail.followers += 1
    try:
      yield tail
    finally:
      tail.followers -= 1
      if not tail.followers:
        tail.close()
        self._tails.pop(family, None)

  async def follow(self, family: tuple[str, str, WindowSize], k: int, start: int | None = None,
                   position: StreamId | None = None) -> AsyncIterator[bytes]:
    """Server-sent events of a family, until the follower leaves.

    Args:
      family: tenant, event type and window size.
      k: rows of a board.
      start: of the one window to follow; None for all.
      position: the last entry that is known already; None to begin with the next change.
    """
    told, sent_at = None, 0.0
    held: collections.OrderedDict[int, dict[str, Any]] = collections.OrderedDict()
    with self._followed(family) as tail:
      if not tail.connected:   # a moment, so that the first word is the true one
        await _wait(tail.news, _BLOCK_SECS)
      while not self._closing:
        news = tail.news
        if tail.connected and position is None:
          position = tail.last
        if tail.connected != told:
          told = tail.connected
          yield _event('status', {'connected': told}, position)
        if tail.connected and position is not None:
          try:
            async for event, reached in self._events(tail, position, k, start, held):
              position = reached
              if event:
                yield event
                sent_at = time.monotonic()
          except DOWN:
            tail.connected = False   # its task sees to that, and tells when it is over
            continue
        if await _wait(news, BEAT_SECS):
          await asyncio.sleep(max(0.0, sent_at + _PACE_SECS - time.monotonic()))
        else:
          yield _event('status', {'connected': told}, position)

  async def _events(self, tail: Tail, position: StreamId, k: int, start: int | None,
                    held: collections.OrderedDict[int, dict[str, Any]]
                    ) -> AsyncIterator[tuple[bytes, StreamId]]:
    """What came after a position, and the position after each event: one a board, in the order
    of the boards' last entries."""
    fresh = await tail.since(position)
    latest = {entry.start: entry.id for entry in fresh or [] if start in (None, entry.start)}
    if fresh is None or len(latest) > _MOST_BOARDS:
      held.clear()
      yield _event('reset', {}, tail.last), tail.last
      return
    for at, last in sorted(latest.items(), key=lambda entry: entry[1]):
      now = await tail.answer(at, k)
      if now is None:   # it has expired
        continue
      before = held.pop(at, None)
      held[at] = now
      if len(held) > _HELD_BOARDS:
        held.popitem(last=False)
      if before is None or before['revision'] != now['revision']:
        yield _event('board', difference(before, now), last), last
    if fresh:   # some were of no interest
      yield b'', fresh[-1].id


def difference(before: dict[str, Any] | None, now: dict[str, Any]) -> dict[str, Any]:
  """What makes an answer out of an earlier one of the same board.

  Returns:
    The board as it is now, but of its rows only those that are new or other than before (a share
    aside, which follows from count and total), and `gone`, the items that left them. `since` is
    the revision before; null where that is none to build on, and the rows are all.
  """
  revision = now['revision']
  if before and (before['revision']['generation'] != revision['generation']
                 or before['revision']['events'] > revision['events']):
    before = None
  since = before['revision'] if before else None
  old = {row['item']: row for row in before['rows']} if before else {}
  items = {row['item'] for row in now['rows']}
  return {
      **{name: now[name] for name in (*_TOLD, 'as_of')}, 'since': since,
      'events_added': revision['events'] - (since['events'] if since else 0),
      'ranks_moved': sum(1 for row in now['rows']
                         if row['item'] not in old or old[row['item']]['rank'] != row['rank']),
      'rows': [row for row in now['rows']
               if row['item'] not in old or old[row['item']] | {'share': row['share']} != row],
      'gone': [item for item in old if item not in items]}


async def _wait(news: asyncio.Event, secs: float) -> bool:
  """Whether there was any within that time."""
  try:
    await asyncio.wait_for(news.wait(), secs)
    return True
  except asyncio.TimeoutError:
    return False


def _event(name: str, data: dict[str, Any], position: StreamId | None) -> bytes:
  ident = '' if position is None else f'id: {_text(position)}\n'
  return f'{ident}event: {name}\ndata: '.encode() + orjson.dumps(data) + b'\n\n'


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
  settings = app.state.boards.settings
  app.state.changes = settings.redis and Changes(LiveBoards(
      settings.redis, _BLOCK_SECS + settings.redis_msec / 1000, _MOST_FAMILIES + 32))
  yield
  if app.state.changes:
    await app.state.changes.close()


router = APIRouter(tags=['leaderboards'], lifespan=_lifespan)

_EXAMPLE = """\
id: 1385294400000-0
event: status
data: {"connected":true}

id: 1385294401250-0
event: board
data: {"tenant":"JFK","event_type":"flight","window":"1h","from":"2013-07-01T14:00:00Z",\
"to":"2013-07-01T15:00:00Z","revision":{"generation":0,"events":42},"final":false,"k":10,\
"events":42,"total":42,"tau":0,"rest_upper":0,"resolution":"exact","certified_prefix":2,\
"as_of":"2013-07-01T14:31:08.250Z","since":{"generation":0,"events":41},"events_added":1,\
"ranks_moved":0,"rows":[{"rank":1,"item":"LAX","count":23,"lower":23,"upper":23,\
"certified":true,"share":0.547619,"previous_rank":1,"movement":0}],"gone":[]}

"""


@router.get('/v1/leaderboards/{event_type}/changes', response_class=StreamingResponse, responses={
    200: {'description': 'Events `status`, `board` and `reset`, without end.',
          'content': {'text/event-stream': {'schema': {'type': 'string'}, 'example': _EXAMPLE}}}})
async def changes(
    request: Request, event_type: EventType, tenant: Tenant = 'default', window: Window = None,
    k: K = 10, at: At = None,
    last_event_id: Annotated[str | None, Header(
        alias='Last-Event-ID', max_length=40,
        description='The id of the last event: what came after it is told first.')] = None
) -> StreamingResponse:
  """The boards of a tenant, event type and window size as they change, as server-sent events.

  A `board` event has the rows that changed since the revision `since`, all rows where that is
  null; who holds another revision reads the board anew. After `reset` changes were missed. With
  `at`, only the board of that moment is followed.
  """
  check_text('event_type', event_type)
  check_text('tenant', tenant)
  size = read_window('1h' if window is None else window)
  start = None if at is None else size.start(read_moment('at', at))
  position = None
  if last_event_id:
    if not _ID.fullmatch(last_event_id):
      raise bad('Last-Event-ID', last_event_id, 'must be the id of an event of this stream',
                'leave it out to begin with the next change')
    position = _id(last_event_id)
  followed = request.app.state.changes
  if not followed:
    raise Problem(404, 'no_changes', 'changes are told by Redis, and this service has none',
                  remedy='start it with --redis')
  family = tenant, event_type, size
  followed.check_room(family)
  return StreamingResponse(
      followed.follow(family, k, start, position), media_type='text/event-stream',
      # nginx would keep events back until its buffer is full.
      headers={'Cache-Control': 'no-store', 'X-Accel-Buffering': 'no'})
