"""The history in PostgreSQL, read without blocking."""
import asyncio
import datetime
import logging
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

import psycopg
import psycopg_pool

from leaderboard.api.breaker import Breaker, StoreDown
from leaderboard.api.tiling import Span, Stored, choose, grid_secs, merge_order
from leaderboard.io import postgresio, secretsio
from leaderboard.transforms.boards import BoardRecord

_E = psycopg.errors
_AWAY: tuple[type[Exception], ...] = (
    psycopg.OperationalError, psycopg.InterfaceError, psycopg_pool.PoolTimeout,
    psycopg_pool.PoolClosed, OSError, asyncio.TimeoutError)
# What the server says of one statement: others may well be answered. A standby has no unlogged
# tables.
_REFUSED = (_E.UndefinedTable, _E.UndefinedColumn, _E.InsufficientPrivilege,
            _E.ReadOnlySqlTransaction, _E.FeatureNotSupported, _E.QueryCanceled)
DOWN: tuple[type[Exception], ...] = (StoreDown, *_AWAY)
_UTC = datetime.timezone.utc
_T = TypeVar('_T')
_RECONNECT_SECS = 2

_BOARD = 'tenant_id = %s and event_type = %s and window_size = %s'
# Each next one by the index; a scan of all boards would take as long as there are boards.
_SIZES = """
with recursive sizes as (
  (select window_size from board_windows where tenant_id = %s and event_type = %s
   order by window_size limit 1)
  union all
  select (select window_size from board_windows where tenant_id = %s and event_type = %s
          and window_size > sizes.window_size order by window_size limit 1)
  from sizes where window_size is not null)
select window_size from sizes where window_size is not null"""
_FAMILIES = """
with recursive families as (
  (select tenant_id, event_type, window_size from board_windows
   order by tenant_id, event_type, window_size limit 1)
  union all
  select next.* from families cross join lateral (
    select tenant_id, event_type, window_size from board_windows as b
    where (b.tenant_id, b.event_type, b.window_size)
      > (families.tenant_id, families.event_type, families.window_size)
    order by tenant_id, event_type, window_size limit 1) as next)
select f.*, extract(epoch from ends.oldest)::bigint, extract(epoch from ends.newest)::bigint
from families as f cross join lateral (
  select min(window_start) as oldest, max(window_start) as newest from board_windows as b
  where (b.tenant_id, b.event_type, b.window_size) = (f.tenant_id, f.event_type, f.window_size)
) as ends limit %s"""
_WINDOWS = """
select b.window_size, extract(epoch from b.window_start)::bigint,
  extract(epoch from b.window_end)::bigint, b.generation, b.events, b.total,
  parts.generation, parts.events
from unnest(%s::timestamptz[], %s::timestamptz[]) as gap (low, high)
join board_windows as b on b.window_start >= gap.low and b.window_start < gap.high
  and b.window_end <= gap.high
left join lateral (
  select max(p.generation) as generation, sum(p.events) as events from board_windows as p
  where p.tenant_id = b.tenant_id and p.event_type = b.event_type and p.window_size = %s
    and p.window_start >= b.window_start and p.window_start < b.window_end
    and p.window_end <= b.window_end) as parts on true
where b.tenant_id = %s and b.event_type = %s and b.window_size = %s
  and b.window_start >= %s and b.window_start < %s
order by b.window_start"""
_SUMMARIES = f"""
select window_size, extract(epoch from window_start)::bigint,
  extract(epoch from window_end)::bigint, generation, events, total, summary
from board_windows where {_BOARD} and window_start = any(%s)"""
_KEPT = """
select extract(epoch from range_start)::bigint, extract(epoch from range_end)::bigint, parts,
  summary
from merged_ranges where tenant_id = %s and event_type = %s and (range_start, range_end, parts) in (
  select * from unnest(%s::timestamptz[], %s::timestamptz[], %s::bytea[]))
  and merged_at > now() - make_interval(secs => %s)"""
