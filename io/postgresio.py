"""PostgreSQL: the history of boards, one row each, newer revisions over older ones only."""
import dataclasses
import datetime
import functools
import importlib.resources
import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import apache_beam as beam
import psycopg
from apache_beam.metrics import Metrics
from psycopg import sql

from leaderboard.io import secretsio
from leaderboard.io.batching import BoardBatchFn, PublishFn, write_batches
from leaderboard.io.disks import DiskFull
from leaderboard.io.retry import retried
from leaderboard.transforms.boards import BoardRecord, Row
from leaderboard.transforms.countevents import BoardCell
from leaderboard.transforms.revisions import Change

_FLUSH_BOARDS = 2_000
_FLUSH_ROWS = 50_000
_CONNECT_SECS = 10
# A connection that swallows what is sent must not hold a bundle for ever.
_SETTINGS: dict[str, Any] = {
    'autocommit': True, 'keepalives_idle': 10, 'keepalives_interval': 5, 'keepalives_count': 3,
    'tcp_user_timeout': 30_000}
_AHEAD_SECS = 15 * 86_400
_MIGRATION_LOCK = 0x746F706B   # "topk": any number that all clients share
_UTC = datetime.timezone.utc

_COLUMNS = ('tenant_id', 'event_type', 'window_size', 'window_start', 'window_end', 'generation',
            'events', 'total', 'tau', 'rest_upper', 'epsilon', 'delta', 'resolution', 'rows',
            'summary')
_SHOWN = [name for name in _COLUMNS if name != 'summary']
READ = f'select {", ".join(_SHOWN)} from board_windows'
FINAL_UNTIL = ('select min(extract(epoch from watermark)::bigint - allowed_lateness_secs) '
               'from job_state')
_FETCH_BOARDS = 500
# Of a new board; for a board that is there already the statement finds both itself.
_SENT = (*_COLUMNS, 'events_added', 'ranks_moved')
_TYPES = ('text', 'text', 'text', 'timestamptz', 'timestamptz', 'int', 'bigint', 'numeric',
          'numeric', 'numeric', 'float8', 'float8', 'text', 'jsonb', 'bytea', 'bigint', 'int')

# Sent in binary: as text, every quote of the JSON and every byte of a summary is escaped (half the
# time of a write, measured).
_BINARY = {'rows': 'text', 'summary': 'bytea'}

# One statement and one round trip for a whole batch: arrays in, columns out of unnest. An item has
# one rank, so the ranks that moved are the places that another item held before.
_UPSERT = f"""
insert into board_windows as stored ({', '.join(_SENT)})
select {', '.join(f'{name}::{kind}' for name, kind in zip(_SENT, _TYPES, strict=True))}
from unnest({', '.join(
    f'%b::{_BINARY[name]}[]' if name in _BINARY else f'%s::{kind}[]'
    for name, kind in zip(_SENT, _TYPES, strict=True))}) as sent ({', '.join(_SENT)})
on conflict (tenant_id, event_type, window_size, window_start) do update
set {', '.join(f'{name} = excluded.{name}' for name in _COLUMNS[4:])}, updated_at = now(),
  revisions = stored.revisions + 1,
  events_added = excluded.events
    - case when stored.generation = excluded.generation then stored.events else 0 end,
  ranks_moved = (
    select count(*) from rows from (
      jsonb_array_elements(excluded.rows), jsonb_array_elements(stored.rows)) as pair (new, old)
    where new is not null and new -> 0 is distinct from old -> 0)
where (stored.generation, stored.events) < (excluded.generation, excluded.events)"""

# The greater pair (watermark, lateness) stays, in whatever order they come.
_PUBLISH = """
insert into job_state as stored (job, watermark, allowed_lateness_secs)
values (%s, to_timestamp(%s), %s)
on conflict (job) do update
set watermark = excluded.watermark, allowed_lateness_secs = excluded.allowed_lateness_secs,
  updated_at = now()
where stored.watermark is null or (stored.watermark, stored.allowed_lateness_secs)
  < (excluded.watermark, excluded.allowed_lateness_secs)"""

_T = TypeVar('_T')


class PostgresUnavailable(Exception):
  """PostgreSQL cannot be reached or refuses the client; the message says where and why."""


def check(dsn: str) -> None:
  """Tries a server.

  Raises:
    PostgresUnavailable: in one line, without the password.
  """
  try:
    connect(dsn).close()
  except secretsio.SecretUnavailable as error:
    raise PostgresUnavailable(str(error)) from None
  except psycopg.Error as error:
    raise PostgresUnavailable(
        f'cannot use PostgreSQL at {shown(dsn)}: {_reason(dsn, error)}; expected '
        f'postgresql://user:password@host:port/database') from None


