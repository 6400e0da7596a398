"""Parquet on any Beam file system: atomic files, the raw archive and board snapshots.

A file is written under a temporary name and renamed, so no reader sees half of one. Its
name says what it holds (an origin range, or board revisions), never which pane or attempt
wrote it: a repeated bundle replaces its own files.
"""
import collections
import dataclasses
import datetime
import hashlib
import urllib.parse
import uuid
from collections.abc import Iterable
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from apache_beam.io.filesystem import BeamIOError, CompressionTypes
from apache_beam.io.filesystems import FileSystems
from apache_beam.metrics import Metrics

from leaderboard.io import disks
from leaderboard.io.batching import BoardBatchFn, write_batches
from leaderboard.transforms.blocks import OriginRange
from leaderboard.transforms.boards import BoardRecord, Row
from leaderboard.transforms.countevents import BoardCell, KeptBlock

# The longest name that a folder may have is 255 bytes on common file systems.
_MAX_NAME_BYTES = 200
_FLUSH_ROWS = 500_000
# Of events: values of their own in almost every row. A dictionary of them costs time and space.
_UNIQUE = ('event_id', 'user_id', 'session_id', 'timestamp', 'offset')
ORIGIN = ['source', 'partition', 'offset']   # the columns that tell where an event stands

BOARD_SCHEMA = pa.schema([
    ('tenant_id', pa.string()), ('event_type', pa.string()), ('window_size', pa.string()),
    ('window_start', pa.timestamp('s', 'UTC')), ('window_end', pa.timestamp('s', 'UTC')),
    ('generation', pa.int32()), ('events', pa.int64()), ('total', pa.int64()),
    ('tau', pa.int64()), ('rest_upper', pa.int64()), ('epsilon', pa.float64()),
    ('delta', pa.float64()), ('resolution', pa.string()),
    ('rows', pa.list_(pa.struct([
        ('rank', pa.int32()), ('item', pa.string()), ('count', pa.int64()),
        ('upper', pa.int64())])))])


def origin_name(origin: OriginRange) -> str:
  """The file name, without ending, of all that is written about one origin range."""
  source = hashlib.sha256(f'{origin.source}\0{origin.partition}'.encode()).hexdigest()[:16]
  return f'{source}-{origin.start:016d}-{origin.end:016d}'


def folder_name(key: str, value: str) -> str:
  """`key=value`, percent-encoded and short enough for any file system.

  >>> folder_name('tenant', 'a/b')
  'tenant=a%2Fb'
  """
  text = urllib.parse.quote(value, safe=' ')
  if len(text) > _MAX_NAME_BYTES:
    text = text[:_MAX_NAME_BYTES - 20] + '~' + hashlib.sha256(value.encode()).hexdigest()[:16]
  return f'{key}={text}'


def write_table(table: pa.Table, folder: str, name: str) -> None:
  """Writes `folder/name.parquet` at once or not at all.

  Raises:
    DiskFull: there is no room for it.
  """
  with disks.told(folder):
    _write_table(table, folder, name)


def _write_table(table: pa.Table, folder: str, name: str) -> None:
  make_folder(folder)
  path = FileSystems.join(folder, f'{name}.parquet')
  # Readers and globs pass over names that begin with a dot or do not end in .parquet.
  part = FileSystems.join(folder, f'.{name}.{uuid.uuid4().hex}.part')
  try:
    with FileSystems.create(part, compression_type=CompressionTypes.UNCOMPRESSED) as file:
      pq.write_table(table, file, compression='zstd', use_dictionary=_dictionaries(table))
    FileSystems.rename([part], [path])
  except BaseException:
    delete_files([part])
    raise


def _dictionaries(table: pa.Table) -> bool | list[str]:
  """Which columns are written as dictionaries: of events those that repeat, of others all."""
  if not set(_UNIQUE) <= set(table.column_names):
    return True   # a list would leave out the columns inside of nested ones
  return [name for name in table.column_names if name not in _UNIQUE]


def make_folder(folder: str) -> None:
  """Makes a folder and those above it; one that exists already, or an object store, is fine."""
  try:
    FileSystems.mkdirs(folder)
  except OSError:
    if not FileSystems.exists(folder):
      raise


