"""The statements that DuckDB runs on one block of events."""
import json
from collections.abc import Mapping

import duckdb
import numpy as np
import pyarrow as pa

from leaderboard.transforms import events
from leaderboard.transforms.blocks import BlockFiles, EventBlock
from leaderboard.transforms.countingrules import CountingRules
from leaderboard.transforms.events import RawEvent

ARCHIVED = ('event_id', 'user_id', 'session_id', 'metadata')
_GROUPED = ('tenant_id', 'event_type', 'item_id')


def columns_of(rules: CountingRules) -> list[str]:
  """The top-level fields of an event that are read."""
  roots = [path.split('.')[0] for path in rules.item_paths.values()]
  names = [*RawEvent._fields, *roots, *(ARCHIVED if rules.keep_events else ())]
  return list(dict.fromkeys(names))


class BlockQuery:
  """The statements on one block: lines (views) or an Arrow table. A context manager.

  Attributes:
    in_json: which of the fields that events are grouped by stand in the answers as JSON text; the
      others are columns of text, as they are.
  """

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
    types = {field.name: field.type for field in data.schema} if isinstance(
        data, pa.Table) else None
    self._json = {name: _name(name) if types is None else _json_of(name, types.get(name))
                  for name in columns_of(rules)}
    self._json['item_id'] = self._item()
    # Text that is known to be text needs no quotes; a number in a column of numbers no parsing.
    texts = {} if types is None else {
        name: text for name in _GROUPED if (text := _text_in(name, types.get(name)))
        and not (name == 'item_id' and rules.item_paths)}
    self.in_json = frozenset(_GROUPED) - texts.keys()
    default = f"'{events.DEFAULT_TENANT}'" if 'tenant_id' in texts else _DEFAULT
    self._texts = {name: texts.get(name, self._json[name]) for name in _GROUPED}
    self._texts['tenant_id'] = f'coalesce({self._texts["tenant_id"]}, {default})'
    self._told_ms = (types and _ms_in(types.get('timestamp'), rules.timestamp_format)
                     or _epoch_ms(self._json['timestamp'], rules.timestamp_format))
    self._weight = (types and _weight_in(types.get('weight')) or _weight(self._json['weight']))

  def __enter__(self) -> 'BlockQuery':
    self._cursor = self._connection.cursor()
    if isinstance(self._data, pa.Table):
      self._cursor.register('block_rows', self._data)
      self._source = 'block_rows'
    else:
      self._urls = [self._files.put(view) for view in self._data]
      self._source = self._scan(self._urls)
      if self._rules.keep_events and self._data:
        # The block is asked twice, counts and events: parse it once.
        self._cursor.sql(f'create temp table parsed_rows as from {self._source}')
        self._source = 'parsed_rows'
    # Numbers take time, and few statements need them.
    self._numbered = f'(select row_number() over () as r, * from {self._source})'
    if self._late is not None:
      self._cursor.register('late_rows', pa.table({'r': self._late + 1}))
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
    return (f'select r, case when {self._in_range()} then {told} end as ms '
            f'from (select r, {self._moment()} as ms from {self._numbered})')

  def _in_range(self) -> str:
    return (f'ms >= {events.MIN_EPOCH_SECS * 1000} '
            f'and ms < {self._rules.end_ms(self._block.read_secs)}')

  def counts(self) -> pa.Table:
    """One row per board and base window, by the texts of their fields.

    Columns: `tenant_id`, `event_type`, `start` (epoch seconds), `total` events, and the lists
    `items`, `events` and `weights` of each. Where `start` is null are the rows that count nowhere:
    their moment or weight is none, a field is missing, or they are too late; their lists are null.
    `latest_ms` is the newest moment in range, of rows that count nowhere too and no later than when
    the block was read; null of bounded input.
    """
    if not self._data:
      return pa.table({})
    # Only of endless input does anyone ask.
    read_secs = self._block.read_secs
    latest = 'null::bigint' if read_secs is None else (
        f'max(case when {self._in_range()} then least(ms, {read_secs * 1000}) end)')
    # What counts nowhere is set apart by a group of its own, so that no good row shares its fate.
    return self._cursor.sql(f"""
        with grouped as (
          select {', '.join(_GROUPED)}, start, count(*) as events, sum(weight)::bigint as weight,
            {latest} as latest_ms
          from ({self._placed()}) group by all)
        select tenant_id, event_type, start, sum(events)::bigint as total,
          list(item_id) filter (start is not null) as items,
          list(events) filter (start is not null) as events,
          list(weight) filter (start is not null) as weights,
          max(latest_ms)::bigint as latest_ms
        from grouped group by all""").to_arrow_table()

  def _placed(self, also: str = '') -> str:
    """The statement of every row's fields, moment `ms` and `weight`, and of the `start` of the
    base window in which it counts: null where it counts nowhere.

    Args:
      also: further columns.
    """
    base = self._rules.base.secs
    start = f'ms // {base * 1000} * {base}'
    counts = (f'{self._in_range()} and weight is not null and event_type is not null '
              f'and item_id is not null')
    if self._block.watermark_secs is not None:
      counts += (f' and {start} + {base + self._rules.allowed_lateness_secs} '
                 f'> {self._block.watermark_secs}')
    rows = self._source
    if self._late is not None or also:
      rows, also = self._numbered, f'r, {also}'
    if self._late is not None:
      counts += ' and r not in (from late_rows)'
    texts = ', '.join(f'{text} as {name}' for name, text in self._texts.items())
    return (f'select *, case when {counts} then {start} end as start '
            f'from (select {also} {self._moment()} as ms, {self._weight} as weight, {texts} '
            f'from {rows})')

  def refused(self, unfit: Mapping[str, list[str]]) -> list[tuple[int, RawEvent, int | None]]:
    """The rows that are no events: number from 1, fields, and the moment that is told.

    Args:
      unfit: of the fields that events are grouped by, the texts that no event may have.
    """
    wanted = ['start is null']
    for name, texts in unfit.items():
      if texts:
        self._cursor.register(f'apart_{name}', pa.table({name: pa.array(texts, pa.string())}))
        wanted.append(f'{name} in (from apart_{name})')
    raw = [f'raw_{name}' for name in RawEvent._fields]
    also = ', '.join(f'{self._json[name]} as raw_{name}' for name in RawEvent._fields)
    answer = self._cursor.sql(
        f'select r, {", ".join(raw)}, told_ms '
        f'from ({self._placed(f"{also}, {self._told_ms} as told_ms,")}) '
        f'where {" or ".join(wanted)} order by r').fetchall()
    return [(row[0], RawEvent(*row[1:6]), row[6]) for row in answer]

  def kept_events(self, bad: np.ndarray, offsets: np.ndarray) -> pa.Table:
    """The valid events, fields decoded, with the origin offset of each.

    Args:
      bad: numbers, from 0, of the rows that are no valid events.
      offsets: of every row.
    """
    self._cursor.register('bad_rows', pa.table({'r': bad + 1}))
    tenant, kind, item = self._texts.values()
    kept = self._cursor.sql(
        f'select {self._decoded("tenant_id", tenant)} as tenant_id, '
        f'{self._decoded("event_type", kind)} as event_type, '
        f'make_timestamp_ms({self._moment()}) as timestamp, '
        f'{self._decoded("item_id", item)} as item_id, {self._weight} as weight, '
        + ', '.join(f'{_text_of(self._json[name])} as {name}'
                    for name in ARCHIVED if name != 'metadata')
        + f', ({self._json["metadata"]})::varchar as metadata, r - 1 as row '
        f'from {self._numbered} anti join bad_rows using (r) order by r').to_arrow_table()
    place = kept.schema.get_field_index('row')
    return kept.set_column(place, 'offset', pa.array(offsets[kept['row'].to_numpy()], pa.int64()))

  def _decoded(self, name: str, text: str) -> str:
    """The text that a valid field means."""
    return _text_of(text) if name in self.in_json else text

  def _moment(self) -> str:
    """The moment at which a row counts, null where `timestamp` does not tell one."""
    told, read_secs = self._told_ms, self._block.read_secs
    if read_secs is None or not self._rules.clamp_future:
      return told
    latest = (read_secs + self._rules.max_future_secs) * 1000
    end = events.END_EPOCH_SECS * 1000
    return (f'case when {told} > {latest} and {told} < {end} then {read_secs * 1000} '
            f'else {told} end')

  def _scan(self, urls: list[str]) -> str:
    columns = ', '.join(f"{_name(name)}: 'JSON'" for name in columns_of(self._rules))
    # The limit is loose in DuckDB; lines beyond max_event_bytes were taken out before.
    limit = 2 * self._rules.max_event_bytes + (1 << 20)
    return (f"read_json({urls!r}, format='newline_delimited', ignore_errors=true, "
            f'maximum_object_size={limit}, columns={{{columns}}})')

  def _item(self) -> str:
    """The item as JSON, wherever its event type keeps it."""
    if not self._rules.item_paths:
      return self._json['item_id']
    cases = []
    for event_type, path in self._rules.item_paths.items():
      root, *rest = path.split('.')
      value = self._json[root]
      if rest:
        keys = ''.join('.' + json.dumps(key) for key in rest)
        # A null inside the path is JSON's null, not SQL's.
        value = f"nullif(json_extract({value}, {_literal('$' + keys)}), 'null'::json)"
      cases.append(f'when {_literal(json.dumps(event_type, ensure_ascii=False))} then {value}')
    return (f'case {self._json["event_type"]} {" ".join(cases)} '
            f'else {self._json["item_id"]} end')


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


