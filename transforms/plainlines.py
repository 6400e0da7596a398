"""Counts the plain lines of a block in compiled code, which sets every other line apart.

A line is plain when nothing about it needs a judge: see `plainlines.c`. The library speaks to
`ctypes` alone, so that it is the same for every Python.
"""
import ctypes
import functools
import importlib.util
import logging
import os
import pathlib
import re
import threading
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from leaderboard.transforms import events
from leaderboard.transforms.blockquery import ARCHIVED
from leaderboard.transforms.blocks import EventBlock
from leaderboard.transforms.cells import Cell
from leaderboard.transforms.columnar import delta_bytes
from leaderboard.transforms.countingrules import CountingRules
from leaderboard.transforms.events import RawEvent

_PLAIN_NAME = re.compile(r'[A-Za-z0-9_-]+')
_FORMATS = {'epoch_ms': 0, 'epoch_s': 1, 'rfc3339': 2}
_LOADING = threading.Lock()
_SEED = int.from_bytes(os.urandom(8), 'little')


class PlainLines(NamedTuple):
  """What the plain lines of a block hold, and where the others are.

  Attributes:
    latest_ms: newest event time of a plain line, epoch milliseconds; None when there is none.
    odd: start, end (newline excluded) and number of every line that is neither plain nor blank:
      int64[odd, 3].
    kept: the events, as `CountedBlock.kept`.
  """
  cells: list[Cell]
  latest_ms: int | None
  odd: np.ndarray
  kept: pa.Table | None


class _Text(ctypes.Structure):
  _fields_ = [('at', ctypes.c_char_p), ('length', ctypes.c_uint32)]


_MAX_ROOTS, _MAX_PATHS, _MAX_KEYS = 8, 32, 8


class _Path(ctypes.Structure):
  _fields_ = [('type', _Text), ('root', ctypes.c_int64), ('keys', ctypes.c_int64),
              ('key', _Text * _MAX_KEYS)]


class _Paths(ctypes.Structure):
  _fields_ = [('roots', ctypes.c_int64), ('paths', ctypes.c_int64), ('root', _Text * _MAX_ROOTS),
              ('path', _Path * _MAX_PATHS)]


class _Rules(ctypes.Structure):
  _fields_ = [*((name, ctypes.c_int64) for name in (
      'format', 'base_ms', 'min_ms', 'end_ms', 'min_start_ms', 'max_line', 'keep')),
              ('seed', ctypes.c_uint64), ('paths', ctypes.POINTER(_Paths))]


class _Counts(ctypes.Structure):
  _fields_ = [*((name, ctypes.c_int64) for name in (
      'lines', 'blanks', 'latest_ms', 'cells', 'items', 'odd', 'cell_bytes', 'item_bytes')),
              *((name, ctypes.c_void_p) for name in (
                  'cell', 'cell_text', 'length', 'weight', 'item_text', 'odd_line', 'kept'))]


# The columns of text that are kept; those behind the first three may be null.
_TEXTS = ('tenant_id', 'event_type', 'item_id', *ARCHIVED)


class _Kept(ctypes.Structure):
  _fields_ = [('rows', ctypes.c_int64), ('bytes', ctypes.c_int64 * len(_TEXTS)),
              *((name, ctypes.c_void_p) for name in ('start', 'number', 'us', 'weight')),
              ('offset', ctypes.c_void_p * len(_TEXTS)), ('text', ctypes.c_void_p * len(_TEXTS)),
              ('valid', ctypes.c_void_p * len(ARCHIVED))]


def _library() -> ctypes.CDLL | None:
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
        'take about twice as long; for full speed install it again where there is a C compiler '
        '(Debian: apt install gcc libc6-dev)', error)
    return None


def _refuse_older(library: pathlib.Path) -> None:
  """In a checkout, whose source may have changed since: fields would be read at other places."""
  source = pathlib.Path(__file__).with_suffix('.c')
  if source.exists() and source.stat().st_mtime > library.stat().st_mtime:
    raise OSError(f'{library.name} is older than {source.name}')


def opened(path: str) -> ctypes.CDLL:
  """A library made of `plainlines.c`.

  Raises:
    OSError: it is none for this machine.
  """
  library = ctypes.CDLL(path)
  library.plain_count.restype = ctypes.POINTER(_Counts)
  library.plain_count.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.POINTER(_Rules),
                                  ctypes.c_void_p, ctypes.c_void_p]
  library.plain_free.argtypes = [ctypes.POINTER(_Counts)]
  library.plain_free.restype = None
  library.plain_free_kept.argtypes = [ctypes.c_void_p]
  library.plain_free_kept.restype = None
  return library


def fits(rules: CountingRules) -> bool:
  """Whether lines may be counted here by these rules."""
  return _paths_fit(rules.item_paths) and _library() is not None


def _paths_fit(paths: Mapping[str, str]) -> bool:
  """Whether items are found by plain names, below fields that are no others."""
  keys = [path.split('.') for path in paths.values()]
  return (len(keys) <= _MAX_PATHS and len({key[0] for key in keys}) <= _MAX_ROOTS
          and all(len(key) <= _MAX_KEYS + 1 and key[0] not in RawEvent._fields for key in keys)
          and all(_PLAIN_NAME.fullmatch(name) for key in keys for name in key))


