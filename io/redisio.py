"""Redis: live boards. One script applies a board record whole, and never an older one.

Keys of a board, all in one slot of a cluster (tenant and type percent-encoded):
`topk:{tenant:type}:size:start:ranks`, a sorted set with score = -count; `...:rows`, a hash
of item -> "count upper" as exact integers; `...:board`, the record and what its last revision
changed. Per tenant, type and size: `...:latest`, the start of the newest window, and
`...:changes`, a capped stream and channel. `topk:jobs` is the set of the jobs that told a
watermark, `topk:jobs:name` the hash of one.
"""
import dataclasses
import functools
import importlib.resources
import json
import random
import re
import time
import urllib.parse
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import apache_beam as beam
import redis
from apache_beam.metrics import Metrics

from leaderboard.io.batching import BoardBatchFn, PublishFn, write_batches
from leaderboard.transforms.boards import BoardRecord, Row
from leaderboard.transforms.countevents import BoardCell
from leaderboard.transforms.revisions import Change

_FLUSH_BOARDS = 500
_FLUSH_ROWS = 50_000
_TRIES = 6
_TIMEOUT_SECS = 30
_TRANSIENT = (redis.ConnectionError, redis.TimeoutError, redis.exceptions.BusyLoadingError)
_FIELDS = ('window_end', 'total', 'tau', 'rest_upper', 'epsilon', 'delta', 'resolution')
_JOBS = 'topk:jobs'

_T = TypeVar('_T')


class RedisUnavailable(Exception):
  """Redis cannot be reached or refuses the client; the message names the server and why."""


def check(url: str) -> None:
  """Tries a server.

  Raises:
    RedisUnavailable: in one line, without the password.
  """
  try:
    client = redis.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=5,
                                  retry=redis.retry.Retry(redis.backoff.NoBackoff(), 0))
  except ValueError:
    # Not what redis-py says: of a malformed URL it may quote a piece of the password.
    raise RedisUnavailable(f'{shown(url)} is no Redis URL, expected redis://host:port/db with '
                           f'special characters percent-encoded') from None
  try:
    client.ping()
  except (redis.RedisError, OSError) as error:
    raise RedisUnavailable(f'cannot use Redis at {shown(url)}: {error}; is it running, and are '
                           f'user and password right?') from None
  finally:
    client.close()


def family(tenant_id: str, event_type: str, window_size: str) -> str:
  """The common part of the keys of one tenant, event type and window size.

  >>> family('a:b', 'play', '1m')
  'topk:{a%3Ab:play}:1m'
  """
  tag = ':'.join(urllib.parse.quote(part, safe='') for part in (tenant_id, event_type))
  return f'topk:{{{tag}}}:{window_size}'


def job_key(job: str) -> str:
  """The key of a job's watermark.

  >>> job_key('live:eu')
  'topk:jobs:live%3Aeu'
  """
  return f'{_JOBS}:{urllib.parse.quote(job, safe="")}'


