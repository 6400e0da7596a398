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
import threading
from typing import NamedTuple

import numpy as np

from leaderboard.transforms import events
from leaderboard.transforms.blocks import EventBlock
from leaderboard.transforms.cells import Cell
from leaderboard.transforms.columnar import delta_bytes
from leaderboard.transforms.countingrules import CountingRules

_FORMATS = {'epoch_ms': 0, 'epoch_s': 1, 'rfc3339': 2}
_LOADING = threading.Lock()
_SEED = int.from_bytes(os.urandom(8), 'little')


class PlainLines(NamedTuple):
  """What the plain lines of a block hold, and where the others are.

  Attributes:
    latest_ms: newest event time of a plain line, epoch milliseconds; None when there is none.
    odd: start, end (newline excluded) and number of every line that is neither plain nor blank:
      int64[odd, 3].
  """
  cells: list[Cell]
  latest_ms: int | None
  odd: np.ndarray


class _Rules(ctypes.Structure):
  _fields_ = [*((name, ctypes.c_int64) for name in (
      'format', 'base_ms', 'min_ms', 'end_ms', 'min_start_ms', 'max_line')),
              ('seed', ctypes.c_uint64)]


class _Counts(ctypes.Structure):
  _fields_ = [*((name, ctypes.c_int64) for name in (
      'lines', 'blanks', 'latest_ms', 'cells', 'items', 'odd', 'cell_bytes', 'item_bytes')),
              *((name, ctypes.c_void_p) for name in (
                  'cell', 'cell_text', 'length', 'weight', 'item_text', 'odd_line'))]


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
  return library


def fits(rules: CountingRules) -> bool:
  """Whether lines may be counted here by these rules."""
  return not rules.item_paths and not rules.keep_events and _library() is not None


def count(data: memoryview, block: EventBlock, rules: CountingRules) -> PlainLines:
  """Counts the plain lines of a block that `fits` the rules.

  Args:
    data: its lines.
  """
  found = _run(data, block, rules, None)
  try:
    counts = found.contents
    told = _array(counts.cell, 5 * counts.cells).reshape(-1, 5)
    odd = _array(counts.odd_line, 3 * counts.odd).reshape(-1, 3)
    if int(told[:, 3].sum()) + counts.odd + counts.blanks != counts.lines:
      raise RuntimeError(f'not every line of {block.origin} was counted or set apart; the block is '
                         f'not counted')
    return PlainLines(_cells(counts, told, rules),
                      None if counts.latest_ms < 0 else counts.latest_ms, odd)
  finally:
    _loaded().plain_free(found)


def event_times(data: memoryview, block: EventBlock,
                rules: CountingRules) -> tuple[np.ndarray, np.ndarray]:
  """The event time of every line of a block of messages, -1 where it is not plain: int64[lines],
  epoch milliseconds; and the other lines, as `PlainLines.odd`."""
  assert block.offsets is not None
  times = np.full(len(block.offsets), -1, np.int64)
  found = _run(data, block, rules, times)
  try:
    return times, _array(found.contents.odd_line, 3 * found.contents.odd).reshape(-1, 3)
  finally:
    _loaded().plain_free(found)


def _loaded() -> ctypes.CDLL:
  library = _library()
  assert library is not None
  return library


def _run(data: memoryview, block: EventBlock, rules: CountingRules, times: np.ndarray | None):
  lines = np.frombuffer(data, np.uint8)
  late = None if block.late is None else np.ascontiguousarray(block.late, np.uint8)
  found = _loaded().plain_count(
      lines.ctypes.data, len(lines), ctypes.byref(_rules(block, rules)),
      None if late is None else late.ctypes.data, None if times is None else times.ctypes.data)
  if not found:
    raise MemoryError(f'no memory is left to count {block.origin}')
  return found


def _rules(block: EventBlock, rules: CountingRules) -> _Rules:
  end_ms = rules.end_ms(block.read_secs)
  if block.read_secs is not None and rules.clamp_future:
    # What lies beyond counts at another moment.
    end_ms = min(end_ms, (block.read_secs + rules.max_future_secs) * 1000 + 1)
  first = 0
  if block.watermark_secs is not None:
    first = block.watermark_secs - rules.base.secs - rules.allowed_lateness_secs + 1
  return _Rules(_FORMATS[rules.timestamp_format], rules.base.secs * 1000,
                events.MIN_EPOCH_SECS * 1000, end_ms, first * 1000, rules.max_event_bytes, _SEED)


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