def read_tables(pattern: str, since_secs: float = 0,
                columns: list[str] | None = None) -> Iterable[tuple[str, pa.Table]]:
  """(path, table) of every Parquet file that matches and was written since (epoch seconds), all
  columns or those named."""
  (match,) = FileSystems.match([pattern])
  for meta in sorted(match.metadata_list, key=lambda meta: meta.path):
    # A file system that does not tell the time of a file says 0 or None.
    if 0 < (meta.last_updated_in_seconds or 0) < since_secs:
      continue
    with FileSystems.open(meta.path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
      # Not pq.read_table: its pool threads hold the Python file and may let go of it only when
      # the interpreter ends, which aborts the process after its work is done (measured).
      yield meta.path, pq.ParquetFile(file).read(columns, use_threads=False)


def delete_files(paths: list[str]) -> None:
  """Deletes those of the files that exist."""
  present = [path for path in paths if FileSystems.exists(path)]
  if not present:
    return
  try:
    FileSystems.delete(present)
  except BeamIOError:
    # Another may have deleted one meanwhile.
    if any(map(FileSystems.exists, present)):
      raise


@dataclasses.dataclass
class WriteArchive(beam.PTransform):
  """Archives valid events under `events/tenant=/type=/date=`, one file per block and folder.

  The file is named by its block's origin range, so a replay replaces its own file. Within a
  file events are in order of time, so that readers skip the hours they do not want.

  Args:
    root: folder on any Beam file system.
  Input: KeptBlock.
  """
  root: str

  def expand(self, blocks: beam.PCollection) -> beam.PCollection:
    return blocks | 'Write' >> beam.ParDo(_ArchiveFn(self.root))


class _ArchiveFn(beam.DoFn):

  def __init__(self, root: str) -> None:
    self._root = root
    self._written = Metrics.counter('WriteArchive', 'events_written')

  def process(self, block: KeptBlock) -> None:
    name = origin_name(block.origin)
    events = block.events
    if not len(events):
      return
    days = events['timestamp'].cast(pa.timestamp('ms')).cast(pa.date32(), safe=False)
    events = (events.append_column('day', days)
              .append_column('source', pa.repeat(pa.scalar(block.origin.source), len(events)))
              .append_column('partition', pa.repeat(pa.scalar(block.origin.partition, pa.int32()),
                                                    len(events)))
              .combine_chunks())
    folders = set()
    for first, end in _runs(events):
      key = events.select(['tenant_id', 'event_type', 'day']).slice(first, 1).to_pylist()[0]
      folder = FileSystems.join(
          self._root, 'events', folder_name('tenant', key['tenant_id']),
          folder_name('type', key['event_type']), f'date={key["day"]}')
      if folder in folders:
        raise ValueError(f'the events of {block.origin} are in no order: a file of {folder} would '
                         f'take the place of another')
      folders.add(folder)
      write_table(events.slice(first, end - first).drop_columns(['day']), folder, name)
    self._written.inc(len(events))


def _runs(events: pa.Table) -> Iterable[tuple[int, int]]:
  """(first, end) of every stretch of equal tenant, type and day of a sorted table."""
  starts = np.flatnonzero(_firsts(events, ['tenant_id', 'event_type', 'day'])).tolist()
  return zip(starts, [*starts[1:], len(events)], strict=True)


def distinct_origins(events: pa.Table) -> pa.Table:
  """The events in order of origin, each origin once: a replay may have written some again."""
  events = events.sort_by([(name, 'ascending') for name in ORIGIN]).combine_chunks()
  return events.filter(pa.array(_firsts(events, ORIGIN)))


def _firsts(table: pa.Table, names: list[str]) -> np.ndarray:
  """Which rows of a sorted table differ from the one before in one of these columns."""
  # group_by does not promise the order of its groups: compare neighbours instead.
  firsts = np.zeros(len(table), bool)
  firsts[:1] = True
  for name in names:
    codes = pc.dictionary_encode(table[name].combine_chunks()).indices.to_numpy()
    firsts[1:] |= codes[1:] != codes[:-1]
  return firsts


def rows_of(events: pa.Table, origins: Iterable[str]) -> np.ndarray:
  """Which rows of archived events came from one of these origin ranges: bool[rows].

  Args:
    origins: names, as `origin_name` makes them.
  """
  ranges: dict[str, list[tuple[int, int]]] = collections.defaultdict(list)
  for name in origins:
    source, first, last = name.split('-')
    ranges[source].append((int(first), int(last)))
  within = np.zeros(len(events), bool)
  offsets = events['offset'].to_numpy()
  places = pc.binary_join_element_wise(
      events['source'], events['partition'].cast(pa.string()), '\0').combine_chunks()
  encoded = pc.dictionary_encode(places)
  codes = encoded.indices.to_numpy()
  for code, place in enumerate(encoded.dictionary.to_pylist()):
    digest = hashlib.sha256(place.encode()).hexdigest()[:16]
    for start, end in ranges.get(digest, ()):
      within |= (codes == code) & (offsets >= start) & (offsets < end)
  return within


def archive_files(root: str) -> list[str]:
  """Every file of the raw archive."""
  (match,) = FileSystems.match([FileSystems.join(root, 'events', '*', '*', '*', '*.parquet')])
  return [meta.path for meta in match.metadata_list]


@dataclasses.dataclass
class WriteToParquet(beam.PTransform):
  """Writes board snapshots under `boards/window=/date=`.

  A file holds the boards of one window size and day that left one bundle, and is named by
  their revisions; readers take a board's highest revision (`latest_boards`), so a replay
  that regroups boards changes nothing that is read.

  Args:
    root: folder on any Beam file system.
  Input: BoardRecord.
  Output: int, the window ends (epoch seconds) of the records, once they are in a file.
  """
  root: str

  def expand(self, records: beam.PCollection) -> beam.PCollection:
    return write_batches(records, _BoardsFn(self.root))


class _BoardsFn(BoardBatchFn):

  def __init__(self, root: str) -> None:
    super().__init__(_FLUSH_ROWS, _FLUSH_ROWS)
    self._root = root
    self._written = Metrics.counter('WriteToParquet', 'boards_written')

  def write(self, records: list[BoardRecord]) -> None:
    folders: dict[str, list[BoardRecord]] = {}
    for record in records:
      day = datetime.datetime.fromtimestamp(record.window_start, datetime.timezone.utc).date()
      folder = FileSystems.join(self._root, 'boards', f'window={record.window_size}',
                                f'date={day}')
      folders.setdefault(folder, []).append(record)
    for folder, boards in folders.items():
      boards.sort(key=lambda r: (r.tenant_id, r.event_type, r.window_start, r.revision))
      identity = '\n'.join(f'{r.tenant_id}\0{r.event_type}\0{r.window_start}\0{r.revision}'
                           for r in boards)
      write_table(board_table(boards), folder, hashlib.sha256(identity.encode()).hexdigest()[:32])
    self._written.inc(len(records))


def board_table(records: list[BoardRecord]) -> pa.Table:
  """The records as a table of BOARD_SCHEMA."""
  columns: dict[str, Any] = {
      name: [getattr(record, name) for record in records]
      for name in BOARD_SCHEMA.names if name != 'rows'}
  columns['rows'] = [
      [{'rank': rank, 'item': row.item, 'count': row.count, 'upper': row.upper}
       for rank, row in enumerate(record.rows, 1)] for record in records]
  return pa.table(columns, BOARD_SCHEMA)


def latest_boards(root: str, window_size: str, day: str = '*') -> pa.Table:
  """The newest revision of every board of a window size (and day, `2013-07-01`)."""
  pattern = FileSystems.join(root, 'boards', f'window={window_size}', f'date={day}', '*.parquet')
  tables = [table for _, table in read_tables(pattern)]
  return newest_boards(pa.concat_tables(tables)) if tables else BOARD_SCHEMA.empty_table()


def newest_boards(boards: pa.Table) -> pa.Table:
  """The newest revision of every board in a table of BOARD_SCHEMA."""
  order = pc.sort_indices(boards, [('generation', 'descending'), ('events', 'descending')])
  boards = boards.take(order)
  key = ['tenant_id', 'event_type', 'window_size', 'window_start']
  keys = boards.select(key)
  keys = keys.append_column('place', pa.array(range(len(boards)), pa.int64()))
  first = keys.group_by(key, use_threads=False).aggregate([('place', 'min')])
  return boards.take(first['place_min'].combine_chunks())


class ParquetBoards:
  """Reads board snapshots."""

  def __init__(self, root: str) -> None:
    self._root = root

  def revisions(self, window_size: str,
                boards: list[BoardCell]) -> dict[BoardCell, tuple[int, int]]:
    """The revision of those of the boards that are stored."""
    stored = latest_boards(self._root, window_size).drop_columns(['rows'])
    wanted = set(boards)
    found = {
        (tenant, kind, int(start.timestamp())): (generation, events)
        for tenant, kind, start, generation, events in zip(*(
            stored[name].to_pylist() for name in (
                'tenant_id', 'event_type', 'window_start', 'generation', 'events')), strict=True)}
    return {board: found[board] for board in wanted & found.keys()}

  def read_board(self, tenant_id: str, event_type: str, window_size: str,
                 window_start: int) -> BoardRecord | None:
    """A board, or None when there is none."""
    start = datetime.datetime.fromtimestamp(window_start, datetime.timezone.utc)
    stored = latest_boards(self._root, window_size, str(start.date()))
    moment = pa.scalar(start, pa.timestamp('s', 'UTC'))
    found = stored.filter((pc.field('tenant_id') == tenant_id)
                          & (pc.field('event_type') == event_type)
                          & (pc.field('window_start') == moment))
    return _record(found.to_pylist()[0]) if len(found) else None


def _record(row: dict[str, Any]) -> BoardRecord:
  return BoardRecord(**{
      **row, 'summary': b'',
      'window_start': int(row['window_start'].timestamp()),
      'window_end': int(row['window_end'].timestamp()),
      'rows': tuple(Row(entry['item'], entry['count'], entry['upper']) for entry in row['rows'])})
