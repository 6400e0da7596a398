"""Deltas and sums of encoded summaries, as columns: no Python object per item."""
from collections.abc import Iterable

import numpy as np

from leaderboard.transforms import wire
from leaderboard.transforms.countmin import MAX_TOTAL, sum_of
from leaderboard.transforms.heavyhitters import HeavyHitters, from_columns
from leaderboard.transforms.merging import cut, merge_columns, spill_if_many
from leaderboard.transforms.parameters import Parameters


def merge_encoded(parts: Iterable[bytes]) -> HeavyHitters:
  """The merge of encoded summaries, at least one: the same for any order of them.

  Raises:
    ValueError: the parameters differ.
    OverflowError: the sum of weights or of events exceeds 63 bits.
    wire.CorruptSummary: some bytes are no summary.
  """
  return from_columns(merge_columns([wire.decode(part) for part in parts]))


def sum_encoded(parts: Iterable[bytes]) -> bytes:
  """The same, encoded again."""
  merged = merge_columns([wire.decode(part) for part in parts])
  return wire.encode(merged if merged.kind == wire.EXACT else cut(merged), compress=False)


def delta_bytes(parameters: Parameters, lengths: np.ndarray, weights: np.ndarray,
                text: bytes, events: int) -> bytes:
  """Encodes a block's distinct items straight from columns, without an object per item.

  Args:
    lengths: bytes of every item's UTF-8: int64[n].
    weights: of every item, at least 1: int64[n].
    text: the items' UTF-8, one after the other.
    events: how many events these are.

  Raises:
    OverflowError: the sum of weights exceeds 63 bits.
  """
  total = sum_of(weights)
  if total > MAX_TOTAL:
    raise OverflowError(f'the total weight {total} exceeds {MAX_TOTAL}')
  return wire.encode(spill_if_many(wire.Columns(
      wire.EXACT, parameters.depth, parameters.width, parameters.candidates, parameters.batch,
      parameters.seed, total, events, 0, lengths, weights, np.zeros(len(lengths), np.int64), text,
      np.zeros(0, np.int64))), compress=False)
