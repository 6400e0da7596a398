"""Counts one block of events: a columnar delta per (board, base window), and the rest by name.

DuckDB parses, checks and groups the block in one statement. It only tells good rows from
bad ones; `events.judge` then names the fault of the bad rows, which are few.
"""
import dataclasses
import functools
import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from leaderboard.transforms import events, lines
from leaderboard.transforms.blocks import BlockFiles, EventBlock, OriginRange
from leaderboard.transforms.boards import WindowSize
from leaderboard.transforms.columnar import delta_bytes
from leaderboard.transforms.events import RawEvent, Refused
from leaderboard.transforms.parameters import Parameters

ARCHIVED = ('event_id', 'user_id', 'session_id', 'metadata')


@dataclasses.dataclass(frozen=True)
class CountingRules:
  """What counts and how.

  Attributes:
    base: the finest window.
    timestamp_format: `epoch_ms`, `epoch_s` or `rfc3339`.
    allowed_lateness_secs: an event is too late when its base window ended at least this
      long before the block's watermark.
    max_event_bytes: longer lines are refused unparsed.
    item_paths: event type -> dotted path of its item, for types that do not use `item_id`.
    parameters: of the summaries.
    keep_events: whether the valid events themselves are kept, for the archive.
    max_future_secs: how far an event of an endless source may lie ahead of the moment when
      it was read.
    clamp_future: whether an event beyond that counts at that moment, not as out of range.
  """
  base: WindowSize
  timestamp_format: str = 'epoch_ms'
  allowed_lateness_secs: int = 0
  max_event_bytes: int = 1 << 20
  item_paths: Mapping[str, str] = dataclasses.field(default_factory=dict)
  parameters: Parameters = Parameters()
  keep_events: bool = False
  max_future_secs: int = 86_400
  clamp_future: bool = False

  def __post_init__(self) -> None:
    if self.timestamp_format not in events.TIMESTAMP_FORMATS:
      raise ValueError(f'timestamp_format must be one of {", ".join(events.TIMESTAMP_FORMATS)}, '
                       f'got {self.timestamp_format!r}')


  def end_ms(self, read_secs: int | None) -> int:
    """The first moment that is out of range for an event of a block read then."""
    end = events.END_EPOCH_SECS
    if read_secs is not None and not self.clamp_future:
      end = min(end, read_secs + self.max_future_secs + 1)
    return end * 1000


class Cell(NamedTuple):
  """What a block adds to one board of the base window size."""
  tenant_id: str
  event_type: str
  start: int     # epoch seconds
  events: int
  delta: bytes   # an encoded summary


@dataclasses.dataclass
class CountedBlock:
  """Everything a block held: read = sum of cell events + len(rejects) + len(too_late).

  Attributes:
    kept: the valid events with their offsets as an Arrow table; None unless asked for.
    latest_ms: newest event time that is in range, of refused events too, epoch milliseconds, and no
      later than the moment when the block was read; None where there is none, and of bounded input.
  """
  origin: OriginRange
  read: int
  cells: list[Cell]
  rejects: list[Refused]
  too_late: list[Refused]
  kept: pa.Table | None
  latest_ms: int | None = None


