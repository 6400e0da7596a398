"""The compiled code that counts what is plain: its library, and what it is asked and answers.

The library speaks to `ctypes` alone, so that it is the same for every Python.
"""
import contextlib
import ctypes
import functools
import importlib.util
import logging
import os
import pathlib
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from leaderboard.transforms import events
from leaderboard.transforms.blockquery import ARCHIVED
from leaderboard.transforms.blocks import EventBlock
from leaderboard.transforms.cells import Cell
from leaderboard.transforms.columnar import delta_bytes
from leaderboard.transforms.countingrules import CountingRules
from leaderboard.transforms.parameters import Parameters

MAX_ROOTS, MAX_PATHS, MAX_KEYS = 8, 32, 8
_FORMATS = {'epoch_ms': 0, 'epoch_s': 1, 'rfc3339': 2}
_LOADING = threading.Lock()
_SEED = int.from_bytes(os.urandom(8), 'little')
# The columns of text that are kept; those behind the first three may be null.
_TEXTS = ('tenant_id', 'event_type', 'item_id', *ARCHIVED)


class Plain(NamedTuple):
  """What the plain events of a block hold, and where the others are.

  Attributes:
    latest_ms: newest event time of a plain one, epoch milliseconds; None when there is none.
    odd: start, end (newline excluded) and number of every line that is neither plain nor blank, or
      the number of every row that is not plain, three times: int64[odd, 3].
    kept: the events, as `CountedBlock.kept`; None unless asked for.
  """
  cells: list[Cell]
  latest_ms: int | None
  odd: np.ndarray
  kept: pa.Table | None


# What follows stands in plain/events.h too: the same fields in the same order.

class Text(ctypes.Structure):
  _fields_ = [('at', ctypes.c_char_p), ('length', ctypes.c_uint32)]


class Path(ctypes.Structure):
  _fields_ = [('type', Text), ('root', ctypes.c_int64), ('keys', ctypes.c_int64),
              ('key', Text * MAX_KEYS)]


class Paths(ctypes.Structure):
  _fields_ = [('roots', ctypes.c_int64), ('paths', ctypes.c_int64), ('root', Text * MAX_ROOTS),
              ('path', Path * MAX_PATHS)]


class Rules(ctypes.Structure):
  _fields_ = [*((name, ctypes.c_int64) for name in (
      'format', 'base_ms', 'min_ms', 'end_ms', 'min_start_ms', 'max_line', 'keep')),
              ('seed', ctypes.c_uint64), ('paths', ctypes.POINTER(Paths))]


class Column(ctypes.Structure):
  _fields_ = [('index', ctypes.c_void_p), ('offset', ctypes.c_void_p), ('text', ctypes.c_void_p),
              ('values', ctypes.c_int64)]


class Table(ctypes.Structure):
  _fields_ = [('rows', ctypes.c_int64), ('column', Column * 3), ('time', ctypes.c_void_p),
              ('parts', ctypes.c_int64), ('weight', ctypes.c_void_p)]


class Counts(ctypes.Structure):
  _fields_ = [*((name, ctypes.c_int64) for name in (
      'lines', 'blanks', 'latest_ms', 'cells', 'items', 'odd', 'cell_bytes', 'item_bytes')),
              *((name, ctypes.c_void_p) for name in (
                  'cell', 'cell_text', 'length', 'weight', 'item_text', 'odd_line', 'kept'))]


class Kept(ctypes.Structure):
  _fields_ = [('rows', ctypes.c_int64), ('bytes', ctypes.c_int64 * len(_TEXTS)),
              *((name, ctypes.c_void_p) for name in ('start', 'number', 'us', 'weight')),
              ('offset', ctypes.c_void_p * len(_TEXTS)), ('text', ctypes.c_void_p * len(_TEXTS)),
              ('valid', ctypes.c_void_p * len(ARCHIVED))]


def library() -> ctypes.CDLL | None:
  """The library; None where there is none, of which one warning tells."""
  with _LOADING:   # blocks are counted by several threads, and a warning is given once
    return _loaded_once()


@functools.cache
def _loaded_once() -> ctypes.CDLL | None:
  spec = importlib.util.find_spec('leaderboard.transforms._plainlines')
  try:
    if spec is None or spec.origin is None:
      raise OSError('it was not built')
    _refuse_older(pathlib.Path(spec.origin))
    return opened(spec.origin)
  except OSError as error:
    logging.getLogger(__name__).warning(
        'the compiled part of topk-leaderboard cannot be used (%s): jobs give the same answers and '
        'take up to three times as long; for full speed install it again where there is a C '
        'compiler (Debian: apt install gcc libc6-dev)', error)
    return None


def _refuse_older(found: pathlib.Path) -> None:
  """In a checkout, whose source may have changed since: fields would be read at other places."""
  room = pathlib.Path(__file__).parent
  for source in (room / 'plainlines.c', *room.glob('plain/*.h')):
    if source.exists() and source.stat().st_mtime > found.stat().st_mtime:
      raise OSError(f'{found.name} is older than {source.name}')