def _is_text(kind: pa.DataType | None) -> bool:
  return kind is not None and (pa.types.is_string(kind) or pa.types.is_large_string(kind)
                               or pa.types.is_dictionary(kind) and _is_text(kind.value_type))


def _text_in(name: str, kind: pa.DataType | None) -> str | None:
  """A column of text, or of whole numbers that are items; None for one that is neither."""
  if _is_text(kind):
    return _name(name)
  return f'{name}::varchar' if name == 'item_id' and kind and pa.types.is_integer(kind) else None


def _ms_in(kind: pa.DataType | None, timestamp_format: str) -> str | None:
  """The moment in a column that tells it in milliseconds, by its type or by the format."""
  if kind is None or timestamp_format != 'epoch_ms':
    return None
  if pa.types.is_timestamp(kind):
    return 'epoch_us(timestamp) // 1000'
  return 'try_cast(timestamp as bigint)' if pa.types.is_integer(kind) else None


def _weight_in(kind: pa.DataType | None) -> str | None:
  """The weight in a column of whole numbers."""
  if kind is None or not pa.types.is_integer(kind):
    return None
  return (f'case when weight is null then 1 when weight between 1 and {events.MAX_WEIGHT} '
          f'then weight::bigint end')


def _weight(raw: str) -> str:
  """The weight that JSON tells; null where it tells none that is whole and in range."""
  told = f'try_cast({raw} as bigint)'
  return (f'case when {raw} is null then 1 when {told} between 1 and {events.MAX_WEIGHT} '
          f'and strlen({raw}) = strlen({told}::varchar) then {told} end')


