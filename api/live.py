"""Live boards from Redis, read without blocking."""
import asyncio
import re
import urllib.parse
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from leaderboard.api.breaker import Breaker, StoreDown
from leaderboard.io import redisio, secretsio
from leaderboard.transforms.boards import BoardRecord

_AWAY: tuple[type[Exception], ...] = (redis.RedisError, OSError, asyncio.TimeoutError)
DOWN: tuple[type[Exception], ...] = (StoreDown, *_AWAY)
# Of a listing; more families are in PostgreSQL.
_SCAN_STEPS = 1_000
_CLUSTER = '+cluster://'
_LATEST = re.compile(r'topk:\{([^:}]*):([^:}]*)\}:(.+):latest')
_T = TypeVar('_T')


class LiveBoards:
  """Reads boards as `redisio.RedisBoards` does.

  Every reading method raises StoreDown (`DOWN`) while the server is away.

  Args:
    url: see redisio.connect; a reference is resolved here.
    timeout_secs: of a connection and of an answer.
    connections: at most so many at once; who comes then waits for one.
  """

  def __init__(self, url: str, timeout_secs: float, connections: int = 32) -> None:
    self.url = url
    self.breaker = Breaker('Redis', _AWAY)
    self._timeout_secs = timeout_secs
    resolved = secretsio.resolve(url)
    self._cluster = _CLUSTER in resolved
    self._plain = resolved.replace(_CLUSTER, '://', 1)
    # One try more, at once: a pooled connection may be from before a restart.
    self._options: dict[str, Any] = {
        'decode_responses': True, 'socket_timeout': timeout_secs,
        'socket_connect_timeout': timeout_secs, 'retry': Retry(NoBackoff(), 1)}
    if self._cluster:
      self.client: Any = redis.asyncio.RedisCluster.from_url(
          self._plain, max_connections=connections, **self._options)
    else:
      self.client = redis.asyncio.Redis(connection_pool=redis.asyncio.BlockingConnectionPool
                                        .from_url(self._plain, timeout=timeout_secs,
                                                  max_connections=connections, **self._options))

  async def close(self) -> None:
    await self.client.aclose()

  def subscriber(self) -> Any:
    """A client of its own for a subscription; of a cluster, whose nodes pass every message on,
    that of one node."""
    # With protocol 3, redis-py does not know the answer to a ping for one.
    return redis.asyncio.Redis.from_url(self._plain, protocol=2, **self._options)

  async def call(self, call: Callable[[], Awaitable[_T]]) -> _T:
    """Any call of `client`, unless the server is away.

    Raises:
      StoreDown: it is.
    """
    return await self.breaker.call(
        lambda: asyncio.wait_for(call(), 2 * self._timeout_secs))

  async def read(self, tenant_id: str, event_type: str, window_size: str,
                 starts: list[int]) -> list[BoardRecord | None]:
    """Boards of one family by the starts of their windows, in one round trip and as of one
    moment; None for what is not there."""
    prefix = redisio.family(tenant_id, event_type, window_size)
    pipeline = self.client.pipeline(transaction=True)
    for start in starts:
      pipeline.hgetall(f'{prefix}:{start}:board')
      pipeline.hgetall(f'{prefix}:{start}:rows')
    found = await self.call(pipeline.execute)
    return [redisio.record_of(tenant_id, event_type, window_size, start, fields, rows)
            for start, fields, rows in zip(starts, found[::2], found[1::2], strict=True)]

  async def newest(self, tenant_id: str, event_type: str, window_size: str) -> int | None:
    """Start of the newest window, None where there is none."""
    found = await self.call(lambda: self.client.get(
        f'{redisio.family(tenant_id, event_type, window_size)}:latest'))
    return None if found is None else int(found)

  async def final_until(self) -> int | None:
    """See redisio.RedisBoards.final_until."""
    jobs = sorted(await self.call(lambda: self.client.smembers(redisio.JOBS)))
    if not jobs:
      return None
    pipeline = self.client.pipeline(transaction=False)
    for job in jobs:
      pipeline.hmget(redisio.job_key(job), 'watermark_secs', 'allowed_lateness_secs')
    told = await self.call(pipeline.execute)
    return min((int(watermark) - int(lateness)
                for watermark, lateness in told if watermark is not None), default=None)

  async def families(self, limit: int) -> list[tuple[str, str, str, int, int]]:
    """Tenant, event type, window size and twice the start of the newest window: Redis does not
    tell the oldest."""
    keys: set[str] = set()
    cursor: Any = None
    for _ in range(0 if self._cluster else _SCAN_STEPS):
      cursor, found = await self.call(lambda cursor=cursor: self.client.scan(   # type: ignore[misc]
          cursor or 0, match='topk:{*:latest', count=1_000))
      keys.update(found)
      if not cursor or len(keys) >= limit:
        break
    families = []
    for key in sorted(keys)[:limit]:
      match = _LATEST.fullmatch(key)
      newest = await self.call(lambda key=key: self.client.get(key))   # type: ignore[misc]
      if match and newest is not None:
        tenant, kind, size = map(urllib.parse.unquote, match.groups())
        families.append((tenant, kind, size, int(newest), int(newest)))
    return families
