"""The one columnar format of a summary: delta, accumulator and stored value.

Header, then sections: byte lengths of the items, lower bounds, upper minus lower bounds,
the items' UTF-8, and the Count-Min table. Integers are in the narrowest little-endian
unsigned type that holds them, so numpy reads a section without a loop.

A table with cells beyond 65,535 is rounded up to 16 significant bits a cell, so that a summary
of any weight stays small. A cell is an upper bound and stays one; an estimate grows by less
than one part in 32,768, and never beyond the total.
"""
import dataclasses
import struct
import zlib

import numpy as np
import pyarrow as pa

MAGIC = b'TKHH'
VERSION = 1
EXACT, SPILLED, SKETCH = 0, 1, 2
_PACKED = 1     # flag: the body is deflated
_SCALED = 2     # flag: a shift for every cell follows the table
_CELL_BITS = 16

# magic, version, kind, flags, depth, candidates, width, batch, items, seed, total, events, tau,
# type widths of four sections, bytes of item text, bytes of the body as it stands here
_HEADER = struct.Struct('<4sBBBBIIIIqqqq4BQQ')
_CHECK = struct.Struct('<I')
_MAX_RATIO = 1100   # deflate cannot shrink further: a larger claim is a lie


class CorruptSummary(ValueError):
  """The bytes are no summary of this format: cut short, changed, or of another version."""