def count(data: memoryview, block: EventBlock, rules: CountingRules) -> PlainLines:
  """Counts the plain lines of a block that `fits` the rules.

  Args:
    data: its lines.
  """
  found = _run(data, block, rules, None, keep=rules.keep_events)
  try:
    counts = found.contents
    kept = _kept(counts.kept, block) if rules.keep_events else None
    told = _array(counts.cell, 5 * counts.cells).reshape(-1, 5)
    odd = _array(counts.odd_line, 3 * counts.odd).reshape(-1, 3)
    if int(told[:, 3].sum()) + counts.odd + counts.blanks != counts.lines:
      raise RuntimeError(f'not every line of {block.origin} was counted or set apart; the block is '
                         f'not counted')
    return PlainLines(_cells(counts, told, rules),
                      None if counts.latest_ms < 0 else counts.latest_ms, odd, kept)
  finally:
    _loaded().plain_free(found)


def event_times(data: memoryview, block: EventBlock,
                rules: CountingRules) -> tuple[np.ndarray, np.ndarray]:
  """The event time of every line of a block of messages, -1 where it is not plain: int64[lines],
  epoch milliseconds; and the other lines, as `PlainLines.odd`."""
  assert block.offsets is not None
  times = np.full(len(block.offsets), -1, np.int64)
  found = _run(data, block, rules, times, keep=False)
  try:
    return times, _array(found.contents.odd_line, 3 * found.contents.odd).reshape(-1, 3)
  finally:
    _loaded().plain_free(found)


def _loaded() -> ctypes.CDLL:
  library = _library()
  assert library is not None
  return library


def _run(data: memoryview, block: EventBlock, rules: CountingRules, times: np.ndarray | None,
         keep: bool):
  lines = np.frombuffer(data, np.uint8)
  late = None if block.late is None else np.ascontiguousarray(block.late, np.uint8)
  found = _loaded().plain_count(
      lines.ctypes.data, len(lines), ctypes.byref(_rules(block, rules, keep)),
      None if late is None else late.ctypes.data, None if times is None else times.ctypes.data)
  if not found:
    raise MemoryError(f'no memory is left to count {block.origin}')
  return found


def _rules(block: EventBlock, rules: CountingRules, keep: bool = False) -> _Rules:
  end_ms = rules.end_ms(block.read_secs)
  if block.read_secs is not None and rules.clamp_future:
    # What lies beyond counts at another moment.
    end_ms = min(end_ms, (block.read_secs + rules.max_future_secs) * 1000 + 1)
  first = 0
  if block.watermark_secs is not None:
    first = block.watermark_secs - rules.base.secs - rules.allowed_lateness_secs + 1
  return _Rules(_FORMATS[rules.timestamp_format], rules.base.secs * 1000,
                events.MIN_EPOCH_SECS * 1000, end_ms, first * 1000, rules.max_event_bytes, keep,
                _SEED, ctypes.pointer(_paths(rules.item_paths)) if rules.item_paths else None)


def _paths(paths: Mapping[str, str]) -> _Paths:
  keys = [path.split('.') for path in paths.values()]
  roots = list(dict.fromkeys(key[0] for key in keys))
  found = _Paths(len(roots), len(keys))
  found.root[:len(roots)] = list(map(_text, roots))
  for place, (event_type, (root, *below)) in enumerate(zip(paths, keys, strict=True)):
    found.path[place] = _Path(_text(event_type), roots.index(root), len(below),
                              tuple(map(_text, below)))
  return found


def _text(text: str) -> _Text:
  data = text.encode()
  return _Text(data, len(data))


def _array(address: int, count: int) -> np.ndarray:
  return np.frombuffer(ctypes.string_at(address, 8 * count), np.int64)


def _cells(counts: _Counts, told: np.ndarray, rules: CountingRules) -> list[Cell]:
  lengths, weights = (_array(address, counts.items) for address in (counts.length, counts.weight))
  names = ctypes.string_at(counts.cell_text, counts.cell_bytes)
  items = memoryview(ctypes.string_at(counts.item_text, counts.item_bytes))
  ends = np.cumsum(lengths)
  cells, place, first, start = [], 0, 0, 0
  for tenant, kind, start_ms, total, count in told.tolist():
    end = first + count
    stop = int(ends[end - 1])
    cells.append(Cell(
        names[place:place + tenant].decode(), names[place + tenant:place + tenant + kind].decode(),
        start_ms // 1000, total, delta_bytes(
            rules.parameters, lengths[first:end], weights[first:end], bytes(items[start:stop]),
            total)))
    place, first, start = place + tenant + kind, end, stop
  return cells


class _Owner:
  """Frees columns when the last of them is gone."""

  def __init__(self, address: int) -> None:
    self._address = address

  def __del__(self) -> None:
    _loaded().plain_free_kept(self._address)


def _kept(address: int, block: EventBlock) -> pa.Table:
  """The events as a table that holds their memory; no copy is made."""
  owner = _Owner(address)
  kept = _Kept.from_address(address)
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
