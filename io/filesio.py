"""Reads blocks of events from files: JSON lines (plain, gzip, zstd) and Parquet.

A plain file is cut into ranges of fixed places, so that a range has the same name in every
run, and a range owns the lines that start in it. A compressed file can only be read from
its start and is cut as it is read; the cuts depend on its content alone.
"""
import dataclasses
import gzip
import io
import mmap
import os
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, NamedTuple

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from leaderboard.transforms.blocks import EventBlock, OriginRange
from leaderboard.transforms.lines import BOM

BLOCK_BYTES = 64 << 20   # below 32 MiB the cost of a query shows, above 64 MiB only memory does
_PEEK = 1 << 16
# Columns of text that may repeat. Where they do, they are read four times faster as dictionaries,
# and three times slower where they do not: then they fill more bytes a row than numbers take.
_REPEATING = ('event_type', 'tenant_id', 'item_id')
_NUMBER_BYTES = 8


class InputFile(NamedTuple):
  """A file of the input and its size, bytes."""
  path: str
  size: int


class FileRange(NamedTuple):
  """A stretch of a file: bytes of a plain one; the whole of any other."""
  path: str
  start: int
  end: int


class FoundFile(NamedTuple):
  """A file, its size (bytes) and when it was written (epoch seconds; 0 where no one knows)."""
  path: str
  size: int
  written_secs: float


def match_files(patterns: str) -> list[InputFile]:
  """Lists the files of comma-separated paths and globs on any Beam file system, by path.

  Raises:
    ValueError: a pattern matches no file.
  """
  for pattern in patterns.split(','):
    path = local_path(pattern.strip())
    if os.path.isdir(path):
      raise ValueError(f'{path!r} is a folder; give {path}/*.jsonl, or what its files are called')
    if not find_files(pattern):
      raise ValueError(f'no file matches {local_path(pattern.strip())!r}')
  return [InputFile(file.path, file.size) for file in find_files(patterns)]


def find_files(patterns: str) -> list[FoundFile]:
  """The files that are there now of comma-separated paths and globs, by path; maybe none."""
  found: dict[str, FoundFile] = {}
  for pattern in patterns.split(','):
    (match,) = FileSystems.match([local_path(pattern.strip())])
    found.update({
        meta.path: FoundFile(meta.path, meta.size_in_bytes, meta.last_updated_in_seconds or 0)
        for meta in match.metadata_list if not os.path.isdir(meta.path)})
  return [found[path] for path in sorted(found)]


def check_folder(path: str) -> None:
  """Sees that a local folder which is to be read is there; others show when they are read.

  Raises:
    ValueError: it is not.
  """
  if '://' not in path and not os.path.isdir(path):
    raise ValueError(f'there is no folder {path!r}; name the one that the job writes')


def local_path(path: str) -> str:
  """Makes a local path absolute: a path names events for ever, from any folder."""
  path = path.removeprefix('file://')
  return path if '://' in path else os.path.abspath(path)


@dataclasses.dataclass
class ReadBlocks(beam.PTransform):
  """Reads files as blocks of events.

  Args:
    patterns: comma-separated paths and globs.
    block_bytes: size of a block before compression.
  Input: the pipeline.  Output: EventBlock.
  """
  patterns: str
  block_bytes: int = BLOCK_BYTES

  def expand(self, pipeline: Any) -> beam.PCollection:
    return (pipeline
            | 'Patterns' >> beam.Create([self.patterns])
            | 'List' >> beam.ParDo(_ListFn(self.block_bytes))
            | 'Spread' >> beam.Reshuffle()
            | 'Read' >> beam.ParDo(_ReadFn(self.block_bytes)))


class _ListFn(beam.DoFn):

  def __init__(self, block_bytes: int) -> None:
    self._block_bytes = block_bytes

  def process(self, patterns: str) -> Iterator[FileRange]:
    for file in match_files(patterns):
      yield from ranges_of(file, self._block_bytes)


class _ReadFn(beam.DoFn):

  def __init__(self, block_bytes: int) -> None:
    self._block_bytes = block_bytes

  def process(self, part: FileRange) -> Iterator[EventBlock]:
    yield from read_range(part, self._block_bytes)


def ranges_of(file: InputFile, block_bytes: int = BLOCK_BYTES) -> Iterator[FileRange]:
  """Cuts a file into the ranges that can be read apart: a compressed one is whole."""
  step = block_bytes if _is_plain(file.path) else max(file.size, 1)
  for start in range(0, file.size, step):
    yield FileRange(file.path, start, min(start + step, file.size))


def read_range(part: FileRange, block_bytes: int = BLOCK_BYTES) -> Iterator[EventBlock]:
  """The blocks of one range of a file, in order."""
  if _is_parquet(part.path):
    return _parquet_blocks(part.path)
  if not _is_plain(part.path):
    return _stream_blocks(part.path, block_bytes)
  return _plain_block(part)


def _is_parquet(path: str) -> bool:
  return path.lower().endswith(('.parquet', '.pq'))


def _is_plain(path: str) -> bool:
  return not path.lower().endswith(('.parquet', '.pq', '.gz', '.gzip', '.zst', '.zstd'))


def _open(path: str) -> BinaryIO:
  return FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)


def _block(path: str, start: int, data: bytes | memoryview) -> EventBlock:
  end = start + len(data)
  if bytes(data[:3]) == BOM and start == 0:
    start, data = 3, data[3:]
  return EventBlock(OriginRange(path, 0, start, end), data)