class BlockCounter:
  """Counts blocks on one DuckDB instance; `count` may be called from several threads.

  Each call runs single-threaded on a cursor of its own: two blocks in flight use two
  cores better than one block with two threads.
  """

  def __init__(self, rules: CountingRules) -> None:
    self._rules = rules
    self._files = BlockFiles()
    self._connection = duckdb.connect(config={'threads': 1})
    self._connection.register_filesystem(self._files)

  def close(self) -> None:
    self._connection.close()

  def count(self, block: EventBlock) -> CountedBlock:
    if isinstance(block.data, pa.Table):
      return self._count_table(block, block.data)
    return self._count_lines(block, memoryview(block.data))

  def latest_secs(self, block: EventBlock) -> int | None:
    """The newest event time in a block that is in range, epoch seconds; None when there is none.

    An event of the future tells no more than the moment when it was read.
    """
    data = block.data if isinstance(block.data, pa.Table) else [memoryview(block.data)]
    with _Query(self._connection, self._files, data, block, self._rules) as query:
      latest_ms = query.latest_ms()
    return None if latest_ms is None else latest_ms // 1000

  def event_times(self, block: EventBlock) -> np.ndarray:
    """The event time of every line of a block of messages, epoch milliseconds: int64[lines].

    -1 where a line tells none that is in range. An event of the future tells no more than the
    moment when it was read.
    """
    assert block.offsets is not None and not isinstance(block.data, pa.Table)
    data = memoryview(block.data)
    holes, _ = self._holes(data)
    times = np.full(len(block.offsets), -1, np.int64)
    pieces = [data[start:end] for start, end in lines.pieces_between(len(data), holes)]
    with _Query(self._connection, self._files, pieces, block, self._rules) as query:
      found = query.times_ms()
    rows = _lines_of_rows(data, len(times), holes)
    if len(found) != len(rows):
      raise RuntimeError(f'the parser made {len(found)} rows of {len(rows)} lines in '
                         f'{block.origin}; the block is not counted')
    times[rows] = found
    return times

  def _holes(self, data: memoryview) -> tuple[list[tuple[int, int]], list[str]]:
    """(start, end) of the lines that must not reach the parser, and the fault of each."""
    holes = lines.too_large(data, self._rules.max_event_bytes)
    faults = ['too_large'] * len(holes)
    marked = lines.marked_first_line(data)
    if marked and marked not in holes:
      # DuckDB passes over a byte order mark at the start of what it reads, and nowhere else;
      # what becomes of a line must not depend on where a block happens to begin.
      holes, faults = [marked, *holes], ['malformed_json', *faults]
    return holes, faults

  def _count_lines(self, block: EventBlock, data: memoryview) -> CountedBlock:
    holes, faults = self._holes(data)
    pieces = [data[start:end] for start, end in lines.pieces_between(len(data), holes)]

    @functools.cache
    def spans() -> np.ndarray:
      """Where each row's line stands in `data`: asked only when a row is refused or kept."""
      found = [lines.line_spans(piece) + (start, start) for piece, (start, _) in zip(
          pieces, lines.pieces_between(len(data), holes), strict=True)]
      return np.concatenate(found) if found else np.zeros((0, 2), np.int64)

    def row_bytes(rows: np.ndarray) -> list[bytes]:
      found = [bytes(data[start:end]) for start, end in spans()[rows]]
      if not block.raw:
        return found
      numbers = rows_lines()[rows].tolist()
      return [block.raw.get(line, text) for line, text in zip(numbers, found, strict=True)]

    @functools.cache
    def rows_lines() -> np.ndarray:
      """The line of each row, in a block of messages."""
      assert block.offsets is not None
      return _lines_of_rows(data, len(block.offsets), holes)

    def row_offsets() -> np.ndarray:
      if block.offsets is None:
        return spans()[:, 0] + block.origin.start
      return block.offsets[rows_lines()]

    late = None if block.late is None else np.flatnonzero(block.late[rows_lines()])
    with _Query(self._connection, self._files, pieces, block, self._rules, late) as query:
      counted = self._run(query, block, row_bytes, row_offsets)
    if not holes:
      expected = lines.count_lines(data)
    if holes or counted.read != expected:
      # Blank lines are no events; every other line must have come back as one row.
      expected = len(spans())
    if counted.read != expected:
      raise RuntimeError(f'the parser made {counted.read} rows of {expected} lines in '
                         f'{block.origin}; the block is not counted')
    counted.read += len(holes)
    for fault, (start, end) in zip(faults, holes, strict=True):
      offset = block.origin.start + start
      if block.offsets is not None:
        offset = int(block.offsets[lines.count_lines(data[:start])])
      counted.rejects.append(Refused(
          fault, '', bytes(data[start:min(end, start + events.KEPT_BYTES)]),
          block.origin.source, block.origin.partition, offset))
    return counted

  def _count_table(self, block: EventBlock, table: pa.Table) -> CountedBlock:
    def row_bytes(rows: np.ndarray) -> list[bytes]:
      return [json.dumps(row, default=str, ensure_ascii=False).encode('utf-8', 'surrogatepass')
              for row in table.take(rows).to_pylist()]

    with _Query(self._connection, self._files, table, block, self._rules) as query:
      counted = self._run(query, block, row_bytes,
                          lambda: np.arange(len(table)) + block.origin.start)
    if counted.read != len(table):
      raise RuntimeError(f'{counted.read} of {len(table)} rows of {block.origin} were read; '
                         f'the block is not counted')
    return counted

  def _run(self, query: '_Query', block: EventBlock, row_bytes: Any,
           row_offsets: Any) -> CountedBlock:
    """Runs the counting statement and names the faults of the rows that it set apart.

    Args:
      row_bytes: row numbers (from 0) -> the original bytes of those rows.
      row_offsets: () -> the offset of every row in its source.
    """
    origin = block.origin
    counts = query.counts()
    cells, bad = self._cells(counts)
    latest_ms = pc.max(counts['latest_ms']).as_py() if len(counts) else None
    rejects: list[Refused] = []
    too_late: list[Refused] = []
    if len(bad):
      offsets = row_offsets()[bad]
      for (raw, epoch_ms), line, offset in zip(
          query.raw_events(bad), row_bytes(bad), offsets.tolist(), strict=True):
        fault = events.judge(raw, line, self._rules.timestamp_format, epoch_ms,
                             self._rules.end_ms(block.read_secs))
        reason, field = fault or (events.TOO_LATE, 'timestamp')
        (rejects if fault else too_late).append(
            Refused(reason, field, line[:events.KEPT_BYTES], origin.source, origin.partition,
                    offset))
    if too_late and block.watermark_secs is None and block.late is None:
      raise RuntimeError(f'{len(too_late)} events of {origin} were set apart without a fault, '
                         f'the first at offset {too_late[0].offset}; the block is not counted')
    kept = query.kept_events(bad, row_offsets()) if self._rules.keep_events else None
    read = sum(cell.events for cell in cells) + len(bad)
    return CountedBlock(origin, read, cells, rejects, too_late, kept, latest_ms)

  def _cells(self, counts: pa.Table) -> tuple[list[Cell], np.ndarray]:
    """Cuts the statement's answer into deltas; and the row numbers, from 0, of the bad rows."""
    counts = counts.combine_chunks()
    bad: np.ndarray = np.zeros(0, np.int64)
    if not len(counts):
      return [], bad
    items = counts['items'].combine_chunks()
    # Binary with 64-bit offsets, whatever string layout DuckDB answers with.
    texts = items.values.cast(pa.large_binary())
    starts = np.frombuffer(texts.buffers()[1], np.int64)[texts.offset:texts.offset + len(texts) + 1]
    blob = memoryview(texts.buffers()[2] or b'')
    lengths = np.diff(starts)
    weights = counts['weights'].combine_chunks().values.to_numpy()
    offsets = items.offsets.to_numpy()
    cells = []
    for i, row in enumerate(counts.select(
        ['tenant_id', 'event_type', 'start', 'events', 'bad', 'mixed']).to_pylist()):
      if row['event_type'] is None:
        bad = np.sort(np.array(row['bad'], np.int64)) - 1
        continue
      first, end = int(offsets[i]), int(offsets[i + 1])
      columns = (lengths[first:end], weights[first:end], bytes(blob[starts[first]:starts[end]]))
      if row['mixed']:
        columns = _distinct(items[i].as_py(), columns[1].tolist())
      cells.append(Cell(row['tenant_id'], row['event_type'], row['start'], row['events'],
                        delta_bytes(self._rules.parameters, *columns, row['events'])))
    return cells, bad