class RedisBoards:
  """Reads and writes boards.

  Args:
    url: redis://, rediss:// or unix://.
    ttl_secs: window size -> seconds that a board lives after its last write; sizes that are
      not named live for ever.
  """

  def __init__(self, url: str, ttl_secs: Mapping[str, int] | None = None) -> None:
    self._url = url
    self._client = redis.Redis.from_url(
        url, decode_responses=True, socket_timeout=_TIMEOUT_SECS,
        socket_connect_timeout=_TIMEOUT_SECS)
    self._ttl_secs = ttl_secs or {}
    scripts = importlib.resources.files('leaderboard.io').joinpath('lua')
    self._apply, self._publish = (
        self._client.register_script(scripts.joinpath(name).read_text('utf-8'))
        for name in ('apply_board.lua', 'publish_watermark.lua'))

  def close(self) -> None:
    self._client.close()

  def apply(self, records: Iterable[BoardRecord]) -> list[str]:
    """Applies records in one pipeline; says of each `applied`, `done`, `older` or `empty`.

    May be repeated at will: a revision that is there already changes nothing. A lost
    connection is tried again for some seconds.

    Raises:
      RedisUnavailable: the server stays away.
      redis.RedisError: it refuses.
    """
    commands = [self._command(record) for record in records]

    def write() -> list[str]:
      pipeline = self._client.pipeline(transaction=False)
      for keys, args in commands:
        self._apply(keys, args, client=pipeline)
      return pipeline.execute()

    return self._with_retry(write)

  def read_board(self, tenant_id: str, event_type: str, window_size: str,
                 window_start: int) -> BoardRecord | None:
    """A board as of one moment, or None when there is none."""
    prefix = family(tenant_id, event_type, window_size)
    pipeline = self._client.pipeline(transaction=True)
    pipeline.hgetall(f'{prefix}:{window_start}:board')
    pipeline.hgetall(f'{prefix}:{window_start}:rows')
    record, rows = pipeline.execute()
    if not record:
      return None
    numbers = {item: tuple(map(int, value.split())) for item, value in rows.items()}
    # Scores are doubles; the order of counts beyond 2^53 is that of the exact integers.
    ranked = sorted(numbers, key=lambda item: (-numbers[item][0], item))
    return BoardRecord(
        tenant_id=tenant_id, event_type=event_type, window_size=window_size,
        window_start=window_start, summary=b'', resolution=record['resolution'],
        epsilon=_number(record['epsilon']), delta=_number(record['delta']),
        rows=tuple(Row(item, *numbers[item]) for item in ranked),
        **{name: int(record[name]) for name in (
            'window_end', 'generation', 'events', 'total', 'tau', 'rest_upper')})

  def read_change(self, tenant_id: str, event_type: str, window_size: str,
                  window_start: int) -> Change | None:
    """What a board's newest revision changed; None where there is no board, or an older release
    wrote it."""
    key = f'{family(tenant_id, event_type, window_size)}:{window_start}:board'
    values = self._client.hmget(key, [field.name for field in dataclasses.fields(Change)])
    numbers = [int(value) for value in values if value is not None]
    return Change(*numbers) if numbers else None

  def publish_watermark(self, job: str, watermark_secs: int, allowed_lateness_secs: int) -> None:
    """Tells how far a job has come; an older watermark never takes the place of a later one.

    Args:
      job: name of the job, the same in each of its runs.
      watermark_secs: no board whose window ended `allowed_lateness_secs` before this moment
        (epoch seconds) changes any more.

    Raises:
      RedisUnavailable: the server stays away.
      redis.RedisError: it refuses.
    """
    def write() -> None:
      pipeline = self._client.pipeline(transaction=False)
      self._publish([job_key(job)], [watermark_secs, allowed_lateness_secs], client=pipeline)
      pipeline.sadd(_JOBS, job)
      pipeline.execute()

    self._with_retry(write)

  def final_until(self) -> int | None:
    """Boards whose window ended until then (epoch seconds) are final: of all jobs that told a
    watermark the least watermark - allowed lateness. None when none did."""
    pipeline = self._client.pipeline(transaction=False)
    for job in map(str, self._client.smembers(_JOBS)):
      pipeline.hmget(job_key(job), 'watermark_secs', 'allowed_lateness_secs')
    return min((int(watermark) - int(lateness) for watermark, lateness in pipeline.execute()
                if watermark is not None), default=None)

  def revisions(self, window_size: str,
                boards: list[BoardCell]) -> dict[BoardCell, tuple[int, int]]:
    """The revision of those of the boards that are stored."""
    found = {}
    for first in range(0, len(boards), 10_000):
      part = boards[first:first + 10_000]
      pipeline = self._client.pipeline(transaction=False)
      for tenant_id, event_type, start in part:
        pipeline.hmget(f'{family(tenant_id, event_type, window_size)}:{start}:board',
                       'generation', 'events')
      for board, (generation, events) in zip(part, pipeline.execute(), strict=True):
        if generation is not None:
          found[board] = (int(generation), int(events))
    return found

  def _with_retry(self, call: Callable[[], _T]) -> _T:
    for attempt in range(_TRIES):
      try:
        return call()
      except _TRANSIENT as error:
        if attempt == _TRIES - 1:
          raise RedisUnavailable(f'Redis at {shown(self._url)} stays away: {error}') from None
        time.sleep(random.uniform(0.5, 1) * 0.1 * 2**attempt)
    raise AssertionError('unreachable')

  def _command(self, record: BoardRecord) -> tuple[list[str], list[Any]]:
    prefix = family(record.tenant_id, record.event_type, record.window_size)
    board = f'{prefix}:{record.window_start}'
    keys = [f'{board}:ranks', f'{board}:rows', f'{board}:board', f'{prefix}:latest',
            f'{prefix}:changes']
    # One JSON text: an argument for each value costs the client five times as much (measured).
    rows = json.dumps([text for item, count, upper in record.rows
                       for text in (item, f'{count} {upper}')],
                      ensure_ascii=False, separators=(',', ':'))
    args: list[Any] = [record.generation, record.events, self._ttl_secs.get(record.window_size, 0),
                       record.window_start, rows]
    for name in _FIELDS:
      value = getattr(record, name)
      args += name, '' if value is None else value
    return keys, args


