"""An item over the windows of one size: what the stored board of each tells of it."""
import asyncio
import dataclasses
import time
from typing import Any

from leaderboard.api import history
from leaderboard.api.answers import HISTORY, LIVE
from leaderboard.api.boards import AUTO, Boards, Question
from leaderboard.api.brackets import Brackets
from leaderboard.api.breaker import StoreDown
from leaderboard.api.members import standing
from leaderboard.api.problems import Problem, bad
from leaderboard.api.ties import Ties
from leaderboard.io.flags import utc
from leaderboard.transforms.boards import BoardRecord, WindowSize
from leaderboard.transforms.heavyhitters import HeavyHitters

MAX_POINTS = 1000
# Of windows that are not stored and made of finer ones, each by a merge.
MAX_MERGED = 100
# Of records of up to some 50 KB each, and of summaries of up to some 100 KB.
_FETCH = 100

_SUMMARIES = (
    'select extract(epoch from window_start)::bigint, generation, events, summary '
    'from board_windows where tenant_id = %s and event_type = %s and window_size = %s '
    'and window_start = any(%s)')


@dataclasses.dataclass(frozen=True)
class Trend:
  """What is asked.

  Attributes:
    starts: of the windows, epoch seconds, earliest first.
    path: `auto`, `live` or `history`.
  """
  tenant_id: str
  event_type: str
  size: WindowSize
  starts: list[int]
  item: str
  ties: Ties
  path: str = 'auto'


def starts_between(size: WindowSize, from_secs: int, to_secs: int) -> list[int]:
  """Starts of the windows that start in [from_secs, to_secs), at most MAX_POINTS.

  >>> starts_between(WindowSize('1h', 3600), 7300, 14_401)
  [10800, 14400]

  Raises:
    Problem: there are none, or too many.
  """
  if (to_secs - from_secs) // (size.period_secs or size.secs) > MAX_POINTS + 1:
    raise _too_many(size, from_secs, to_secs)
  starts, start = [], size.start(from_secs)
  while start < to_secs:
    if start >= from_secs:
      starts.append(start)
    start = start + size.period_secs if size.period_secs else size.end(start)
  if len(starts) > MAX_POINTS:
    raise _too_many(size, from_secs, to_secs)
  if not starts:
    raise bad('to', utc(to_secs), f'no window of {size} starts from {utc(from_secs)} on and '
              f'before', f'the next one starts at {utc(start)}')
  return starts


def starts_until(size: WindowSize, at: int, points: int) -> list[int]:
  """Starts of so many windows, the last of which holds a moment.

  >>> starts_until(WindowSize('1h', 3600), 7300, 2)
  [3600, 7200]
  """
  starts = [size.start(at)]
  while len(starts) < points:
    start = starts[-1]
    starts.append(start - size.period_secs if size.period_secs else size.start(start - 1))
  return starts[::-1]


async def read_trend(boards: Boards, trend: Trend) -> tuple[dict[str, Any], float]:
  """The item in each of the windows, see schemas.Trend, and when the store was read.

  Raises:
    Problem: no store can tell, or not now.
  """
  failed: list[str] = []
  absent = False
  for path, read in ((HISTORY, _from_history), (LIVE, _from_live)):
    if getattr(boards, path) is None or trend.path not in (AUTO, path):
      continue
    read_at = time.time()
    try:
      points = await read(boards, trend)
    except StoreDown as error:
      failed.append(str(error))
      continue
    if not any(point['stored'] for point in points):
      absent = True
      continue
    return {
        'tenant': trend.tenant_id, 'event_type': trend.event_type, 'window': trend.size.label,
        'from': utc(trend.starts[0]), 'to': utc(trend.size.end(trend.starts[-1])),
        'item': trend.item, 'path': path, 'degraded': '; '.join(failed) or None,
        'points': points}, read_at
  if failed:
    raise Problem(503, 'unavailable', '; '.join(failed), remedy='try again in a moment',
                  retry_secs=1)
  if absent:
    raise Problem(404, 'no_board', f'there is no board of tenant {trend.tenant_id!r}, event type '
                  f'{trend.event_type!r} from {utc(trend.starts[0])} to '
                  f'{utc(trend.size.end(trend.starts[-1]))}', field='window',
                  value=trend.size.label, remedy='GET /v1/event_types lists what there is')
  raise bad('path', trend.path, 'the service has no store that answers by this path',
            'leave path out')