def connect(dsn: str, **options: Any) -> psycopg.Connection:
  """A connection to where a connection string, or a reference to one (`secretsio`), says."""
  return psycopg.connect(secretsio.resolve(dsn), connect_timeout=_CONNECT_SECS, **options)


def migrate(dsn: str) -> None:
  """Brings the schema up to date; safe to call from many processes at once."""
  with connect(dsn) as connection:
    connection.execute('select pg_advisory_xact_lock(%s)', [_MIGRATION_LOCK])
    connection.execute('create table if not exists schema_version '
                       '(version int primary key, applied_at timestamptz default now())')
    done = {version for (version,) in connection.execute('select version from schema_version')}
    scripts = importlib.resources.files('leaderboard.io').joinpath('sql')
    for script in sorted(scripts.iterdir(), key=lambda script: script.name):
      version = int(script.name.split('_')[0])
      if version not in done:
        connection.execute(script.read_text('utf-8'))
        connection.execute('insert into schema_version (version) values (%s)', [version])


class PostgresBoards:
  """Reads and writes boards.

  Args:
    dsn: where PostgreSQL is; its schema is up to date (`migrate`).
  """

  def __init__(self, dsn: str) -> None:
    self._dsn = dsn
    self._connection: psycopg.Connection | None = None
    self._months: set[datetime.date] = set()

  def close(self) -> None:
    if self._connection:
      self._connection.close()
      self._connection = None

  def apply(self, records: Iterable[BoardRecord]) -> int:
    """Applies records in one transaction; returns how many were newer than what is stored.

    May be repeated at will. A lost connection is tried again for some seconds.

    Raises:
      PostgresUnavailable: the server stays away.
      psycopg.Error: it refuses.
    """
    newest: dict[tuple, BoardRecord] = {}
    for record in records:
      board = (record.tenant_id, record.event_type, record.window_size, record.window_start)
      if record.events and (board not in newest or newest[board].revision < record.revision):
        newest[board] = record
    # Two writers that lock rows in the same order never wait for each other in a circle.
    ordered = [newest[board] for board in sorted(newest)]
    if not ordered:
      return 0
    columns = list(zip(*map(_values, ordered), strict=True))

    def write(connection: psycopg.Connection) -> int:
      with connection.transaction():
        self._make_partitions(connection, {record.window_start for record in ordered})
        return connection.execute(_UPSERT, [list(column) for column in columns]).rowcount

    return self._with_retry(write)

  def read_board(self, tenant_id: str, event_type: str, window_size: str,
                 window_start: int) -> BoardRecord | None:
    """A board, or None when there is none."""
    row = self._with_retry(lambda connection: connection.execute(
        f'{READ} where tenant_id = %s and event_type = %s and window_size = %s '
        f'and window_start = %s',
        [tenant_id, event_type, window_size, _moment(window_start)]).fetchone())
    return None if row is None else record_of(row)

  def scan(self, windows: list[str], from_secs: int | None, to_secs: int | None
           ) -> Iterator[BoardRecord]:
    """Boards, without their summaries, a few in memory at a time.

    Args:
      windows: labels of window sizes; none for all.
      from_secs, to_secs: whose windows start in [from, to), epoch seconds; None for all.
    """
    ends = [None if secs is None else _moment(secs) for secs in (from_secs, to_secs)]
    with (connect(self._dsn) as connection,
          connection.cursor('scan') as cursor):
      cursor.itersize = _FETCH_BOARDS
      cursor.execute(
          f"{READ} where (%s::text[] = '{{}}' or window_size = any(%s)) "
          f"and window_start >= coalesce(%s::timestamptz, '-infinity') "
          f"and window_start < coalesce(%s::timestamptz, 'infinity')",
          [windows, windows, *ends])
      yield from map(record_of, cursor)

  def read_change(self, tenant_id: str, event_type: str, window_size: str,
                  window_start: int) -> Change | None:
    """What a board's newest revision changed; None where there is no board, or an older release
    wrote it."""
    row = self._with_retry(lambda connection: connection.execute(
        'select revisions, events_added, ranks_moved from board_windows where tenant_id = %s '
        'and event_type = %s and window_size = %s and window_start = %s '
        'and events_added is not null',
        [tenant_id, event_type, window_size, _moment(window_start)]).fetchone())
    return None if row is None else Change(*row)

  def publish_watermark(self, job: str, watermark_secs: int, allowed_lateness_secs: int) -> None:
    """Tells how far a job has come; an older watermark never takes the place of a later one.

    Args:
      job: name of the job, the same in each of its runs.
      watermark_secs: no board whose window ended `allowed_lateness_secs` before this moment
        (epoch seconds) changes any more.

    Raises:
      PostgresUnavailable: the server stays away.
      psycopg.Error: it refuses.
    """
    self._with_retry(lambda connection: connection.execute(
        _PUBLISH, [job, watermark_secs, allowed_lateness_secs]))

  def watermarks(self) -> list[tuple[str, int, int]]:
    """Every job that told a watermark: name, watermark and allowed lateness (seconds)."""
    return self._with_retry(lambda connection: connection.execute(
        'select job, extract(epoch from watermark)::bigint, allowed_lateness_secs from job_state '
        'where watermark is not null order by job').fetchall())

  def final_until(self) -> int | None:
    """Boards whose window ended until then (epoch seconds) are final: of all jobs that told a
    watermark the least watermark - allowed lateness. None when none did."""
    (until,) = self._with_retry(lambda connection: connection.execute(
        FINAL_UNTIL).fetchone()) or (None,)
    return until

  def revisions(self, window_size: str,
                boards: list[BoardCell]) -> dict[BoardCell, tuple[int, int]]:
    """The revision of those of the boards that are stored."""
    if not boards:
      return {}
    starts = [start for _, _, start in boards]
    rows = self._with_retry(lambda connection: connection.execute(
        'select tenant_id, event_type, extract(epoch from window_start)::bigint, generation, '
        'events from board_windows where window_size = %s and window_start between %s and %s',
        [window_size, _moment(min(starts)), _moment(max(starts))]).fetchall())
    stored = {(tenant, kind, start): (generation, events)
              for tenant, kind, start, generation, events in rows}
    return {board: stored[board] for board in boards if board in stored}

  def _make_partitions(self, connection: psycopg.Connection, starts: Iterable[int]) -> None:
    """Sees that there are partitions for these window starts, and for what follows soon: so that
    no one waits for the first board of a month."""
    months = {_month(start + ahead) for start in starts for ahead in (0, _AHEAD_SECS)}
    missing = sorted(months - self._months)
    if missing and connection.execute("select relkind = 'p' from pg_class where oid = "
                                      "'board_windows'::regclass").fetchone() == (False,):
      missing = []   # a TimescaleDB hypertable
    for month in missing:
      _make_partition(connection, month)
    self._months |= months

  def _with_retry(self, call: Callable[[psycopg.Connection], _T]) -> _T:
    def attempt() -> _T:
      try:
        if self._connection is None or self._connection.closed:
          self._connection = connect(self._dsn, **_SETTINGS)
        return call(self._connection)
      except psycopg.OperationalError:
        # Gone, restarting, or a deadlock: what was begun is rolled back and begun anew.
        self.close()
        self._months.clear()
        raise

    def give_up(error: Exception) -> Exception:
      if isinstance(error, psycopg.errors.DiskFull):
        return DiskFull(_reason(self._dsn, error), f'the disk of PostgreSQL at {shown(self._dsn)}')
      return PostgresUnavailable(f'PostgreSQL at {shown(self._dsn)} stays away: '
                                 f'{_reason(self._dsn, error)}')

    try:
      return retried(attempt, (psycopg.OperationalError,), give_up)
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as error:
      raise PostgresUnavailable(
          f'PostgreSQL at {shown(self._dsn)} lacks the current schema, which a run of the job '
          f'brings: {_reason(self._dsn, error)}') from None