def _lines_of_rows(data: memoryview, count: int, holes: list[tuple[int, int]]) -> np.ndarray:
  """Of a block of messages, one a line: the line of every row, for holes that give no row."""
  return np.delete(np.arange(count), [lines.count_lines(data[:start]) for start, _ in holes])


def _distinct(items: Iterable[str], weights: Iterable[int]) -> tuple[np.ndarray, np.ndarray, bytes]:
  """Adds up equal items: the number 5 and the text "5" are one item, but two in JSON."""
  totals: dict[str, int] = {}
  for item, weight in zip(items, weights, strict=True):
    totals[item] = totals.get(item, 0) + weight
  texts = [item.encode() for item in totals]
  return (np.array([len(text) for text in texts], np.int64),
          np.array(list(totals.values()), np.int64), b''.join(texts))


class _Query:
  """The statements on one block: lines (views) or an Arrow table."""

  def __init__(self, connection: duckdb.DuckDBPyConnection, files: BlockFiles,
               data: list[memoryview] | pa.Table, block: EventBlock,
               rules: CountingRules, late: np.ndarray | None = None) -> None:
    self._connection = connection
    self._files = files
    self._data = data
    self._block = block
    self._rules = rules
    self._late = late   # numbers, from 0, of the rows that the source judged too late
    self._urls: list[str] = []

  def __enter__(self) -> '_Query':
    self._cursor = self._connection.cursor()
    if isinstance(self._data, pa.Table):
      self._cursor.register('block_rows', self._data)
      source = 'block_rows'
    else:
      self._urls = [self._files.put(view) for view in self._data]
      source = self._scan(self._urls)
    self._raw = self._raw_rows(source)
    if self._rules.keep_events and self._data:
      # The block is asked twice, counts and events: parse it once.
      self._cursor.sql(f'create temp table raw_rows as {self._raw}')
      self._raw = 'from raw_rows'
    return self

  def __exit__(self, *_: object) -> None:
    self._cursor.close()
    for url in self._urls:
      self._files.drop(url)

  def latest_ms(self) -> int | None:
    """The newest event time in range, no later than the moment when the block was read."""
    if not self._data:
      return None
    ((latest,),) = self._cursor.sql(f'select max(ms) from ({self._times()})').fetchall()
    return latest

  def times_ms(self) -> np.ndarray:
    """The event time of every row, as `BlockCounter.event_times` tells it: int64[rows]."""
    if not self._data:
      return np.zeros(0, np.int64)
    return self._cursor.sql(
        f'select coalesce(ms, -1) as ms from ({self._times()}) order by r'
    ).to_arrow_table()['ms'].to_numpy()

  def _times(self) -> str:
    """The statement of the event time of every row: null out of range, and no later than the
    moment when the block was read."""
    read_secs = self._block.read_secs
    told = 'ms' if read_secs is None else f'least(ms, {read_secs * 1000})'
    return (f'select r, case when ms >= {events.MIN_EPOCH_SECS * 1000} '
            f'and ms < {self._rules.end_ms(read_secs)} then {told} end as ms '
            f'from (select r, {self._moment()} as ms from ({self._raw}))')

  def counts(self) -> pa.Table:
    """One row per (board, base window), and one without a board for all bad rows."""
    if not self._data:
      return pa.table({})
    if self._late is not None:
      self._cursor.register('late_rows', pa.table({'r': self._late + 1}))
    return self._cursor.sql(_count_statement(
        self._raw, self._moment(), self._rules, self._block,
        self._late is not None)).to_arrow_table()

  def raw_events(self, rows: np.ndarray) -> list[tuple[RawEvent, int | None]]:
    """The fields of these rows (numbers from 0, ascending) and their RFC 3339 moment."""
    self._cursor.register('wanted', pa.table({'r': rows + 1}))
    answer = self._cursor.sql(
        f'select event_type, timestamp, item_id, tenant_id, weight, '
        f'{_epoch_ms(self._rules.timestamp_format)} '
        f'from ({self._raw}) semi join wanted using (r) order by r').fetchall()
    return [(RawEvent(*row[:5]), row[5]) for row in answer]

  def kept_events(self, bad: np.ndarray, offsets: np.ndarray) -> pa.Table:
    """The valid events, fields decoded, with the origin offset of each."""
    if not self._data:
      return pa.table({})
    self._cursor.register('bad_rows', pa.table({'r': bad + 1}))
    kept = self._cursor.sql(
        f'select {_decoded("coalesce(tenant_id, " + _DEFAULT + ")")} as tenant_id, '
        f'{_decoded("event_type")} as event_type, '
        f'make_timestamp_ms({self._moment()}) as timestamp, '
        f'{_decoded_item()} as item_id, coalesce(try_cast(weight as bigint), 1) as weight, '
        + ', '.join(f'{_text_of(name)} as {name}' for name in ARCHIVED if name != 'metadata')
        + f', metadata::varchar as metadata, r - 1 as row '
        f'from ({self._raw}) anti join bad_rows using (r) order by r').to_arrow_table()
    place = kept.schema.get_field_index('row')
    return kept.set_column(place, 'offset', pa.array(offsets[kept['row'].to_numpy()], pa.int64()))

  def _moment(self) -> str:
    """The moment at which a row counts, null where `timestamp` does not tell one."""
    told = _epoch_ms(self._rules.timestamp_format)
    read_secs = self._block.read_secs
    if read_secs is None or not self._rules.clamp_future:
      return told
    latest = (read_secs + self._rules.max_future_secs) * 1000
    end = events.END_EPOCH_SECS * 1000
    return (f'case when {told} > {latest} and {told} < {end} then {read_secs * 1000} '
            f'else {told} end')

  def _columns(self) -> list[str]:
    """The top-level fields to read."""
    roots = [path.split('.')[0] for path in self._rules.item_paths.values()]
    names = [*RawEvent._fields, *roots, *(ARCHIVED if self._rules.keep_events else ())]
    return list(dict.fromkeys(names))

  def _scan(self, urls: list[str]) -> str:
    columns = ', '.join(f"{_name(name)}: 'JSON'" for name in self._columns())
    # The limit is loose in DuckDB; lines beyond max_event_bytes were taken out before.
    limit = 2 * self._rules.max_event_bytes + (1 << 20)
    return (f"read_json({urls!r}, format='newline_delimited', ignore_errors=true, "
            f'maximum_object_size={limit}, columns={{{columns}}})')

  def _raw_rows(self, source: str) -> str:
    present = self._columns()
    fields = {name: _name(name) for name in present}
    if isinstance(self._data, pa.Table):
      types = {field.name: field.type for field in self._data.schema}
      fields = {name: _json_of(name, types.get(name)) for name in present}
    item = fields['item_id']
    if self._rules.item_paths:
      cases = []
      for event_type, path in self._rules.item_paths.items():
        root, *rest = path.split('.')
        value = fields[root]
        if rest:
          keys = ''.join('.' + json.dumps(key) for key in rest)
          # A null inside the path is JSON's null, not SQL's.
          value = f"nullif(json_extract({value}, {_literal('$' + keys)}), 'null'::json)"
        cases.append(f'when {_literal(json.dumps(event_type, ensure_ascii=False))} then {value}')
      item = f'case {fields["event_type"]} {" ".join(cases)} else {item} end'
    selected = {**fields, 'item_id': item}
    return ('select row_number() over () as r, '
            + ', '.join(f'{value} as {_name(name)}' for name, value in selected.items())
            + f' from {source}')