def _number(text: str) -> float | None:
  return float(text) if text else None


def shown(url: str) -> str:
  """The URL without its password, however malformed.

  >>> shown('redis://:se/cret@host:6379/0?password=secret')
  'redis://***@host:6379/0?password=***'
  """
  return re.sub(r'(password=)[^&]*', r'\1***', re.sub(r'//.*@', '//***@', url))


@dataclasses.dataclass
class WriteToRedis(beam.PTransform):
  """Writes boards to Redis, a bundle in few round trips.

  A retried or re-ordered bundle leaves the same state: a record is applied only when its
  revision is newer than what is stored.

  Args:
    url: where Redis is.
    ttl_secs: see RedisBoards.
  Input: BoardRecord.
  Output: int, the window ends (epoch seconds) of the records, once they are in Redis.
  """
  url: str
  ttl_secs: Mapping[str, int] | None = None

  def expand(self, records: beam.PCollection) -> beam.PCollection:
    return write_batches(records, _WriteFn(self.url, self.ttl_secs))


class _WriteFn(BoardBatchFn):

  def __init__(self, url: str, ttl_secs: Mapping[str, int] | None) -> None:
    super().__init__(_FLUSH_BOARDS, _FLUSH_ROWS)
    self._url = url
    self._ttl_secs = ttl_secs

  def setup(self) -> None:
    self._boards = RedisBoards(self._url, self._ttl_secs)

  def write(self, records: list[BoardRecord]) -> None:
    for outcome in self._boards.apply(records):
      Metrics.counter('WriteToRedis', f'boards_{outcome}').inc()

  def teardown(self) -> None:
    self._boards.close()


@dataclasses.dataclass
class PublishWatermarkToRedis(beam.PTransform):
  """Tells readers of Redis how far a job has come (`RedisBoards.publish_watermark`).

  Args:
    url: where Redis is.
    job: name of the job, the same in each of its runs.
    allowed_lateness_secs: how late an event may be and still refine its boards.
  Input: int, watermarks (epoch seconds), as `Finality` makes them of what WriteToRedis wrote.
  """
  url: str
  job: str
  allowed_lateness_secs: int = 0

  def expand(self, watermarks: beam.PCollection) -> beam.PCollection:
    return watermarks | 'Publish' >> beam.ParDo(PublishFn(
        functools.partial(RedisBoards, self.url), self.job, self.allowed_lateness_secs))
