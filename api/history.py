"""The history in PostgreSQL, read without blocking."""
import asyncio
import datetime
from collections.abc import Sequence
from typing import Any

import psycopg
import psycopg_pool

from leaderboard.io import postgresio, secretsio
from leaderboard.transforms.boards import BoardRecord

DOWN: tuple[type[Exception], ...] = (
    psycopg.OperationalError, psycopg.InterfaceError, psycopg_pool.PoolTimeout, OSError,
    asyncio.TimeoutError)
_UTC = datetime.timezone.utc


class HistoryBoards:
  """Reads boards as `postgresio.PostgresBoards` does; opened and closed by the application.

  Args:
    dsn: where PostgreSQL is; a reference is resolved here.
    connect_secs: how long a connection may take.
    query_secs: how long a statement may take.
    connections: at most so many at once.
  """

  def __init__(self, dsn: str, connect_secs: float, query_secs: float,
               connections: int = 8) -> None:
    self.dsn = dsn
    self._query_secs = query_secs
    self.pool = psycopg_pool.AsyncConnectionPool(
        secretsio.resolve(dsn), min_size=1, max_size=connections, timeout=connect_secs,
        open=False, check=psycopg_pool.AsyncConnectionPool.check_connection,
        reconnect_timeout=2, kwargs={
            'autocommit': True, 'connect_timeout': max(2, round(connect_secs)),
            'application_name': 'topk-serve',
            'options': f'-c statement_timeout={round(query_secs * 1000)}'})

  async def open(self) -> None:
    await self.pool.open(wait=False)

  async def close(self) -> None:
    await self.pool.close(timeout=1)

  async def fetch(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """All rows of a query.

    Raises:
      one of DOWN: the server is away, or takes too long.
    """
    async def run() -> list[tuple[Any, ...]]:
      async with self.pool.connection() as connection:
        cursor = await connection.execute(query, values, binary=True)   # type: ignore[arg-type]
        return await cursor.fetchall()

    # A server that does not answer at all is not told by its own timeout.
    return await asyncio.wait_for(run(), self._query_secs + 1)

  async def read(self, tenant_id: str, event_type: str, window_size: str,
                 starts: list[int]) -> list[BoardRecord | None]:
    """Boards of one family by the starts of their windows; None for what is not there."""
    rows = await self.fetch(
        f'{postgresio.READ} where tenant_id = %s and event_type = %s and window_size = %s '
        f'and window_start = any(%s)',
        [tenant_id, event_type, window_size, [moment(start) for start in starts]])
    found = {record.window_start: record for record in map(postgresio.record_of, rows)}
    return [found.get(start) for start in starts]

  async def newest(self, tenant_id: str, event_type: str, window_size: str) -> int | None:
    """Start of the newest window, None where there is none."""
    rows = await self.fetch(
        'select extract(epoch from max(window_start))::bigint from board_windows '
        'where tenant_id = %s and event_type = %s and window_size = %s',
        [tenant_id, event_type, window_size])
    return rows[0][0]

  async def final_until(self) -> int | None:
    """See postgresio.PostgresBoards.final_until."""
    return (await self.fetch(postgresio.FINAL_UNTIL))[0][0]


def moment(epoch_secs: int) -> datetime.datetime:
  return datetime.datetime.fromtimestamp(epoch_secs, _UTC)
