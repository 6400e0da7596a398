"""Merges any number of summaries at once, as columns: no Python object per item and side.

For every item of any side, lower bounds and upper bounds add up; a side that does not track an
item adds 0 to the one and min(its tau, its table's estimate) to the other. Tables add up cell by
cell, and tau is the sum of all. The content does not depend on the order of the sides.
"""
import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from leaderboard.transforms import wire
from leaderboard.transforms.countmin import MAX_TOTAL, estimates
from leaderboard.transforms.hashing import columns_of_bytes
from leaderboard.transforms.heavyhitters import check_columns

# So many items a column leave one cell in seven empty: e^-2. With twice as many brackets are hardly
# narrower (at 0.8 skew 23,742 of 24,000 rows certified in the place of 23,628).
_FULL = 2
# Items whose bounds are tightened, in candidates. Merging 30 summaries of 108,000 different items,
# tau came within 7 % of what tightening all of them gives, in half the time.
_TIGHTENED = 4


def merge_columns(parts: Sequence[wire.Columns]) -> wire.Columns:
  """The merge of summaries, at least one, with the guarantees of HeavyHitters: exact while it has
  no more than 2 * candidates items; otherwise cut to candidates when it would have more than twice
  as many.

  Raises:
    ValueError: the parameters differ.
    OverflowError: the sum of weights or of events exceeds 63 bits.
    wire.CorruptSummary: no summary has such content.
  """
  first = parts[0]
  sizes = {(part.candidates, part.depth, part.width, part.seed, part.batch) for part in parts}
  if len(sizes) > 1:
    raise ValueError(f'only summaries of equal parameters merge: {sizes}')
  total, events = sum(part.total for part in parts), sum(part.events for part in parts)
  if max(total, events) > MAX_TOTAL:
    raise OverflowError(f'the total weight {total} or the events {events} exceed {MAX_TOTAL}')
  if len(parts) == 1:
    check_columns(first)
    return first

  spilled = [part for part in parts if part.kind != wire.EXACT]
  exact = [part for part in parts if part.kind == wire.EXACT]
  ordered = [*spilled, *exact]
  union = dataclasses.replace(
      first, lengths=_joined(part.lengths for part in ordered),
      text=b''.join([part.text for part in ordered])).texts().dictionary_encode()
  items, places = union.dictionary, union.indices.to_numpy()
  tracked = sum(len(part.lengths) for part in spilled)
  lowers = np.zeros(len(items), np.int64)
  if exact:
    # Added up they are one exact summary, of however many items.
    weights = _joined(part.lowers for part in exact)
    check_columns(dataclasses.replace(
        exact[0], total=sum(part.total for part in exact), lowers=weights))
    np.add.at(lowers, places[tracked:], weights)
  lengths = pc.binary_length(items).to_numpy()
  merged = dataclasses.replace(
      first, kind=wire.EXACT, total=total, events=events, tau=0, lowers=lowers,
      spans=np.zeros(len(items), np.int64), table=np.zeros(0, np.int64),
      lengths=lengths, text=wire.joined(items, lengths))
  if spilled:
    sides = np.split(places[:tracked], np.cumsum([len(part.lengths) for part in spilled]))[:-1]
    merged = _with_spilled(merged, items, spilled, sides)
  return spill_if_many(merged)


def _with_spilled(exact: wire.Columns, items: pa.Array, spilled: list[wire.Columns],
                  sides: list[np.ndarray]) -> wire.Columns:
  """Adds spilled summaries to the columns of an exact one.

  Args:
    exact: its totals are those of all; items that it does not hold weigh 0.
    items: of all of them.
    sides: places of each spilled summary's items among them.
  """
  last = np.zeros(len(items), np.int64)
  for part, side in zip(spilled, sides, strict=True):
    check_columns(part)
    turns = np.arange(len(side))
    last[side] = turns
    if (last[side] != turns).any():
      raise wire.CorruptSummary('an item stands twice')
  places = np.concatenate(sides)
  tau = sum(part.tau for part in spilled)
  lowers = exact.lowers.copy()
  np.add.at(lowers, places, _joined(part.lowers for part in spilled))
  # What a side does not track weighs at most its tau there.
  uppers = exact.lowers + tau
  np.add.at(uppers, places, _joined(part.lowers + part.spans - part.tau for part in spilled))
  _tighten(lowers, uppers, items, spilled, sides)
  return dataclasses.replace(
      exact, kind=wire.SPILLED, tau=tau, lowers=lowers, spans=uppers - lowers,
      table=_entered(exact, np.sum([part.table for part in spilled], axis=0), items))


