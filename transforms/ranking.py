"""RankBoards: a board's summary becomes the record that is published."""
import dataclasses
from collections.abc import Iterator

import apache_beam as beam

from leaderboard.transforms.boards import BoardRecord, Row, WindowSize
from leaderboard.transforms.countevents import BoardCell
from leaderboard.transforms.heavyhitters import HeavyHitters


def rank_board(board: BoardCell, size: WindowSize, encoded: bytes, keep: int,
               generation: int, summaries: bool = True) -> BoardRecord | None:
  """The record of one board; None for a board without events (runners send empty panes).

  Args:
    summaries: whether the record brings its summary, or an empty one.
  """
  summary = HeavyHitters.from_bytes(encoded)
  if not summary.events:
    return None
  tenant_id, event_type, start = board
  items, lowers, uppers = summary.ranking()
  return BoardRecord(
      tenant_id=tenant_id, event_type=event_type, window_size=size.label, window_start=start,
      window_end=size.end(start), generation=generation, events=summary.events,
      total=summary.total, tau=summary.tau, rest_upper=summary.rest_upper(keep),
      epsilon=summary.epsilon, delta=summary.delta, resolution=summary.resolution(keep),
      rows=tuple(map(Row, items[:keep], lowers[:keep].tolist(), uppers[:keep].tolist())),
      summary=summary.to_bytes() if summaries else b'')


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
