"""Reads the raw archive back as blocks of events, every event once."""
import dataclasses
import datetime
import re
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.io.filesystems import FileSystems

from leaderboard.io import parquetio
from leaderboard.transforms.blocks import EventBlock, OriginRange

BLOCK_ROWS = 500_000
_COLUMNS = ['tenant_id', 'event_type', 'timestamp', 'item_id', 'weight', *parquetio.ORIGIN]


@dataclasses.dataclass
class ReadArchive(beam.PTransform):
  """Reads archived events of a time, folder by folder: one tenant, event type and day.

  A replay may have archived an event again in another file; it is read once. Blocks are the same
  in every attempt, as long as the folder holds the same events. A folder's events of that time
  are in memory at once.

  Args:
    root: folder on any Beam file system, as WriteArchive got it.
    from_secs, to_secs: events of [from, to), epoch seconds.
  Input: the pipeline.  Output: EventBlock.
  """
  root: str
  from_secs: int
  to_secs: int
  block_rows: int = BLOCK_ROWS

  def expand(self, pipeline: Any) -> beam.PCollection:
    return (pipeline
            | 'Root' >> beam.Create([self.root])
            | 'List' >> beam.ParDo(_ListFn(self.from_secs, self.to_secs))
            | 'Spread' >> beam.Reshuffle()
            | 'Read' >> beam.ParDo(_ReadFn(self.from_secs, self.to_secs, self.block_rows)))


class _ListFn(beam.DoFn):

  def __init__(self, from_secs: int, to_secs: int) -> None:
    self._from_secs = from_secs
    self._to_secs = to_secs

  def process(self, root: str) -> Iterable[str]:
    return archived_folders(root, self._from_secs, self._to_secs)


class _ReadFn(beam.DoFn):

  def __init__(self, from_secs: int, to_secs: int, block_rows: int) -> None:
    self._from_secs = from_secs
    self._to_secs = to_secs
    self._block_rows = block_rows

  def process(self, folder: str) -> Iterator[EventBlock]:
    return read_folder(folder, self._from_secs, self._to_secs, self._block_rows)


def archived_folders(root: str, from_secs: int, to_secs: int) -> list[str]:
  """The folders that may hold events of [from, to), in order."""
  folders = {path.rsplit('/', 1)[0] for path in parquetio.archive_files(root)}
  first, last = (_day(secs) for secs in (from_secs, to_secs - 1))
  return sorted(folder for folder in folders if first <= _date_of(folder) <= last)


def _date_of(folder: str) -> str:
  found = re.search(r'/date=(\d{4}-\d\d-\d\d)$', folder)
  return found[1] if found else ''


def _day(epoch_secs: int) -> str:
  return str(datetime.datetime.fromtimestamp(epoch_secs, datetime.timezone.utc).date())


def read_folder(folder: str, from_secs: int, to_secs: int,
                block_rows: int = BLOCK_ROWS) -> Iterator[EventBlock]:
  """The events of [from, to) of one folder in order of origin, in blocks of so many rows."""
  ends = [pa.scalar(secs * 1000, pa.timestamp('ms')) for secs in (from_secs, to_secs)]
  tables = []
  for _, table in parquetio.read_tables(
      FileSystems.join(folder, '*.parquet'), columns=_COLUMNS):
    times = table['timestamp'].cast(pa.timestamp('ms'))
    within = pc.and_(pc.greater_equal(times, ends[0]), pc.less(times, ends[1]))
    tables.append(table.filter(within))
  if not tables:
    return
  events = parquetio.distinct_origins(pa.concat_tables(tables))
  for start in range(0, len(events), block_rows):
    part = events.slice(start, block_rows)
    yield EventBlock(OriginRange(folder, 0, start, start + len(part)), part)