def _plain_block(part: FileRange) -> Iterator[EventBlock]:
  """One block of the lines that start in [start, end), or none."""
  start, data = (_fetched_lines if '://' in part.path else _mapped_lines)(part)
  if len(data):
    yield _block(part.path, start, data)


def _mapped_lines(part: FileRange) -> tuple[int, bytes | memoryview]:
  with open(part.path, 'rb') as file:
    mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
  start = _line_start(mapped, part.start)
  end = _line_start(mapped, part.end)
  return start, memoryview(mapped)[start:end]


def _line_start(mapped: mmap.mmap, place: int) -> int:
  """Where the first line that starts at or after `place` starts."""
  if place <= 0 or place >= len(mapped):
    return min(max(place, 0), len(mapped))
  newline = mapped.find(b'\n', place - 1)
  return len(mapped) if newline < 0 else newline + 1


def _fetched_lines(part: FileRange) -> tuple[int, bytes | memoryview]:
  with _open(part.path) as file:
    start = part.start
    if start:
      file.seek(start - 1)
      start += _skip_line(file) - 1
    if start >= part.end:
      return start, b''
    data = file.read(part.end - start)
    # The last line belongs to this range to its end, however far that is.
    while data and not data.endswith(b'\n'):
      more = file.read(_PEEK)
      if not more:
        break
      newline = more.find(b'\n')
      data += more if newline < 0 else more[:newline + 1]
  return start, data


def _skip_line(file: BinaryIO) -> int:
  skipped = 0
  while more := file.read(_PEEK):
    newline = more.find(b'\n')
    if newline >= 0:
      file.seek(newline + 1 - len(more), os.SEEK_CUR)
      return skipped + newline + 1
    skipped += len(more)
  return skipped


def _stream_blocks(path: str, block_bytes: int) -> Iterator[EventBlock]:
  with _open(path) as raw, _unpacked(path, raw) as stream:
    start, rest = 0, b''
    while data := _read(stream, block_bytes, path):
      cut = data.rfind(b'\n') + 1
      if not cut:
        rest += data
        continue
      yield _block(path, start, rest + data[:cut])
      start += len(rest) + cut
      rest = data[cut:]
    if rest:
      yield _block(path, start, rest)


def _unpacked(path: str, raw: BinaryIO) -> Any:
  if path.lower().endswith(('.gz', '.gzip')):
    return gzip.GzipFile(fileobj=raw)
  return io.BufferedReader(_ZstdFile(raw))


class _ZstdFile(io.RawIOBase):
  """Unpacks all frames of a zstd file; the library's own reader passes over a missing end."""

  def __init__(self, raw: BinaryIO) -> None:
    self._raw = raw
    self._frame = zstandard.ZstdDecompressor().decompressobj()
    self._begun = False
    self._packed = b''
    self._ready = memoryview(b'')

  def readable(self) -> bool:
    return True

  def readinto(self, buffer: Any) -> int:
    while not self._ready:
      self._packed = self._packed or self._raw.read(_PEEK)
      if not self._packed:
        if self._begun:
          raise EOFError('the last frame has no end')
        return 0
      self._ready = memoryview(self._frame.decompress(self._packed))
      self._begun = not self._frame.eof
      self._packed = self._frame.unused_data
      if self._frame.eof:
        self._frame = zstandard.ZstdDecompressor().decompressobj()
    size = min(len(buffer), len(self._ready))
    buffer[:size] = self._ready[:size]
    self._ready = self._ready[size:]
    return size


def _read(stream: Any, size: int, path: str) -> bytes:
  try:
    return stream.read(size)
  except (EOFError, OSError, zlib.error, zstandard.ZstdError) as error:
    raise ValueError(f'{path} is damaged or cut short: {error}') from None


@dataclasses.dataclass(frozen=True)
class RowGroup:
  """The rows of one row group of a Parquet file: StoredRows.

  Attributes:
    repeating: columns that are read as dictionaries, when not all are asked for.
  """
  path: str
  group: int
  num_rows: int
  repeating: tuple[str, ...]

  def read(self, columns: Sequence[str] | None = None) -> pa.Table:
    with _open(self.path) as file:
      parquet = pq.ParquetFile(file, read_dictionary=self.repeating if columns else None)
      present = [name for name in columns or () if name in parquet.schema_arrow.names]
      # By one thread: blocks are counted side by side, and pool threads could hold the file. A
      # file that has none of the columns is read whole, since rows without columns are none.
      return parquet.read_row_group(self.group, present or None, use_threads=False)


def _parquet_blocks(path: str) -> Iterator[EventBlock]:
  with _open(path) as file:
    parquet = pq.ParquetFile(file)
    metadata, schema = parquet.metadata, parquet.schema_arrow
  texts = [name for name in _REPEATING
           if name in schema.names and pa.types.is_string(schema.field(name).type)]
  start = 0
  for group in range(metadata.num_row_groups):
    told = metadata.row_group(group)
    rows = told.num_rows
    if rows:
      columns = map(told.column, range(told.num_columns))
      repeating = tuple(
          column.path_in_schema for column in columns if column.path_in_schema in texts
          and column.total_uncompressed_size < _NUMBER_BYTES * rows)
      yield EventBlock(OriginRange(path, 0, start, start + rows), RowGroup(
          path, group, rows, repeating))
    start += rows