async def _from_history(boards: Boards, trend: Trend) -> list[dict[str, Any]]:
  assert boards.history
  family = trend.tenant_id, trend.event_type
  if trend.size.label not in await boards.history.sizes(*family) and not trend.size.period_secs:
    return await _merged(boards, trend)
  return await _stored(boards, boards.history, trend)


async def _from_live(boards: Boards, trend: Trend) -> list[dict[str, Any]]:
  return await _stored(boards, boards.live, trend)


async def _stored(boards: Boards, store: Any, trend: Trend) -> list[dict[str, Any]]:
  # In this order: a board that is read after it became final has all its events.
  until = await store.final_until()
  points = []
  for first in range(0, len(trend.starts), _FETCH):
    starts = trend.starts[first:first + _FETCH]
    records = await store.read(trend.tenant_id, trend.event_type, trend.size.label, starts)
    summaries = await _summaries(boards, trend, records) if store is boards.history else {}
    points += await asyncio.to_thread(_points, trend, starts, records, summaries, until)
  return points


async def _merged(boards: Boards, trend: Trend) -> list[dict[str, Any]]:
  """Of windows of a size that is not stored: each is made of finer ones."""
  if len(trend.starts) > MAX_MERGED:
    raise bad('window', trend.size.label, f'is not stored, and at most {MAX_MERGED} of its windows '
              f'are made of finer ones at once', 'ask for fewer windows, or for a stored size')
  points = []
  for start in trend.starts:
    question = Question(trend.tenant_id, trend.event_type, trend.size, start, path=HISTORY)
    try:
      board = await boards.ask(question)
    except Problem as problem:
      if problem.status != 404:
        raise
      points.append(_absent(trend, start))
      continue
    points.append(_point(trend, start, board.brackets, board.final))
  return points


async def _summaries(boards: Boards, trend: Trend, records: list[BoardRecord | None]
                     ) -> dict[int, HeavyHitters]:
  """The summaries of the boards that do not list the item and may yet hold it."""
  unknown = [record for record in records if record and record.rest_upper
             and all(row.item != trend.item for row in record.rows)]
  if not unknown or boards.history is None:
    return {}
  revisions = {record.window_start: record.revision for record in unknown}
  rows = await boards.history.fetch(_SUMMARIES, [
      trend.tenant_id, trend.event_type, trend.size.label,
      [history.moment(start) for start in revisions]])

  def decode() -> dict[int, HeavyHitters]:
    return {start: HeavyHitters.from_bytes(summary) for start, *revision, summary in rows
            if tuple(revision) == revisions[start]}

  return await asyncio.to_thread(decode)


def _points(trend: Trend, starts: list[int], records: list[BoardRecord | None],
            summaries: dict[int, HeavyHitters], until: int | None) -> list[dict[str, Any]]:
  points = []
  for start, record in zip(starts, records, strict=True):
    if record is None:
      points.append(_absent(trend, start))
      continue
    summary = summaries.get(start)
    brackets = Brackets.of_summary(summary) if summary else Brackets.of_rows(
        record.rows, record.rest_upper, record.total)
    points.append(_point(trend, start, brackets,
                         None if until is None else record.window_end <= until))
  return points


def _absent(trend: Trend, start: int) -> dict[str, Any]:
  return {'from': utc(start), 'to': utc(trend.size.end(start)), 'stored': False,
          'total': None, 'final': None, **dict.fromkeys(_OF_ITEM)}


def _point(trend: Trend, start: int, brackets: Brackets, final: bool | None) -> dict[str, Any]:
  found = standing(brackets, trend.item, trend.ties)
  return {'from': utc(start), 'to': utc(trend.size.end(start)), 'stored': True,
          'total': brackets.total, 'final': final, **{name: found[name] for name in _OF_ITEM}}


_OF_ITEM = ('rank', 'count', 'lower', 'upper', 'share')


def _too_many(size: WindowSize, from_secs: int, to_secs: int) -> Problem:
  return bad('to', utc(to_secs), f'there are more than {MAX_POINTS} windows of {size} from '
             f'{utc(from_secs)} on', 'ask for a coarser window or a shorter time')