def _make_partition(connection: psycopg.Connection, month: datetime.date) -> None:
  name = f'board_windows_{month:%Y_%m}'
  # A scan of the catalogue: `to_regclass` may answer from memory, as it was before the lock.
  exists = ("select exists (select from pg_inherits join pg_class on oid = inhrelid "
            "where inhparent = 'board_windows'::regclass and relname = %s)")
  if connection.execute(exists, [name]).fetchone() == (True,):
    return
  connection.execute('select pg_advisory_xact_lock(%s)', [_MIGRATION_LOCK])
  if connection.execute(exists, [name]).fetchone() == (True,):
    return
  following = (month.replace(day=28) + datetime.timedelta(days=7)).replace(day=1)
  # Made apart and attached: `create ... partition of` would lock out every reader and writer.
  connection.execute(sql.SQL('create table {} (like board_windows including all)').format(
      sql.Identifier(name)))
  connection.execute(sql.SQL(
      'alter table board_windows attach partition {} for values from ({}) to ({})').format(
          sql.Identifier(name), sql.Literal(f'{month} 00:00:00+00'),
          sql.Literal(f'{following} 00:00:00+00')))


def record_of(row: tuple[Any, ...]) -> BoardRecord:
  """The record of a row that `READ` selects."""
  fields = dict(zip(_SHOWN, row, strict=True))
  fields.update({name: int(fields[name]) for name in ('total', 'tau', 'rest_upper')})
  fields.update({name: int(fields[name].timestamp()) for name in ('window_start', 'window_end')})
  fields['rows'] = tuple(Row(*entry) for entry in fields['rows'])
  return BoardRecord(**fields, summary=b'')