_KEEP = """
insert into merged_ranges (tenant_id, event_type, range_start, range_end, parts, summary)
values (%s, %s, %s, %s, %s, %s)
on conflict (tenant_id, event_type, range_start, range_end) do update
set parts = excluded.parts, summary = excluded.summary, merged_at = now()"""


class Plan(NamedTuple):
  """What is stored of a range.

  Attributes:
    tiles: windows that do not overlap, by start.
    missing: what none of them covers, [start, end) in epoch seconds, in order.
    grid_secs: the finest step at which ranges can begin and end; None where there is none.
  """
  tiles: list[Stored]
  missing: list[Span]
  grid_secs: int | None


class HistoryBoards:
  """Reads boards as `postgresio.PostgresBoards` does; opened and closed by the application.

  Every reading method raises StoreDown (`DOWN`) while the server is away.

  Args:
    dsn: where PostgreSQL is; a reference is resolved here.
    connect_secs: how long a connection may take.
    query_secs: how long a statement may take.
    connections: at most so many at once.
  """

  def __init__(self, dsn: str, connect_secs: float, query_secs: float,
               connections: int = 8) -> None:
    self.dsn = dsn
    self.breaker = Breaker('PostgreSQL', (*_AWAY, *_REFUSED), harmless=_REFUSED)
    self._query_secs = query_secs
    # It tells every attempt; the breaker tells when the server goes and comes.
    logging.getLogger('psycopg').setLevel(logging.CRITICAL)
    self._running: set[asyncio.Task[Any]] = set()
    self.pool = psycopg_pool.AsyncConnectionPool(
        secretsio.resolve(dsn), min_size=1, max_size=connections, timeout=connect_secs,
        open=False, check=psycopg_pool.AsyncConnectionPool.check_connection,
        # Whoever asks next starts another attempt: it never waits for a long pause to end.
        reconnect_timeout=_RECONNECT_SECS, kwargs={
            'autocommit': True, 'connect_timeout': max(2, round(connect_secs)),
            'application_name': 'topk-serve',
            'options': f'-c statement_timeout={round(query_secs * 1000)}'})

  async def open(self) -> None:
    await self.pool.open(wait=False)

  async def close(self) -> None:
    await self.pool.close(timeout=1)

  async def fetch(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """All rows of a query."""
    async def run() -> list[tuple[Any, ...]]:
      async with self.pool.connection() as connection:
        cursor = connection.cursor(binary=True)
        await cursor.execute(query, values)
        return await cursor.fetchall() if cursor.description else []

    return await self.breaker.call(lambda: self._in_time(run()))

  async def _in_time(self, query: Coroutine[Any, Any, _T]) -> _T:
    """The result of a query. Of a server that does not answer at all its own timeout tells nothing,
    and the driver takes ten seconds more to give a query up: no one waits for that."""
    task = asyncio.create_task(query)
    self._running.add(task)
    task.add_done_callback(self._ended)
    try:
      done, _ = await asyncio.wait([task], timeout=self._query_secs + 1)
    except asyncio.CancelledError:
      task.cancel()
      raise
    if not done:
      task.cancel()
      raise asyncio.TimeoutError
    return task.result()

  def _ended(self, task: asyncio.Task[Any]) -> None:
    self._running.discard(task)
    if not task.cancelled():
      task.exception()   # heard, though no one waits any more

  async def read(self, tenant_id: str, event_type: str, window_size: str,
                 starts: list[int]) -> list[BoardRecord | None]:
    """Boards of one family by the starts of their windows; None for what is not there."""
    rows = await self.fetch(f'{postgresio.READ} where {_BOARD} and window_start = any(%s)',
                            [tenant_id, event_type, window_size, moments(starts)])
    found = {record.window_start: record for record in map(postgresio.record_of, rows)}
    return [found.get(start) for start in starts]

  async def newest(self, tenant_id: str, event_type: str, window_size: str) -> int | None:
    """Start of the newest window, None where there is none."""
    rows = await self.fetch(
        f'select extract(epoch from max(window_start))::bigint from board_windows where {_BOARD}',
        [tenant_id, event_type, window_size])
    return rows[0][0]

  async def sizes(self, tenant_id: str, event_type: str) -> list[str]:
    """Labels of the window sizes that are stored."""
    return [label for (label,) in await self.fetch(
        _SIZES, [tenant_id, event_type, tenant_id, event_type])]

  async def newest_of_any(self, tenant_id: str, event_type: str) -> int | None:
    """Start of the newest window of whatever size, None where there is none."""
    starts = [await self.newest(tenant_id, event_type, label)
              for label in await self.sizes(tenant_id, event_type)]
    return max((start for start in starts if start is not None), default=None)

  async def final_until(self) -> int | None:
    """See postgresio.PostgresBoards.final_until."""
    return (await self.fetch(postgresio.FINAL_UNTIL))[0][0]

  async def families(self, limit: int) -> list[tuple[str, str, str, int, int]]:
    """Tenant, event type, window size, start of the oldest and of the newest window of what is
    stored."""
    return [tuple(row) for row in await self.fetch(_FAMILIES, [limit])]

  async def plan(self, tenant_id: str, event_type: str, from_secs: int, to_secs: int) -> Plan:
    """Which stored windows make up [from, to)."""
    labels = await self.sizes(tenant_id, event_type)
    gaps: list[Span] = [(from_secs, to_secs)]
    tiles: list[Stored] = []
    for label, part in merge_order(labels):
      if not gaps:
        break
      rows = await self.fetch(_WINDOWS, [
          *map(moments, zip(*gaps, strict=True)), part, tenant_id, event_type, label,
          moment(gaps[0][0]), moment(gaps[-1][1])])
      taken, gaps = choose([_stored(row) for row in rows], gaps)
      tiles += taken
    tiles.sort(key=lambda tile: tile.start)
    return Plan(tiles, gaps, grid_secs(labels))

  async def summaries(self, tenant_id: str, event_type: str, tiles: Iterable[Stored]
                      ) -> list[tuple[Stored, bytes]]:
    """The encoded summaries of stored windows, each with the revision that was read; those that
    are gone are left out."""
    starts: dict[str, list[int]] = {}
    for tile in tiles:
      starts.setdefault(tile.size, []).append(tile.start)
    found = []
    for size, wanted in starts.items():
      found += await self.fetch(_SUMMARIES, [tenant_id, event_type, size, moments(wanted)])
    return [(_stored((*row[:6], None, None)), row[6]) for row in found]

  async def kept(self, tenant_id: str, event_type: str, wanted: Sequence[tuple[Span, bytes]],
                 most_secs: int) -> dict[Span, bytes]:
    """Those of the merged ranges, each with the digest of its parts, that are kept: encoded."""
    rows = await self.fetch(_KEPT, [
        tenant_id, event_type, moments(span[0] for span, _ in wanted),
        moments(span[1] for span, _ in wanted), [digest for _, digest in wanted], most_secs])
    return {(start, end): summary for start, end, _, summary in rows}

  async def keep(self, tenant_id: str, event_type: str, span: Span, parts: bytes,
                 summary: bytes) -> None:
    """Keeps a merged range."""
    await self.fetch(_KEEP, [tenant_id, event_type, moment(span[0]), moment(span[1]), parts,
                             summary])

  async def forget_kept(self, most_secs: int) -> None:
    """Drops the merged ranges that are older."""
    await self.fetch('delete from merged_ranges where merged_at < now() - '
                     'make_interval(secs => %s)', [most_secs])


def _stored(row: Sequence[Any]) -> Stored:
  size, start, end, generation, events, total, part_generation, part_events = row
  parts = None if part_generation is None else (part_generation, int(part_events))
  return Stored(size, start, end, (generation, events), int(total), parts)


def moment(epoch_secs: int) -> datetime.datetime:
  return datetime.datetime.fromtimestamp(epoch_secs, _UTC)


def moments(epoch_secs: Iterable[int]) -> list[datetime.datetime]:
  return [moment(secs) for secs in epoch_secs]
