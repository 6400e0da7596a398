"""RankBoards: a board's summary becomes the record that is published."""
import dataclasses
from collections.abc import Iterator

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from leaderboard.transforms import certify, wire
from leaderboard.transforms.boards import BoardRecord, Row, WindowSize
from leaderboard.transforms.countevents import BoardCell
from leaderboard.transforms.countmin import estimates
from leaderboard.transforms.hashing import columns_of_bytes
from leaderboard.transforms.heavyhitters import check_columns
from leaderboard.transforms.merging import cut

_BY_RANK = pc.SortOptions([('lower', 'descending'), ('item', 'ascending')])


def rank_board(board: BoardCell, size: WindowSize, encoded: bytes, keep: int,
               generation: int, summaries: bool = True) -> BoardRecord | None:
  """The record of one board; None for a board without events (runners send empty panes).

  Args:
    summaries: whether the record brings its summary, or an empty one.

  Raises:
    wire.CorruptSummary: no summary has such content.
  """
  found = wire.decode(encoded)
  if not found.events:
    return None
  parameters = check_columns(found)
  if pc.count_distinct(found.texts()).as_py() != len(found.lengths):
    raise wire.CorruptSummary('an item stands twice')
  exact = found.kind == wire.EXACT
  # The order of the rows that are not kept shows in the summary alone.
  found = ranked(found if exact else cut(found), None if summaries else keep)
  uppers = _upper_bounds(found)
  tenant_id, event_type, start = board
  return BoardRecord(
      tenant_id=tenant_id, event_type=event_type, window_size=size.label, window_start=start,
      window_end=size.end(start), generation=generation, events=found.events, total=found.total,
      tau=found.tau, rest_upper=max(found.tau, int(np.max(uppers[keep:], initial=0))),
      epsilon=0.0 if exact else parameters.epsilon, delta=0.0 if exact else parameters.delta,
      resolution=certify.resolution(found.lowers, uppers, found.tau, found.tau, exact, keep),
      rows=tuple(map(Row, found.items(keep), found.lowers[:keep].tolist(),
                     uppers[:keep].tolist())),
      summary=wire.encode(found, compress=True) if summaries else b'')


def ranked(found: wire.Columns, first: int | None = None) -> wire.Columns:
  """The same summary with its items by (lower descending, item ascending).

  Args:
    first: how many items must be in order; those behind them stand in any. None for all.
  """
  lowers, places = found.lowers, np.arange(len(found.lowers))
  if first is not None and first < len(lowers):
    ahead = lowers >= np.partition(lowers, -first)[-first]
    places, behind = np.flatnonzero(ahead), np.flatnonzero(~ahead)
  else:
    behind = places[:0]
  rows = pa.RecordBatch.from_arrays(
      [pa.array(lowers[places]), found.texts().take(pa.array(places))], ['lower', 'item'])
  order = places[pc.sort_indices(rows, options=_BY_RANK).to_numpy()]
  return found.take(np.concatenate((order, behind)))


def _upper_bounds(found: wire.Columns) -> np.ndarray:
  """The upper bound of every item, tightened by the table."""
  uppers = found.lowers + found.spans
  loose = np.flatnonzero(found.spans)
  if found.depth and len(loose):
    uppers[loose] = np.minimum(uppers[loose], estimates(
        found.table.reshape(found.depth, found.width),
        columns_of_bytes(found.texts().take(loose).to_pylist(), found.depth, found.width,
                         found.seed)))
  return uppers


@dataclasses.dataclass
class RankBoards(beam.PTransform):
  """Ranks the boards of one window size.

  Args:
    size: the window size.
    keep: rows that a record keeps.
    generation: first part of the revision.
    summaries: whether records bring their summaries, which only some stores keep.
  Input: (BoardCell, encoded summary).  Output: BoardRecord.
  """
  size: WindowSize
  keep: int = 1000
  generation: int = 0
  summaries: bool = True

  def expand(self, boards: beam.PCollection) -> beam.PCollection:
    return boards | 'Rank' >> beam.ParDo(_RankFn(
        self.size, self.keep, self.generation, self.summaries))


class _RankFn(beam.DoFn):

  def __init__(self, size: WindowSize, keep: int, generation: int, summaries: bool) -> None:
    self._size = size
    self._keep = keep
    self._generation = generation
    self._summaries = summaries

  def process(self, board: tuple[BoardCell, bytes]) -> Iterator[BoardRecord]:
    record = rank_board(board[0], self._size, board[1], self._keep, self._generation,
                        self._summaries)
    if record:
      yield record
