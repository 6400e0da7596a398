"""Deltas and sums of encoded summaries, as columns: no Python object per item."""
import dataclasses
import functools
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from leaderboard.transforms import wire
from leaderboard.transforms.countmin import MAX_TOTAL, CountMinSketch, sum_of
from leaderboard.transforms.hashing import columns_of_bytes
from leaderboard.transforms.heavyhitters import HeavyHitters, from_columns
from leaderboard.transforms.parameters import Parameters

# So many items a column leave less than two cells in a hundred empty: e^-4.
_FULL = 4


def merge_encoded(parts: Iterable[bytes]) -> HeavyHitters:
  """The merge of encoded summaries, at least one; what is exact is added up as columns."""
  return functools.reduce(HeavyHitters.merge, map(from_columns, _gather(parts)))


def sum_encoded(parts: Iterable[bytes]) -> bytes:
  """The merge of encoded summaries, at least one, encoded again: without an object per item
  as long as all are exact."""
  gathered = _gather(parts)
  if len(gathered) == 1:
    return wire.encode(gathered[0], compress=False)
  return functools.reduce(HeavyHitters.merge, map(from_columns, gathered)).to_bytes(False)


def _gather(parts: Iterable[bytes]) -> list[wire.Columns]:
  """Decodes summaries and adds the exact ones up to one."""
  found = [wire.decode(part) for part in parts]
  exact = [columns for columns in found if columns.kind == wire.EXACT]
  if len(exact) < 2:
    return found
  return [*(columns for columns in found if columns.kind != wire.EXACT), _sum_exact(exact)]


def _sum_exact(parts: list[wire.Columns]) -> wire.Columns:
  first = parts[0]
  sizes = {(part.candidates, part.depth, part.width, part.seed, part.batch) for part in parts}
  if len(sizes) > 1:
    raise ValueError(f'only summaries of equal parameters merge: {sizes}')
  try:
    Parameters(*sizes.pop())
  except ValueError as error:
    raise wire.CorruptSummary(f'the content is that of no summary: {error}') from None
  total, events = sum(part.total for part in parts), sum(part.events for part in parts)
  if max(total, events) > MAX_TOTAL:
    raise OverflowError(f'the total weight {total} or the events {events} exceed {MAX_TOTAL}')
  weights = np.concatenate([part.lowers for part in parts])
  if sum_of(weights) != total:
    raise wire.CorruptSummary('the weights do not add up to the total')
  items = _array(np.concatenate([part.lengths for part in parts]),
                 b''.join([part.text for part in parts])).dictionary_encode()
  sums = np.zeros(len(items.dictionary), np.int64)
  np.add.at(sums, items.indices.to_numpy(), weights)
  lengths = pc.binary_length(items.dictionary).to_numpy()
  text = items.dictionary.buffers()[2]   # None where all are empty
  return _spill_if_many(dataclasses.replace(
      first, total=total, events=events, lengths=lengths, lowers=sums,
      spans=np.zeros(len(sums), np.int64),
      text=text.to_pybytes()[:int(lengths.sum())] if text else b''))


def _array(lengths: np.ndarray, text: bytes) -> pa.Array:
  ends = np.concatenate(([0], np.cumsum(lengths)))
  return pa.Array.from_buffers(pa.large_binary(), len(lengths),
                               [None, pa.py_buffer(ends), pa.py_buffer(text)])


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
  return wire.encode(_spill_if_many(wire.Columns(
      wire.EXACT, parameters.depth, parameters.width, parameters.candidates, parameters.batch,
      parameters.seed, total, events, 0, lengths, weights, np.zeros(len(lengths), np.int64), text,
      np.zeros(0, np.int64))), compress=False)


def _spill_if_many(found: wire.Columns) -> wire.Columns:
  return _spill_at_once(found) if len(found.lengths) > 2 * found.candidates else found


def _spill_at_once(found: wire.Columns) -> wire.Columns:
  """The spilled summary of many distinct items, of which only the heaviest become text.

  The brackets are those of one batch into an empty summary. Of the table, cells are as large
  or larger: items so light that others of their weight would fill nearly every cell are not
  hashed one by one; the cells start from their weight instead. A cell then exceeds an item's
  weight by no more, on average, than N / width, as in any Count-Min table: by at most
  floor + (sum of (w - floor) over the _FULL * width heaviest) / width, which is no more than
  N / width - (_FULL - 1) * floor.
  """
  ends = np.cumsum(found.lengths)
  starts = ends - found.lengths
  weights = found.lowers

  def texts(places: np.ndarray) -> list[bytes]:
    return [found.text[start:end] for start, end in zip(
        starts[places].tolist(), ends[places].tolist(), strict=True)]

  most = found.candidates
  edge = int(np.partition(weights, len(weights) - most)[len(weights) - most])
  kept, tied = np.flatnonzero(weights > edge), np.flatnonzero(weights == edge)
  if len(kept) + len(tied) > most:
    # Ties at the edge go by item, so that the cut does not depend on the order of arrival.
    first = pc.bottom_k_unstable(_array(found.lengths, found.text).take(tied), most - len(kept))
    tied = tied[first.to_numpy()]
  stay = np.concatenate((kept, tied))
  gone = np.ones(len(weights), bool)
  gone[stay] = False

  sketch = CountMinSketch(found.depth, found.width, found.seed)
  if found.depth:
    full = _FULL * found.width
    floor = int(np.partition(weights, len(weights) - full)[len(weights) - full]) \
        if len(weights) > full else 0
    sketch.table += floor
    heavy = np.flatnonzero(weights > floor)
    places = columns_of_bytes(texts(heavy), found.depth, found.width, found.seed)
    for row, place in zip(sketch.table, places, strict=True):
      np.maximum.at(row, place, weights[heavy])
  return dataclasses.replace(
      found, kind=wire.SPILLED, tau=int(weights[gone].max()), lengths=found.lengths[stay],
      lowers=weights[stay], spans=np.zeros(len(stay), np.int64), text=b''.join(texts(stay)),
      table=sketch.table.ravel())
