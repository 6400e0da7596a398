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
import hashlib
import importlib.resources
import json
import operator
import re
import time
import urllib.parse
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import apache_beam as beam
import redis
from apache_beam.metrics import Metrics

from leaderboard.io import secretsio
from leaderboard.io.batching import BoardBatchFn, PublishFn, write_batches
from leaderboard.io.disks import DiskFull, says_full
from leaderboard.io.retry import retried
from leaderboard.transforms.boards import BoardRecord, Row
from leaderboard.transforms.countevents import BoardCell
from leaderboard.transforms.revisions import Change

_FLUSH_BOARDS = 500
_FLUSH_ROWS = 50_000
_TIMEOUT_SECS = 30
_E = redis.exceptions
_TRANSIENT: tuple[type[Exception], ...] = (
    redis.ConnectionError, redis.TimeoutError, _E.BusyLoadingError, _E.ReadOnlyError,
    _E.MasterDownError, _E.TryAgainError, _E.ClusterDownError)
_REFUSED = (_E.AuthenticationError, _E.AuthorizationError, _E.NoPermissionError)
# What a user of the server has to be allowed, beside keys and channels `topk:*`.
ACL_COMMANDS = tuple(f'+{name}' for name in (
    'ping', 'hello', 'client|setinfo', 'client|setname', 'script|load', 'evalsha', 'hgetall',
    'hget', 'hmget', 'hset', 'hdel', 'zadd', 'zrem', 'zrange', 'expire', 'persist', 'get', 'set',
    'xadd', 'xrange', 'publish', 'sadd', 'smembers', 'multi', 'exec'))
_FIELDS = ('window_end', 'total', 'tau', 'rest_upper', 'epsilon', 'delta', 'resolution')
JOBS = 'topk:jobs'
_APPLY, _PUBLISH = 'apply_board', 'publish_watermark'
# Of a job that goes on without Redis: how long it waits, and how long it then leaves it alone.
_SKIP_PATIENCE_SECS = 1.0
_SKIP_SECS = 10.0

_T = TypeVar('_T')


class RedisUnavailable(Exception):
  """Redis cannot be reached or refuses the client; the message names the server and why."""


def check(url: str) -> None:
  """Tries a server.

  Raises:
    RedisUnavailable: in one line, without the password.
  """
  try:
    client = connect(url, socket_timeout=5, socket_connect_timeout=5,
                     retry=redis.retry.Retry(redis.backoff.NoBackoff(), 0))
  except secretsio.SecretUnavailable as error:
    raise RedisUnavailable(str(error)) from None
  except (redis.RedisError, OSError) as error:   # a cluster is asked for its nodes at once
    raise _unavailable(url, error) from None
  except ValueError:
    # Not what redis-py says: of a malformed URL it may quote a piece of the password.
    raise RedisUnavailable(f'{shown(url)} is no Redis URL, expected redis://host:port/db with '
                           f'special characters percent-encoded') from None
  try:
    client.ping()
  except (redis.RedisError, OSError) as error:
    raise _unavailable(url, error) from None
  finally:
    client.close()


def _unavailable(url: str, error: Exception) -> RedisUnavailable:
  if says_full(str(error)):
    return RedisUnavailable(str(DiskFull(str(error), f'the disk of Redis at {shown(url)}')))
  reason = str(error).rstrip('.')
  return RedisUnavailable(f'cannot use Redis at {shown(url)}: {reason}; is it running, and are '
                          f'user and password right?')


def connect(url: str, **options: Any) -> Any:
  """A client: of one server, or of a cluster where the scheme is redis+cluster:// or
  rediss+cluster://. The URL may be a reference (`secretsio`)."""
  url = secretsio.resolve(url)
  if '+cluster://' in url:
    return redis.cluster.RedisCluster.from_url(url.replace('+cluster://', '://', 1), **options)
  return redis.Redis.from_url(url, **options)


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
  return f'{JOBS}:{urllib.parse.quote(job, safe="")}'


def record_of(tenant_id: str, event_type: str, window_size: str, window_start: int,
              fields: Mapping[str, str], rows: Mapping[str, str]) -> BoardRecord | None:
  """The record that the hashes `...:board` and `...:rows` hold, both of one moment; None where
  they are empty."""
  if not fields:
    return None
  ranked = [(item, int(count), int(upper)) for item, value in rows.items()
            for count, _, upper in (value.partition(' '),)]
  # Scores are doubles; the order of counts beyond 2^53 is that of the exact integers. Two plain
  # sorts, of which the second keeps the order of the first, take half as long as one by a key.
  ranked.sort()
  ranked.sort(key=operator.itemgetter(1), reverse=True)
  return BoardRecord(
      tenant_id=tenant_id, event_type=event_type, window_size=window_size,
      window_start=window_start, summary=b'', resolution=fields['resolution'],
      epsilon=_number(fields['epsilon']), delta=_number(fields['delta']),
      rows=tuple(map(Row._make, ranked)),
      **{name: int(fields[name]) for name in (
          'window_end', 'generation', 'events', 'total', 'tau', 'rest_upper')})


