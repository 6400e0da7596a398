"""Columns of items in a Count-Min table: one 128-bit murmur3 digest, cut into four lanes.

Lanes of one digest are as good as independent seeded hashes at a quarter of their cost;
deriving all rows from two hashes has worst-case errors five to ten times larger.
"""
from collections.abc import Iterable

import mmh3
import numpy as np

LANES = 4   # 32-bit lanes in a 128-bit digest


def columns(items: Iterable[str], depth: int, width: int, seed: int) -> np.ndarray:
  """The column of every item in every row of a table: int64[depth, items]."""
  # The functions of mmh3 that take text crash the process on a lone surrogate.
  return columns_of_bytes([item.encode('utf-8', 'surrogatepass') for item in items], depth, width,
                          seed)


def columns_of_bytes(keys: list[bytes], depth: int, width: int, seed: int) -> np.ndarray:
  """The same for items as UTF-8."""
  rows = []
  for turn in range(-(-depth // LANES)):
    digests = b''.join([mmh3.mmh3_x64_128_digest(key, seed + turn) for key in keys])
    rows.append(np.frombuffer(digests, '<u4').reshape(-1, LANES).T)
  if not rows:
    return np.zeros((0, len(keys)), np.int64)
  lanes = np.concatenate(rows)[:depth].astype(np.uint64)
  return ((lanes * np.uint64(width)) >> np.uint64(32)).astype(np.int64)