def opened(path: str) -> ctypes.CDLL:
  """A library made of `plainlines.c`.

  Raises:
    OSError: it is none for this machine.
  """
  found = ctypes.CDLL(path)
  found.plain_count.restype = found.plain_rows.restype = ctypes.POINTER(Counts)
  found.plain_count.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.POINTER(Rules),
                                ctypes.c_void_p, ctypes.c_void_p]
  found.plain_rows.argtypes = [ctypes.POINTER(Table), ctypes.POINTER(Rules)]
  found.plain_free.argtypes = [ctypes.POINTER(Counts)]
  found.plain_free_kept.argtypes = [ctypes.c_void_p]
  found.plain_free.restype = found.plain_free_kept.restype = None
  return found


def loaded() -> ctypes.CDLL:
  """The library, where it is known to be there."""
  found = library()
  assert found is not None
  return found


def rules_of(block: EventBlock, rules: CountingRules, keep: bool = False) -> Rules:
  """The rules for a block, as the library has them; `paths` is left to the caller."""
  end_ms = rules.end_ms(block.read_secs)
  if block.read_secs is not None and rules.clamp_future:
    # What lies beyond counts at another moment.
    end_ms = min(end_ms, (block.read_secs + rules.max_future_secs) * 1000 + 1)
  first = 0
  if block.watermark_secs is not None:
    first = block.watermark_secs - rules.base.secs - rules.allowed_lateness_secs + 1
  return Rules(_FORMATS[rules.timestamp_format], rules.base.secs * 1000,
               events.MIN_EPOCH_SECS * 1000, end_ms, first * 1000, rules.max_event_bytes, keep,
               _SEED, None)


@contextlib.contextmanager
def answer(found: Any, block: EventBlock) -> Iterator[Counts]:
  """What the library returned for a block, until it is freed.

  Raises:
    MemoryError: the library had no memory left.
  """
  if not found:
    raise MemoryError(f'no memory is left to count {block.origin}')
  try:
    yield found.contents
  finally:
    loaded().plain_free(found)


def told(found: Any, block: EventBlock, parameters: Parameters) -> Plain:
  """What the library counted of a block.

  Raises:
    MemoryError: the library had no memory left.
    RuntimeError: some line or row is neither counted nor set apart.
  """
  with answer(found, block) as counts:
    kept = _kept(counts.kept, block) if counts.kept else None
    cells = _array(counts.cell, 5 * counts.cells).reshape(-1, 5)
    if int(cells[:, 3].sum()) + counts.odd + counts.blanks != counts.lines:
      raise RuntimeError(f'not every line or row of {block.origin} was counted or set apart; the '
                         f'block is not counted')
    return Plain(_cells(counts, cells, parameters),
                 None if counts.latest_ms < 0 else counts.latest_ms, odd_of(counts), kept)


def odd_of(counts: Counts) -> np.ndarray:
  """As `Plain.odd`."""
  return _array(counts.odd_line, 3 * counts.odd).reshape(-1, 3)


def _array(address: int, count: int) -> np.ndarray:
  return np.frombuffer(ctypes.string_at(address, 8 * count), np.int64)


def _cells(counts: Counts, cells: np.ndarray, parameters: Parameters) -> list[Cell]:
  lengths, weights = (_array(address, counts.items) for address in (counts.length, counts.weight))
  names = ctypes.string_at(counts.cell_text, counts.cell_bytes)
  items = memoryview(ctypes.string_at(counts.item_text, counts.item_bytes))
  ends = np.cumsum(lengths)
  found, place, first, start = [], 0, 0, 0
  for tenant, kind, start_ms, total, count in cells.tolist():
    end = first + count
    stop = int(ends[end - 1])
    found.append(Cell(
        names[place:place + tenant].decode(), names[place + tenant:place + tenant + kind].decode(),
        start_ms // 1000, total, delta_bytes(
            parameters, lengths[first:end], weights[first:end], bytes(items[start:stop]), total)))
    place, first, start = place + tenant + kind, end, stop
  return found


class _Owner:
  """Frees columns when the last of them is gone, be it when the interpreter ends."""

  def __init__(self, address: int) -> None:
    self._address = address
    self._free = loaded().plain_free_kept

  def __del__(self) -> None:
    self._free(self._address)


def _kept(address: int, block: EventBlock) -> pa.Table:
  """The events as a table that holds their memory; no copy is made."""
  owner = _Owner(address)
  kept = Kept.from_address(address)
  rows = kept.rows

  def buffer(at: int, size: int) -> pa.Buffer:
    return pa.foreign_buffer(at, size, owner)

  def whole(at: int, kind: pa.DataType) -> pa.Array:
    return pa.Array.from_buffers(kind, rows, [None, buffer(at, 8 * rows)])

  columns = {
      name: pa.StringArray.from_buffers(
          rows, buffer(kept.offset[place], 4 * rows + 4),
          buffer(kept.text[place], kept.bytes[place]),
          buffer(kept.valid[place - 3], rows // 8 + 1) if place >= 3 else None)
      for place, name in enumerate(_TEXTS)}
  columns['timestamp'] = whole(kept.us, pa.timestamp('us'))
  columns['weight'] = whole(kept.weight, pa.int64())
  if block.offsets is None:
    columns['offset'] = pc.add(whole(kept.start, pa.int64()), block.origin.start)
  else:
    columns['offset'] = pa.array(block.offsets).take(whole(kept.number, pa.int64()))
  return pa.table(columns).select([
      'tenant_id', 'event_type', 'timestamp', 'item_id', 'weight', *ARCHIVED, 'offset'])