class RedisBoards:
  """Reads and writes boards.

  Args:
    url: redis://, rediss:// or unix://, of a cluster redis+cluster:// or rediss+cluster://.
    ttl_secs: window size -> seconds that a board lives after its last write; sizes that are
      not named live for ever.
    patience_secs: how long a server may be away; None for `retry.PATIENCE_SECS`.
  """

  def __init__(self, url: str, ttl_secs: Mapping[str, int] | None = None,
               patience_secs: float | None = None) -> None:
    self._url = url
    self._ttl_secs = ttl_secs or {}
    self._patience_secs = patience_secs
    folder = importlib.resources.files('leaderboard.io').joinpath('lua')
    self._scripts = {name: folder.joinpath(f'{name}.lua').read_text('utf-8')
                     for name in (_APPLY, _PUBLISH)}
    # By their digest, loaded where a server says that it lacks them: so it is on a cluster too.
    self._digests = {name: hashlib.sha1(text.encode()).hexdigest()
                     for name, text in self._scripts.items()}

  @functools.cached_property
  def _client(self) -> Any:
    # A cluster is asked for its nodes here: it may be away, and is then tried again.
    return connect(self._url, decode_responses=True, socket_timeout=_TIMEOUT_SECS,
                   socket_connect_timeout=_TIMEOUT_SECS)

  def close(self) -> None:
    if '_client' in self.__dict__:
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
        # Not `evalsha`, which the pipeline of a cluster refuses, though all keys are of one slot.
        pipeline.execute_command('EVALSHA', self._digests[_APPLY], len(keys), *keys, *args)
      return pipeline.execute()

    return self._with_retry(write)

  def read_board(self, tenant_id: str, event_type: str, window_size: str,
                 window_start: int) -> BoardRecord | None:
    """A board as of one moment, or None when there is none."""
    prefix = family(tenant_id, event_type, window_size)
    pipeline = self._client.pipeline(transaction=True)
    pipeline.hgetall(f'{prefix}:{window_start}:board')
    pipeline.hgetall(f'{prefix}:{window_start}:rows')
    fields, rows = pipeline.execute()
    return record_of(tenant_id, event_type, window_size, window_start, fields, rows)

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
      pipeline.execute_command('EVALSHA', self._digests[_PUBLISH], 1, job_key(job),
                               watermark_secs, allowed_lateness_secs)
      pipeline.sadd(JOBS, job)
      pipeline.execute()

    self._with_retry(write)

  def final_until(self) -> int | None:
    """Boards whose window ended until then (epoch seconds) are final: of all jobs that told a
    watermark the least watermark - allowed lateness. None when none did."""
    return min((watermark - lateness for _, watermark, lateness in self.watermarks()),
               default=None)

  def watermarks(self) -> list[tuple[str, int, int]]:
    """Every job that told a watermark: name, watermark and allowed lateness (seconds)."""
    jobs = sorted(map(str, self._client.smembers(JOBS)))
    pipeline = self._client.pipeline(transaction=False)
    for job in jobs:
      pipeline.hmget(job_key(job), 'watermark_secs', 'allowed_lateness_secs')
    return [(job, int(watermark), int(lateness))
            for job, (watermark, lateness) in zip(jobs, pipeline.execute(), strict=True)
            if watermark is not None]

  def forget(self, job: str) -> bool:
    """Takes out the watermark of a job that is over; whether there was one."""
    # A job that is in the set alone tells nothing: this order never leaves a wrong answer.
    held = bool(self._client.delete(job_key(job)))
    return bool(self._client.srem(JOBS, job)) or held

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
    """The call, and again while the server is away or has lost the scripts."""
    def attempt() -> _T:
      try:
        return call()
      except redis.exceptions.NoScriptError:   # a new server, or SCRIPT FLUSH
        self._load()
        return call()

    def give_up(error: Exception) -> RedisUnavailable:
      return RedisUnavailable(f'Redis at {shown(self._url)} stays away: {error}')

    try:
      return retried(attempt, _TRANSIENT, give_up, self._patience_secs)
    except _REFUSED as error:
      # Of ConnectionError, which may pass, as redis-py has it.
      raise RedisUnavailable(f'Redis at {shown(self._url)} refuses: {error}; is user '
                             f'and password right, with leave for the commands that the '
                             f'documentation lists?') from None
    except redis.exceptions.OutOfMemoryError as error:
      raise RedisUnavailable(f'Redis at {shown(self._url)} is full: {error}; give it more '
                             f'maxmemory, or boards an end with --redis_ttl') from None
    except redis.ResponseError as error:
      _, found, reason = str(error).partition('MISCONF ')
      if not found:   # else it cannot write its own data down
        raise
      if says_full(reason):
        raise DiskFull(reason, f'the disk of Redis at {shown(self._url)}') from None
      raise RedisUnavailable(
          f'Redis at {shown(self._url)} cannot keep its data: {reason}') from None

  def _load(self) -> None:
    for text in self._scripts.values():
      self._client.script_load(text)

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
    skip_failures: goes on without a Redis that stays away. What it misses is counted
      (`boards_skipped`) and left to a repair, which alone can then tell what is final.
  Input: BoardRecord.
  Output: int, the window ends (epoch seconds) of the records, once they are in Redis (or, with
    skip_failures, it was tried).
  """
  url: str
  ttl_secs: Mapping[str, int] | None = None
  skip_failures: bool = False

  def expand(self, records: beam.PCollection) -> beam.PCollection:
    write = _SkipFn if self.skip_failures else _WriteFn
    return write_batches(records, write(self.url, self.ttl_secs))


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


class _SkipFn(_WriteFn):
  """Writes while Redis is there. After a failure it is left alone for a while: a bundle must not
  wait for each batch anew."""

  def setup(self) -> None:
    self._boards = RedisBoards(self._url, self._ttl_secs, _SKIP_PATIENCE_SECS)
    self._skipping_until = 0.0

  def write(self, records: list[BoardRecord]) -> None:
    if time.monotonic() >= self._skipping_until:
      try:
        super().write(records)
        return
      except RedisUnavailable:
        self._skipping_until = time.monotonic() + _SKIP_SECS
    Metrics.counter('WriteToRedis', 'boards_skipped').inc(len(records))


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