def _epoch_ms(timestamp: str, timestamp_format: str) -> str:
  """The moment that JSON tells; null where it does not tell one."""
  # A number in range with no more characters than that has digits only: neither quotes
  # nor a fraction nor an exponent fit, and DuckDB would swallow each of them silently.
  if timestamp_format == 'epoch_ms':
    return f'case when strlen({timestamp}) <= 13 then try_cast({timestamp} as bigint) end'
  if timestamp_format == 'epoch_s':
    return (f'case when strlen({timestamp}) <= 10 '
            f'then 1000 * try_cast({timestamp} as bigint) end')
  # Beyond microseconds DuckDB rounds, which could carry an event into the next window.
  cut = rf"regexp_replace(upper(({timestamp})[2:-2]), '(\.[0-9]{{6}})[0-9]+', '\1')"
  return (f"case when regexp_full_match({timestamp}, '\"{events.RFC3339}\"') "
          f'then epoch_us(try_cast({cut} as timestamptz)) // 1000 end')


def _text_of(raw: str) -> str:
  """The text that a JSON string stands for, and the JSON text of any other value."""
  return (f"case when ascii({raw}) <> 34 then ({raw})::varchar "
          f"when contains({raw}, '\\') then json_extract_string({raw}, '$') "
          f'else ({raw})[2:-2] end')
