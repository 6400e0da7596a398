"""Counts the plain rows of a table in compiled code, which sets every other row apart.

A row is plain when nothing about it needs a judge: its texts are good, its moment and its weight in
range and in time. Tables are taken whose columns have the usual types.
"""
import ctypes

import numpy as np
import pyarrow as pa

from leaderboard.transforms import compiled
from leaderboard.transforms.blocks import EventBlock
from leaderboard.transforms.compiled import Plain
from leaderboard.transforms.countingrules import CountingRules

# How many of a unit make a millisecond; of seconds the format of the rules tells.
_PARTS = {'s': 1, 'ms': 1, 'us': 1000, 'ns': 1_000_000}
_EPOCH_S = 1
_NO_VALUES = np.zeros(1, np.int32)


class _Unusual(Exception):
  """A column is missing, or of a type that is not known here."""


def count(table: pa.Table, block: EventBlock, rules: CountingRules) -> Plain | None:
  """Counts the plain rows of a block; None where its columns, or the rules, are none for this way.

  Args:
    table: its rows, with the columns that counting asks for.
  """
  if rules.item_paths or rules.keep_events or compiled.library() is None:
    return None
  asked = compiled.rules_of(block, rules)
  try:
    moments, unit = _moments(_column(table, 'timestamp'), rules.timestamp_format)
    texts = [_few(_column(table, 'tenant_id')) if 'tenant_id' in table.column_names else None,
             _few(_column(table, 'event_type')), _many(_column(table, 'item_id'))]
    weights = _whole(_column(table, 'weight'), 1) if 'weight' in table.column_names else None
  except (_Unusual, pa.ArrowException):
    return None
  if unit == 's':
    asked.format = _EPOCH_S
  rows = compiled.Table(
      len(table), tuple(_as_asked(*text) if text else compiled.Column() for text in texts),
      moments.ctypes.data, _PARTS[unit], None if weights is None else weights.ctypes.data)
  found = compiled.loaded().plain_rows(ctypes.byref(rows), ctypes.byref(asked))
  return compiled.told(found, block, rules.parameters)


def _column(table: pa.Table, name: str) -> pa.Array:
  if table.column_names.count(name) != 1:
    raise _Unusual
  column = table[name].combine_chunks()
  if not isinstance(column, pa.Array):   # more text than one array holds, 2 GiB
    raise _Unusual
  return column


def _moments(column: pa.Array, timestamp_format: str) -> tuple[np.ndarray, str]:
  """Moments in a unit, -1 where there is none: int64[rows]."""
  if timestamp_format == 'epoch_ms' and pa.types.is_timestamp(column.type):
    return _whole(column.cast(pa.int64()), -1), column.type.unit
  if timestamp_format not in ('epoch_ms', 'epoch_s'):
    raise _Unusual
  return _whole(column, -1), timestamp_format.removeprefix('epoch_')


def _whole(column: pa.Array, missing: int) -> np.ndarray:
  """A column of whole numbers, and what stands for null: int64[rows]."""
  if not pa.types.is_integer(column.type):
    raise _Unusual
  return column.cast(pa.int64()).fill_null(missing).to_numpy()


def _few(column: pa.Array) -> tuple[np.ndarray, pa.StringArray]:
  """Codes of a column of text, -1 for null: int32[rows]; and what they stand for."""
  encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
  return encoded.indices.cast(pa.int32()).fill_null(-1).to_numpy(), _strings(encoded.dictionary)


def _many(column: pa.Array) -> tuple[np.ndarray | None, pa.StringArray]:
  """The same of a column of items; no codes where each row has its own text."""
  if pa.types.is_integer(column.type):
    column = column.cast(pa.string())
  if pa.types.is_dictionary(column.type) or column.null_count:
    return _few(column)
  return None, _strings(column)


def _strings(column: pa.Array) -> pa.StringArray:
  if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
    raise _Unusual
  if column.null_count:
    raise _Unusual   # among the values of a dictionary, which nobody writes
  return column.cast(pa.string())


def _as_asked(codes: np.ndarray | None, values: pa.StringArray) -> compiled.Column:
  _, offsets, text = values.buffers()
  if not offsets:   # Arrow leaves them out where there is no value
    return compiled.Column(codes.ctypes.data if codes is not None else None, _NO_VALUES.ctypes.data)
  return compiled.Column(None if codes is None else codes.ctypes.data,
                         offsets.address + 4 * values.offset, text.address if text else None,
                         len(values))