def spill_if_many(found: wire.Columns) -> wire.Columns:
  """Cuts a summary of more than 2 * candidates items.

  The brackets of an exact one that spills are those of one batch into an empty summary. Of the
  table, cells are as large or larger: see _entered.
  """
  if len(found.lengths) <= 2 * found.candidates:
    return found
  if found.kind == wire.EXACT:
    empty = np.zeros(found.depth * found.width, np.int64)
    found = dataclasses.replace(found, kind=wire.SPILLED,
                                table=_entered(found, empty, found.texts()))
  return cut(found)


def cut(found: wire.Columns) -> wire.Columns:
  """Keeps the candidates with the largest upper bounds; tau covers the others from now on."""
  most = found.candidates
  uppers = found.lowers + found.spans
  if len(uppers) <= most:
    return found
  edge = _largest(uppers, most)
  kept, tied = np.flatnonzero(uppers > edge), np.flatnonzero(uppers == edge)
  if len(kept) + len(tied) > most:
    # Ties at the edge go by item, so that the cut does not depend on the order of arrival.
    tied = tied[pc.bottom_k_unstable(
        found.texts().take(tied), most - len(kept)).to_numpy()]
  gone = np.ones(len(uppers), bool)
  gone[kept] = gone[tied] = False
  return dataclasses.replace(found.take(np.flatnonzero(~gone)),
                             tau=max(found.tau, int(uppers[gone].max())))


def _tighten(lowers: np.ndarray, uppers: np.ndarray, items: pa.Array, spilled: list[wire.Columns],
             sides: list[np.ndarray]) -> None:
  """Replaces the tau of a side that does not track an item by the estimate of its table, where
  that is less; of the items with the largest bounds, which are those that survive a cut.

  Any bound between the tight and the loose one keeps the guarantees: brackets hold for both, and
  `tau <= total / candidates` follows from the sum of the largest upper bounds, which only
  shrinks. So which items are worth it is free to choose; their bounds alone choose them, so that
  the order of arrival does not matter.
  """
  first = spilled[0]
  most = _TIGHTENED * first.candidates
  if not first.depth:
    return
  largest = uppers > (_largest(uppers, most + 1) if len(uppers) > most else 0)
  # A closed bracket says that every side tracks the item.
  chosen = np.flatnonzero(largest & (uppers > lowers))
  columns = columns_of_bytes(items.take(chosen).to_pylist(), first.depth, first.width, first.seed)
  where = np.full(len(uppers), -1)
  where[chosen] = np.arange(len(chosen))
  for part, side in zip(spilled, sides, strict=True):
    less = np.maximum(
        part.tau - estimates(part.table.reshape(first.depth, first.width), columns), 0)
    tracked = where[side]
    less[tracked[tracked >= 0]] = 0
    uppers[chosen] -= less


def _entered(exact: wire.Columns, table: np.ndarray, items: pa.Array) -> np.ndarray:
  """A table after one batch of exact weights.

  Items so light that others of their weight would fill nearly every cell are not hashed one by
  one: all cells grow by their weight instead. A cell then exceeds what it must hold by no more,
  on average, than N / width, as in any Count-Min table: by at most
  floor + (sum of (w - floor) over the _FULL * width heaviest) / width, which is no more than
  N / width - (_FULL - 1) * floor.
  """
  weights, full = exact.lowers, _FULL * exact.width
  floor = _largest(weights, full) if len(weights) > full else 0
  heavy = np.flatnonzero(weights > floor)
  if not exact.depth or not len(heavy):
    return table + floor
  columns = columns_of_bytes(items.take(heavy).to_pylist(), exact.depth, exact.width, exact.seed)
  rows = table.reshape(exact.depth, exact.width)
  raised = estimates(rows, columns) + weights[heavy]
  rows = rows + floor
  for row, column in zip(rows, columns, strict=True):
    np.maximum.at(row, column, raised)
  return rows.ravel()


def _joined(columns: Iterable[np.ndarray]) -> np.ndarray:
  return np.concatenate(list(columns))


def _largest(values: np.ndarray, nth: int) -> int:
  """The n-th largest, from 1."""
  place = len(values) - nth
  return int(np.partition(values, place)[place])