_DEFAULT = "'\"" + events.DEFAULT_TENANT + "\"'"


def _name(text: str) -> str:
  return '"' + text.replace('"', '""') + '"'


def _literal(text: str) -> str:
  return "'" + text.replace("'", "''") + "'"


def _json_of(name: str, kind: pa.DataType | None) -> str:
  """A Parquet column as JSON text. `metadata` written as text holds JSON already."""
  column = _name(name)
  if kind is None:
    return 'null::json'
  if pa.types.is_timestamp(kind):
    return f'(epoch_us({column}) // 1000)::varchar::json'
  if name == 'metadata' and (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
    return f'try_cast({column} as json)'
  return f'case when {column} is not null then to_json({column}) end'


def _epoch_ms(timestamp_format: str) -> str:
  """The moment of a row, null where `timestamp` does not tell one."""
  # A number in range with no more characters than that has digits only: neither quotes
  # nor a fraction nor an exponent fit, and DuckDB would swallow each of them silently.
  if timestamp_format == 'epoch_ms':
    return 'case when strlen(timestamp) <= 13 then try_cast(timestamp as bigint) end'
  if timestamp_format == 'epoch_s':
    return 'case when strlen(timestamp) <= 10 then 1000 * try_cast(timestamp as bigint) end'
  # Beyond microseconds DuckDB rounds, which could carry an event into the next window.
  cut = r"regexp_replace(upper(timestamp[2:-2]), '(\.[0-9]{6})[0-9]+', '\1')"
  return (f"case when regexp_full_match(timestamp, '\"{events.RFC3339}\"') "
          f'then epoch_us(try_cast({cut} as timestamptz)) // 1000 end')


def _decoded(raw: str) -> str:
  """The text that a JSON string stands for; null for any other JSON value."""
  return (f"case when ascii({raw}) <> 34 then null "
          f"when contains({raw}, '\\') then json_extract_string({raw}, '$') "
          f'else ({raw})[2:-2] end')


def _decoded_item() -> str:
  return (f'case when ascii(item_id) = 34 then {_decoded("item_id")} '
          f"when regexp_full_match(item_id, '{events.INTEGER}') then item_id::varchar end")


def _text_of(name: str) -> str:
  return f'case when ascii({name}) = 34 then {_decoded(name)} else {name}::varchar end'


def _count_statement(raw: str, epoch_ms: str, rules: CountingRules, block: EventBlock,
                     late_rows: bool) -> str:
  """Parse, check and group twice. A row is bad by its group's key alone, so that no good
  row shares the fate of a bad one; the numbers of rows that might be bad ride along.

  Args:
    late_rows: whether the table `late_rows` lists rows that are too late.
  """
  base = rules.base.secs
  # Only of endless input does anyone ask.
  newest = 'null::bigint' if block.read_secs is None else (
      f'max(case when start is not null then least(ms, {block.read_secs * 1000}) end)')
  late, key = 'false', ''
  if block.watermark_secs is not None:
    late = f'start + {base + rules.allowed_lateness_secs} <= {block.watermark_secs}'
  if late_rows:
    late, key = f'({late} or listed_late)', ', listed_late'

  def odd(field: str, max_bytes: int) -> str:
    return (f'ascii({field}) <> 34 or strlen({field}) not between 3 and {max_bytes + 2} '
            f"or contains({field}, '\\') or contains({field}, chr(127))")

  def bad_text(field: str, max_chars: int) -> str:
    return (f"{field} is null or length({field}) not between 1 and {max_chars} "
            f"or (rows is not null and regexp_matches({field}, '{events.CONTROL}'))")

  return f"""
with moments as (
  select r, event_type, coalesce(tenant_id, {_DEFAULT}) as tenant_id, item_id,
    {epoch_ms} as ms,
    case when weight is null then 1
      when try_cast(weight as bigint) between 1 and {events.MAX_WEIGHT}
        and strlen(weight) = strlen(try_cast(weight as bigint)::varchar)
      then try_cast(weight as bigint) end as weight
  from ({raw})),
checked as (
  select r, event_type, tenant_id, item_id, weight, ms,
    case when ms >= {events.MIN_EPOCH_SECS * 1000} and ms < {rules.end_ms(block.read_secs)}
      then ms // {base * 1000} * {base} end as start
    {', r in (select r from late_rows) as listed_late' if late_rows else ''}
  from moments),
grouped as (
  select event_type, tenant_id, item_id, start{key}, weight is null as bad_weight,
    count(*) as events, sum(weight) as weight, {newest} as latest_ms,
    list(r) filter (start is null or weight is null or {late}
      or event_type is null or {odd('event_type', events.MAX_EVENT_TYPE_CHARS)}
      or {odd('tenant_id', events.MAX_TENANT_CHARS)}
      or item_id is null or {odd('item_id', events.MAX_ITEM_BYTES)}) as rows
  from checked group by all),
decoded as (
  select {_decoded('event_type')} as event_type, {_decoded('tenant_id')} as tenant_id,
    {_decoded_item()} as item_id, start{key}, bad_weight, events, weight, latest_ms, rows,
    ascii(item_id) = 34 as is_text
  from grouped),
judged as (
  select *, coalesce(not (start is null or bad_weight or ({late})
    or {bad_text('event_type', events.MAX_EVENT_TYPE_CHARS)}
    or {bad_text('tenant_id', events.MAX_TENANT_CHARS)}
    or {bad_text('item_id', events.MAX_ITEM_BYTES)}
    or strlen(item_id) > {events.MAX_ITEM_BYTES}), false) as good
  from decoded)
select case when good then tenant_id end as tenant_id,
  case when good then event_type end as event_type,
  case when good then start end as start,
  sum(events)::bigint as events,
  coalesce(list(item_id) filter (good), []) as items,
  coalesce(list(weight::bigint) filter (good), []) as weights,
  flatten(list(rows) filter (not good)) as bad,
  bool_or(is_text) and not bool_and(is_text) as mixed, max(latest_ms)::bigint as latest_ms
from judged group by 1, 2, 3"""
