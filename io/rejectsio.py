"""Keeps what was not counted: rejects and too-late events, with reason, bytes and origin."""
import dataclasses

import apache_beam as beam
import pyarrow as pa
from apache_beam.io.filesystems import FileSystems
from apache_beam.metrics import Metrics

from leaderboard.io import parquetio
from leaderboard.transforms.countevents import RefusedBlock

REJECTS = 'rejects'
TOO_LATE = 'too_late'

REFUSED_SCHEMA = pa.schema([
    ('reason', pa.string()), ('field', pa.string()), ('data', pa.binary()),
    ('source', pa.string()), ('partition', pa.int32()), ('offset', pa.int64())])


@dataclasses.dataclass
class WriteRejects(beam.PTransform):
  """Writes refused events to `<root>/<folder>/`, one Parquet file per block that has any.

  The file is named by the block's origin range: a replay replaces it, and a replay that
  refuses nothing more removes it.

  Args:
    root: folder on any Beam file system.
    folder: `rejects` or `too_late`.
  Input: RefusedBlock.
  """
  root: str
  folder: str

  def expand(self, blocks: beam.PCollection) -> beam.PCollection:
    return blocks | 'Write' >> beam.ParDo(_RejectsFn(FileSystems.join(self.root, self.folder)))


class _RejectsFn(beam.DoFn):

  def __init__(self, folder: str) -> None:
    self._folder = folder
    self._written = Metrics.counter('WriteRejects', 'events_written')

  def process(self, block: RefusedBlock) -> None:
    name = parquetio.origin_name(block.origin)
    if not block.refused:
      parquetio.delete_files([FileSystems.join(self._folder, f'{name}.parquet')])
      return
    columns = zip(*block.refused, strict=True)
    table = pa.table([pa.array(column, field.type) for column, field in zip(
        columns, REFUSED_SCHEMA, strict=True)], schema=REFUSED_SCHEMA)
    parquetio.write_table(table, self._folder, name)
    self._written.inc(len(block.refused))
