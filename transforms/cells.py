"""Cuts the answer of the counting statement into cells: one delta per board and base window.

The statement groups events by the texts of their fields as they stand. Which texts an event may
have is judged here, of items all at once and as bytes.
"""
import dataclasses
import json
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from leaderboard.transforms import events
from leaderboard.transforms.columnar import delta_bytes
from leaderboard.transforms.parameters import Parameters

_SPACE, _QUOTE, _ZERO, _NINE, _BACKSLASH, _DELETE = b' "09\\\x7f'


class Cell(NamedTuple):
  """What a block adds to one board of the base window size."""
  tenant_id: str
  event_type: str
  start: int     # epoch seconds
  events: int
  delta: bytes   # an encoded summary


@dataclasses.dataclass
class Cut:
  """What the statement's answer comes to.

  Attributes:
    unfit: field -> its texts that no event may have.
    refused: how many events that makes, with those that the statement set apart.
  """
  cells: list[Cell]
  unfit: dict[str, list[str]]
  refused: int


def cut_cells(counts: pa.Table, parameters: Parameters, in_json: frozenset[str]) -> Cut:
  """Cuts the answer of the counting statement.

  Args:
    counts: see `BlockQuery.counts`.
    in_json: which of `tenant_id`, `event_type` and `item_id` stand there as JSON, not as text.
  """
  counts = counts.combine_chunks()
  lists = counts['items'].combine_chunks()
  offsets = lists.offsets.to_numpy()
  weights, numbers = (counts[name].combine_chunks().values.to_numpy()
                      for name in ('weights', 'events'))
  items = _Items(lists.values, 'item_id' in in_json)
  tenants, kinds = (_Texts(field, field in in_json) for field in ('tenant_id', 'event_type'))
  cells, refused = [], 0
  for i, (tenant, kind, start, total) in enumerate(zip(*(
      counts[name].to_pylist() for name in ('tenant_id', 'event_type', 'start', 'total')),
      strict=True)):
    if start is None:
      refused += total
      continue
    tenant_id, event_type = tenants.meaning(tenant), kinds.meaning(kind)
    if tenant_id is None or event_type is None:
      refused += total
      continue
    first, end = int(offsets[i]), int(offsets[i + 1])
    unfit = items.unfit_between(first, end)
    lost = int(numbers[unfit].sum())
    refused += lost
    if total > lost:
      cells.append(Cell(tenant_id, event_type, start, total - lost, delta_bytes(
          parameters, *items.between(first, end, weights), total - lost)))
  return Cut(cells, {'tenant_id': tenants.unfit(), 'event_type': kinds.unfit(),
                           'item_id': items.unfit()}, refused)


class _Texts:
  """The few texts of a field that a block has."""

  def __init__(self, field: str, in_json: bool) -> None:
    self._field = field
    self._in_json = in_json
    self._meanings: dict[str, str | None] = {}

  def meaning(self, found: str) -> str | None:
    """The text that is meant; None when no event may have it."""
    if found not in self._meanings:
      raw = found if self._in_json else json.dumps(found, ensure_ascii=False)
      self._meanings[found] = events.meaning(self._field, raw)
    return self._meanings[found]

  def unfit(self) -> list[str]:
    return [text for text, meaning in self._meanings.items() if meaning is None]


class _Items:
  """The items of a block, for each board one after the other."""

  def __init__(self, texts: pa.Array, in_json: bool) -> None:
    # Binary with 64-bit offsets, whatever string layout DuckDB answers with.
    self._texts = texts.cast(pa.large_binary())
    starts = np.frombuffer(self._texts.buffers()[1], np.int64)[
        texts.offset:texts.offset + len(texts) + 1]
    data = np.frombuffer(self._texts.buffers()[2] or b'', np.uint8)[starts[0]:starts[-1]]
    begins, ends = starts[:-1] - starts[0], starts[1:] - starts[0]
    # JSON text is never empty.
    self._quoted = data[begins] == _QUOTE if in_json else np.zeros(len(texts), bool)
    self._lengths = ends - begins - 2 * self._quoted
    self._meanings = {
        int(place): self._meaning(int(place), in_json)
        for place in self._suspects(data, begins, in_json)}
    self._odd = np.array(sorted(self._meanings), np.int64)
    if self._quoted.any():
      kept = np.ones(len(data), bool)
      kept[begins[self._quoted]] = kept[ends[self._quoted] - 1] = False
      data = data[kept]
    self._data = data.data
    self._starts = np.concatenate(([0], np.cumsum(self._lengths)))

  def _suspects(self, data: np.ndarray, begins: np.ndarray, in_json: bool) -> np.ndarray:
    """The places of the items that must be looked at one by one."""
    strange = (data < _SPACE) | (data == _DELETE)
    if in_json:
      strange |= data == _BACKSLASH
      if not self._quoted.all():
        # What stands without quotes is a whole number if it has nothing but digits.
        strange |= ((data < _ZERO) | (data > _NINE)) & ~np.repeat(
            self._quoted, self._lengths + 2 * self._quoted)
    odd = (self._lengths < 1) | (self._lengths > events.MAX_ITEM_BYTES)
    odd[np.searchsorted(begins, np.flatnonzero(strange), 'right') - 1] = True
    return np.flatnonzero(odd)

  def _text(self, place: int) -> str:
    return self._texts[place].as_py().decode('utf-8', 'surrogatepass')

  def _meaning(self, place: int, in_json: bool) -> bytes | None:
    text = self._text(place)
    meaning = events.meaning('item_id', text if in_json else json.dumps(text, ensure_ascii=False))
    return None if meaning is None else meaning.encode()

  def unfit(self) -> list[str]:
    """The texts that no event may have."""
    return sorted({self._text(place) for place, meaning in self._meanings.items()
                   if meaning is None})

  def unfit_between(self, first: int, end: int) -> list[int]:
    return [place for place in self._odd_between(first, end) if self._meanings[place] is None]

  def _odd_between(self, first: int, end: int) -> list[int]:
    if not len(self._odd):
      return []
    return self._odd[slice(*np.searchsorted(self._odd, (first, end)))].tolist()

  def between(self, first: int, end: int,
              weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, bytes]:
    """The distinct items of one board: bytes of each, weight of each, and their UTF-8.

    Args:
      weights: of all items of the block.
    """
    quoted = self._quoted[first:end]
    odd = self._odd_between(first, end)
    if not odd and (quoted.all() or not quoted.any()):
      return (self._lengths[first:end], weights[first:end],
              bytes(self._data[self._starts[first]:self._starts[end]]))
    # The number 5 and the text "5" are one item, but two in JSON.
    totals: dict[bytes, int] = {}
    bounds = self._starts[first:end + 1].tolist()
    for place, weight, start, stop in zip(
        range(first, end), weights[first:end].tolist(), bounds, bounds[1:], strict=False):
      text = self._meanings[place] if place in self._meanings else bytes(self._data[start:stop])
      if text is not None:
        totals[text] = totals.get(text, 0) + weight
    return (np.array([len(text) for text in totals], np.int64),
            np.array(list(totals.values()), np.int64), b''.join(totals))
