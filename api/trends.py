"""An item over the windows of one size: what the stored board of each tells of it."""
import asyncio
import dataclasses
import time
from typing import Any

from leaderboard.api import history, live
from leaderboard.api.answers import HISTORY, LIVE, instant
from leaderboard.api.boards import Boards
from leaderboard.api.brackets import Brackets
from leaderboard.api.members import standing
from leaderboard.api.problems import Problem, bad
from leaderboard.api.ties import Ties
from leaderboard.io.flags import utc
from leaderboard.transforms.boards import BoardRecord, WindowSize
from leaderboard.transforms.heavyhitters import HeavyHitters

MAX_POINTS = 1000
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


async def read_trend(boards: Boards, trend: Trend) -> dict[str, Any]:
  """The item in each of the windows: see schemas.Trend.

  Raises:
    Problem: no store can tell now.
  """
  degraded = None
  for path, store, down in ((HISTORY, boards.history, history.DOWN),
                            (LIVE, boards.live, live.DOWN)):
    if store is None or trend.path not in ('auto', path):
      continue
    try:
      # In this order: a board that is read after it became final has all its events.
      until = await store.final_until()
      read_at = time.time()
      points = []
      for first in range(0, len(trend.starts), _FETCH):
        starts = trend.starts[first:first + _FETCH]
        records = await store.read(trend.tenant_id, trend.event_type, trend.size.label, starts)
        summaries = await _summaries(boards, trend, records) if path == HISTORY else {}
        points += await asyncio.to_thread(_points, trend, starts, records, summaries, until)
    except down as error:
      degraded = f'{path} is out of reach: {type(error).__name__}'
      continue
    return {
        'tenant': trend.tenant_id, 'event_type': trend.event_type, 'window': trend.size.label,
        'from': utc(trend.starts[0]), 'to': utc(trend.size.end(trend.starts[-1])),
        'item': trend.item, 'path': path, 'degraded': degraded, 'as_of': instant(read_at),
        'points': points}
  raise Problem(503, 'unavailable', degraded or f'there is no store for path={trend.path}',
                field='path', value=trend.path, remedy='try again later', retry_secs=1)


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
  return [_point(trend, start, record, summaries.get(start), until)
          for start, record in zip(starts, records, strict=True)]


def _point(trend: Trend, start: int, record: BoardRecord | None, summary: HeavyHitters | None,
           until: int | None) -> dict[str, Any]:
  point: dict[str, Any] = {'from': utc(start), 'to': utc(trend.size.end(start))}
  if record is None:
    return {**point, 'stored': False, **dict.fromkeys(_OF_STORED)}
  brackets = Brackets.of_summary(summary) if summary else Brackets.of_rows(
      record.rows, record.rest_upper, record.total)
  found = standing(brackets, trend.item, trend.ties)
  return {**point, 'stored': True, **{name: found[name] for name in _OF_STORED[:5]},
          'total': record.total, 'final': None if until is None else record.window_end <= until}


_OF_STORED = ('rank', 'count', 'lower', 'upper', 'share', 'total', 'final')


def _too_many(size: WindowSize, from_secs: int, to_secs: int) -> Problem:
  return bad('to', utc(to_secs), f'there are more than {MAX_POINTS} windows of {size} from '
             f'{utc(from_secs)} on', 'ask for a coarser window or a shorter time')
