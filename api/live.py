"""Live boards from Redis, read without blocking."""
from typing import Any

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from leaderboard.io import redisio, secretsio
from leaderboard.transforms.boards import BoardRecord

DOWN: tuple[type[Exception], ...] = (redis.RedisError, OSError)
_CLUSTER = '+cluster://'


class LiveBoards:
  """Reads boards as `redisio.RedisBoards` does.

  Args:
    url: see redisio.connect; a reference is resolved here.
    timeout_secs: of a connection and of an answer.
    connections: at most so many at once; who comes then waits for one.
  """

  def __init__(self, url: str, timeout_secs: float, connections: int = 32) -> None:
    self.url = url
    resolved = secretsio.resolve(url)
    # One try more, at once: a pooled connection may be from before a restart.
    options: dict[str, Any] = {
        'decode_responses': True, 'socket_timeout': timeout_secs,
        'socket_connect_timeout': timeout_secs, 'max_connections': connections,
        'retry': Retry(NoBackoff(), 1)}
    if _CLUSTER in resolved:
      self.client: Any = redis.asyncio.RedisCluster.from_url(
          resolved.replace(_CLUSTER, '://', 1), **options)
    else:
      self.client = redis.asyncio.Redis(connection_pool=redis.asyncio.BlockingConnectionPool
                                        .from_url(resolved, timeout=timeout_secs, **options))

  async def close(self) -> None:
    await self.client.aclose()

  async def read(self, tenant_id: str, event_type: str, window_size: str,
                 starts: list[int]) -> list[BoardRecord | None]:
    """Boards of one family by the starts of their windows, in one round trip and as of one
    moment; None for what is not there.

    Raises:
      redis.RedisError, OSError: the server is away or refuses.
    """
    prefix = redisio.family(tenant_id, event_type, window_size)
    pipeline = self.client.pipeline(transaction=True)
    for start in starts:
      pipeline.hgetall(f'{prefix}:{start}:board')
      pipeline.hgetall(f'{prefix}:{start}:rows')
    found = await pipeline.execute()
    return [redisio.record_of(tenant_id, event_type, window_size, start, fields, rows)
            for start, fields, rows in zip(starts, found[::2], found[1::2], strict=True)]

  async def newest(self, tenant_id: str, event_type: str, window_size: str) -> int | None:
    """Start of the newest window, None where there is none."""
    found = await self.client.get(
        f'{redisio.family(tenant_id, event_type, window_size)}:latest')
    return None if found is None else int(found)

  async def final_until(self) -> int | None:
    """See redisio.RedisBoards.final_until."""
    jobs = sorted(await self.client.smembers(redisio.JOBS))
    if not jobs:
      return None
    pipeline = self.client.pipeline(transaction=False)
    for job in jobs:
      pipeline.hmget(redisio.job_key(job), 'watermark_secs', 'allowed_lateness_secs')
    return min((int(watermark) - int(lateness)
                for watermark, lateness in await pipeline.execute() if watermark is not None),
               default=None)