def _values(record: BoardRecord) -> tuple[Any, ...]:
  return (record.tenant_id, record.event_type, record.window_size, _moment(record.window_start),
          _moment(record.window_end), record.generation, record.events, record.total, record.tau,
          record.rest_upper, record.epsilon, record.delta, record.resolution,
          json.dumps(record.rows, ensure_ascii=False, separators=(',', ':')), record.summary,
          record.events, len(record.rows))


def _moment(epoch_secs: int) -> datetime.datetime:
  return datetime.datetime.fromtimestamp(epoch_secs, _UTC)


def _month(epoch_secs: int) -> datetime.date:
  return _moment(epoch_secs).date().replace(day=1)


def shown(dsn: str) -> str:
  """Host and database of a connection string, never its password; a reference as it is."""
  if secretsio.is_reference(dsn):
    return dsn
  parts = _address(dsn)
  if parts is None:
    return 'the given address'
  return f'{parts.get("host", "localhost")}:{parts.get("port", 5432)}/{parts.get("dbname", "")}'


def readable(dsn: str) -> bool:
  """Whether this is a connection string, though nothing may answer there.

  >>> readable('postgresql://db/boards'), readable('postgresql://u:p w@host:x/db')
  (True, False)
  """
  return _address(dsn) is not None


def _reason(dsn: str, error: Exception) -> str:
  """Why, in one line; a malformed address may show pieces of the password in the error."""
  if _address(secretsio.resolve(dsn)) is None:
    return 'it cannot be read (special characters must be percent-encoded)'
  return ' '.join(str(error).split())


def _address(dsn: str) -> dict[str, Any] | None:
  """The parts of a connection string, None where a part seems to hold what is another's."""
  try:
    parts = psycopg.conninfo.conninfo_to_dict(dsn)
  except psycopg.Error:
    return None
  ports = str(parts.get('port', '5432')).replace(',', '')
  authority = re.match(r'postgres(?:ql)?://([^?#]*)', dsn)
  return None if not ports.isdigit() or '@' in str(parts.get('host', '')) or (
      authority and '@' in str(parts.get('dbname', ''))) else parts


@dataclasses.dataclass
class WriteToPostgres(beam.PTransform):
  """Writes boards to PostgreSQL, a batch in one round trip.

  A retried or re-ordered bundle leaves the same state: a row is replaced only by a newer
  revision.

  Args:
    dsn: where PostgreSQL is; its schema is up to date (`migrate`).
  Input: BoardRecord.
  Output: int, the window ends (epoch seconds) of the records, once they are in PostgreSQL.
  """
  dsn: str

  def expand(self, records: beam.PCollection) -> beam.PCollection:
    return write_batches(records, _WriteFn(self.dsn))


class _WriteFn(BoardBatchFn):

  def __init__(self, dsn: str) -> None:
    super().__init__(_FLUSH_BOARDS, _FLUSH_ROWS)
    self._dsn = dsn
    self._written = Metrics.counter('WriteToPostgres', 'boards_applied')

  def setup(self) -> None:
    self._boards = PostgresBoards(self._dsn)

  def write(self, records: list[BoardRecord]) -> None:
    self._written.inc(self._boards.apply(records))

  def teardown(self) -> None:
    self._boards.close()


@dataclasses.dataclass
class PublishWatermarkToPostgres(beam.PTransform):
  """Tells readers of PostgreSQL how far a job has come (`PostgresBoards.publish_watermark`).

  Args:
    dsn: where PostgreSQL is; its schema is up to date (`migrate`).
    job: name of the job, the same in each of its runs.
    allowed_lateness_secs: how late an event may be and still refine its boards.
  Input: int, watermarks (epoch seconds), as `Finality` makes them of what WriteToPostgres wrote.
  """
  dsn: str
  job: str
  allowed_lateness_secs: int = 0

  def expand(self, watermarks: beam.PCollection) -> beam.PCollection:
    return watermarks | 'Publish' >> beam.ParDo(PublishFn(
        functools.partial(PostgresBoards, self.dsn), self.job, self.allowed_lateness_secs))
