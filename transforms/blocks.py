"""Blocks of events: the element of every pipeline, thousands of events and where they came from."""
import dataclasses
import datetime
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import duckdb
import fsspec
import numpy as np
import pyarrow as pa

# DuckDB 1 takes nothing but bytes from a file; the copy costs a tenth of the speed.
_TAKES_VIEWS = int(duckdb.__version__.split('.')[0]) >= 2


class OriginRange(NamedTuple):
  """Where a block's events stand in their source, first offset included and end excluded.

  Offsets are bytes in the (decompressed) stream of a file, rows of a Parquet file, or the
  offsets of a Kafka partition.
  """
  source: str
  partition: int
  start: int
  end: int


class StoredRows(Protocol):
  """Rows of a table that stay where they are stored until they are counted."""

  @property
  def num_rows(self) -> int:
    """How many there are."""

  def read(self, columns: Sequence[str] | None = None) -> pa.Table:
    """The rows, of all columns or of those of these names that there are."""


@dataclasses.dataclass
class EventBlock:
  """Events as they were read.

  Attributes:
    origin: the range that these events fill.
    data: whole JSON lines, or rows with the columns of the event contract: an Arrow table, or
      where it is stored.
    watermark_secs: the source's watermark when the block was read, epoch seconds;
      None when the source has none (bounded input, or nothing read yet).
    read_secs: when an endless source read the block, epoch seconds: what the future of its
      events is measured by; None for bounded input, which may hold any time.
    offsets: of a block of messages, one a line, the offset of each: int64[lines]. None where
      an offset follows from the place in `data`.
    late: which lines the source judged too late, whatever `watermark_secs` says of the whole
      block: bool[lines]; None for none.
    raw: the original bytes of the messages that do not stand in `data` as they came, by line.
    counted: what the block holds (CountedBlock), where the source has counted it to judge it; None
      elsewhere. It does not travel.
  """
  origin: OriginRange
  data: bytes | memoryview | pa.Table | StoredRows
  watermark_secs: int | None = None
  read_secs: int | None = None
  offsets: np.ndarray | None = None
  late: np.ndarray | None = None
  raw: Mapping[int, bytes] | None = None
  counted: Any = None

  def __reduce__(self):
    # A view of a mapped file cannot travel; its bytes can. Only a runner that does not
    # fuse reading with counting ever asks.
    data = bytes(self.data) if isinstance(self.data, memoryview) else self.data
    return EventBlock, (self.origin, data, self.watermark_secs, self.read_secs, self.offsets,
                        self.late, self.raw)


class BlockFiles(fsspec.AbstractFileSystem):
  """A file system over memory views, so that DuckDB reads a block where it lies.

  fsspec's own memory file system copies every block twice.
  """
  protocol = 'blocks'

  def __init__(self) -> None:
    super().__init__(skip_instance_cache=True)
    self._views: dict[str, memoryview] = {}
    self._numbers = itertools.count()

  def put(self, view: memoryview) -> str:
    """Registers a view and returns the URL under which DuckDB reads it."""
    name = f'{next(self._numbers)}.json'
    self._views[name] = view
    return f'{self.protocol}://{name}'

  def drop(self, url: str) -> None:
    del self._views[self._strip_protocol(url)]

  def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
    name = self._strip_protocol(path)
    return {'name': name, 'size': len(self._views[name]), 'type': 'file'}

  def glob(self, path: str, **kwargs: Any) -> list[str]:
    return [self._strip_protocol(path)]

  def modified(self, path: str) -> datetime.datetime:
    return datetime.datetime(2000, 1, 1)

  def open(self, path: str, mode: str = 'rb', **kwargs: Any) -> '_ViewFile':
    return _ViewFile(self._views[self._strip_protocol(path)])


class _ViewFile:
  """The few calls that DuckDB makes on an open file."""

  def __init__(self, view: memoryview) -> None:
    self._view = view
    self._place = 0
    self.closed = False

  def seek(self, offset: int, whence: int = 0) -> int:
    self._place = offset
    return offset

  def tell(self) -> int:
    return self._place

  def read(self, size: int = -1) -> bytes | memoryview:
    end = len(self._view) if size < 0 else self._place + size
    piece = self._view[self._place:end]
    self._place += len(piece)
    return piece if _TAKES_VIEWS else bytes(piece)

  def close(self) -> None:
    self.closed = True