@dataclasses.dataclass
class Columns:
  """A summary's content as columns.

  Attributes:
    kind: EXACT or SPILLED; SKETCH for a Count-Min table alone.
    depth, width, candidates, batch, seed: parameters.
    total, events, tau: as in HeavyHitters.
    lengths: bytes of every item's UTF-8.  lowers, spans: its bounds (upper - lower).
    text: the items' UTF-8, one after the other.
    table: the Count-Min table, flat; empty in an exact summary.
  """
  kind: int
  depth: int
  width: int
  candidates: int
  batch: int
  seed: int
  total: int
  events: int
  tau: int
  lengths: np.ndarray
  lowers: np.ndarray
  spans: np.ndarray
  text: bytes
  table: np.ndarray

  def items(self, first: int | None = None) -> list[str]:
    """The items as text: all, or the first few."""
    ends = np.cumsum(self.lengths[:first]).tolist()
    if self.text.isascii():
      text = self.text.decode('ascii')
      return [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    return [self.text[start:end].decode('utf-8', 'surrogatepass')
            for start, end in zip([0, *ends], ends, strict=False)]

  def texts(self) -> pa.Array:
    """The items' UTF-8, as an array of bytes."""
    ends = np.concatenate(([0], np.cumsum(self.lengths)))
    return pa.Array.from_buffers(pa.large_binary(), len(self.lengths),
                                 [None, pa.py_buffer(ends), pa.py_buffer(self.text)])

  def take(self, places: np.ndarray) -> 'Columns':
    """The same summary with the items of these places alone, in that order."""
    lengths = self.lengths[places]
    return dataclasses.replace(
        self, lengths=lengths, lowers=self.lowers[places], spans=self.spans[places],
        text=joined(self.texts().take(places), lengths))


def joined(texts: pa.Array, lengths: np.ndarray) -> bytes:
  """An array of bytes without an offset, one after the other."""
  text = texts.buffers()[2]   # None where all are empty
  return text.to_pybytes()[:int(lengths.sum())] if text else b''


def encode(columns: Columns, compress: bool) -> bytes:
  """The bytes of a summary; the same content gives the same bytes in every process."""
  table, shifts = _scale(columns.table)
  sections = [_narrow(section) for section in (
      columns.lengths, columns.lowers, columns.spans, table)]
  body = b''.join([*(section.tobytes() for section in sections[:3]), columns.text,
                   sections[3].tobytes(), shifts.tobytes()])
  flags = _SCALED if len(shifts) else 0
  if compress:
    body, flags = zlib.compress(body, 1), flags | _PACKED
  header = _HEADER.pack(
      MAGIC, VERSION, columns.kind, flags, columns.depth, columns.candidates, columns.width,
      columns.batch, len(columns.lengths), columns.seed, columns.total, columns.events,
      columns.tau, *(section.itemsize for section in sections), len(columns.text), len(body))
  return b''.join([header, body, _CHECK.pack(zlib.crc32(body, zlib.crc32(header)))])


def decode(data: bytes) -> Columns:
  """Reads what `encode` wrote; every number fits 63 bits and is at least 0.

  Raises:
    CorruptSummary: anything is wrong with the bytes; nothing large is allocated before
      every length has been checked.
  """
  if len(data) < _HEADER.size + _CHECK.size:
    raise CorruptSummary(f'a summary has at least {_HEADER.size + _CHECK.size} bytes, '
                         f'got {len(data)}')
  (magic, version, kind, flags, depth, candidates, width, batch, count, seed, total, events, tau,
   *sizes, text_bytes, body_bytes) = _HEADER.unpack_from(data)
  if magic != MAGIC:
    raise CorruptSummary(f'not a summary: it begins with {magic!r}')
  if version != VERSION:
    raise CorruptSummary(f'summary version {version} is not known, only {VERSION}')
  end = _HEADER.size + body_bytes
  if end + _CHECK.size != len(data):
    raise CorruptSummary(f'a body of {body_bytes} bytes is declared, '
                         f'{len(data) - _HEADER.size - _CHECK.size} are there')
  view = memoryview(data)
  if _CHECK.unpack_from(data, end)[0] != zlib.crc32(view[:end]):
    raise CorruptSummary('the checksum does not match: the summary was changed')
  if (min(total, events, tau) < 0 or kind > SKETCH or flags & ~(_PACKED | _SCALED)
      or not set(sizes) <= {1, 2, 4, 8}):
    raise CorruptSummary('the header has values that no summary has')
  cells = 0 if kind == EXACT else depth * width
  shifts = cells if flags & _SCALED else 0
  whole = count * sum(sizes[:3]) + text_bytes + cells * sizes[3] + shifts
  body = view[_HEADER.size:end]
  if flags & _PACKED:
    if whole > _MAX_RATIO * body_bytes + 64:
      raise CorruptSummary(f'{whole} bytes are declared, more than {body_bytes} can hold')
    unpacker = zlib.decompressobj()
    try:
      body = memoryview(unpacker.decompress(body, whole + 1))
    except zlib.error as error:
      raise CorruptSummary(f'the body cannot be unpacked: {error}') from None
    if not unpacker.eof or unpacker.unused_data:
      raise CorruptSummary('the body does not end where its packing ends')
  if len(body) != whole:
    raise CorruptSummary(f'{whole} bytes are declared, {len(body)} are there')
  place = 0
  sections: list[np.ndarray] = []
  for size, length in zip(sizes, (count, count, count, cells), strict=True):
    if len(sections) == 3:
      text = bytes(body[place:place + text_bytes])
      place += text_bytes
    section = np.frombuffer(body, f'<u{size}', length, place)
    if size == 8 and length and int(section.max()) >> 63:
      raise CorruptSummary('a number is beyond 63 bits')
    sections.append(section.astype(np.int64))
    place += size * length
  if shifts:
    bits = np.frombuffer(body, np.uint8, shifts, place)
    if int(bits.max()) > 64 - _CELL_BITS or int(sections[3].max()) >> _CELL_BITS:
      raise CorruptSummary('a cell of the table is beyond 64 bits')
    # What was rounded up beyond the total was no larger than the total before.
    cells_ = np.minimum(sections[3].astype(np.uint64) << bits, np.uint64(total))
    sections[3] = cells_.astype(np.int64)
  # Each length by itself too: a sum may wrap, and the text is read by them.
  if np.max(sections[0], initial=0) > text_bytes or int(sections[0].sum()) != text_bytes:
    raise CorruptSummary('the lengths of the items do not add up to their text')
  return Columns(kind, depth, width, candidates, batch, seed, total, events, tau, sections[0],
                 sections[1], sections[2], text, sections[3])


def _scale(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Cells of at most 16 bits and the shift of each; no shifts where every cell fits as it is."""
  if not len(table) or int(table.max()) < 1 << _CELL_BITS:
    return table, np.zeros(0, np.uint8)
  # frexp's exponent is the bit length; beyond 2^53 it may be one too large, which only
  # rounds up a bit further.
  bits = np.frexp(table.astype(np.float64))[1].astype(np.int64)
  shifts = np.maximum(bits - _CELL_BITS, 0)
  cells = -(-table >> shifts)
  # Rounding up may carry into a seventeenth bit.
  carried = cells >> _CELL_BITS
  return -(-cells >> carried), (shifts + carried).astype(np.uint8)


def _narrow(values: np.ndarray) -> np.ndarray:
  most = int(values.max()) if len(values) else 0
  for kind in ('<u1', '<u2', '<u4'):
    if most <= np.iinfo(kind).max:
      return values.astype(kind)
  return values.astype('<u8')
