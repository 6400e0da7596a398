"""RollUp: boards of coarser windows from the stored summaries of a finer size."""
import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam

from leaderboard.transforms.boards import BoardRecord, WindowSize
from leaderboard.transforms.countevents import BoardCell
from leaderboard.transforms.parameters import Parameters
from leaderboard.transforms.ranking import RankBoards
from leaderboard.transforms.windows import CascadeWindows

Stored = tuple[BoardCell, tuple[int, bytes]]   # board, (generation, encoded summary)


@dataclasses.dataclass
class RollUp(beam.PTransform):
  """Merges stored boards of one window size into boards of others.

  A record's revision is the highest generation among what was merged, and the sum of its events:
  the same boards give the same record again, and a board that grew gives a newer one.

  Args:
    size: window size of the stored boards, which nests in each of `sizes`.
    sizes: of the boards to make.
    from_secs, to_secs: only windows that hold some of [from, to) (epoch seconds) are made.
    keep: rows that a record keeps.
    generation: the least of a record.
  Input: (BoardCell, (generation, encoded summary)) of every stored board in those windows.
  Output: {size label: PCollection of BoardRecord}.

  Raises:
    ValueError: nothing nests in a size.
  """
  size: WindowSize
  sizes: list[WindowSize]
  from_secs: int
  to_secs: int
  keep: int = 1000
  generation: int = 0

  def expand(self, stored: beam.PCollection) -> Any:
    summaries = stored | 'Summaries' >> beam.Map(_summary).with_output_types(
        tuple[BoardCell, bytes])
    # The parameters are those of an empty sum, which merged boards never are.
    boards = summaries | 'CascadeWindows' >> CascadeWindows(
        [self.size, *self.sizes], Parameters(), bounded=True)
    records = {}
    for size in self.sizes:
      ranked = (boards[size.label]
                | f'Asked{size.label}' >> beam.Filter(self._asked, size)
                | f'RankBoards{size.label}' >> RankBoards(size, self.keep)
                | f'KeyBoards{size.label}' >> beam.WithKeys(_cell).with_output_types(
                    tuple[BoardCell, BoardRecord]))
      generations = (stored
                     | f'Generations{size.label}' >> beam.FlatMap(_generations, size)
                     .with_output_types(tuple[BoardCell, int])
                     | f'Highest{size.label}' >> beam.CombinePerKey(max))
      records[size.label] = (
          {'ranked': ranked, 'generations': generations}
          | f'Join{size.label}' >> beam.CoGroupByKey()
          | f'Revise{size.label}' >> beam.FlatMap(_revised, self.generation)
          .with_output_types(BoardRecord))
    return records

  def _asked(self, board: tuple[BoardCell, bytes], size: WindowSize) -> bool:
    start = board[0][2]
    return start < self.to_secs and size.end(start) > self.from_secs


def _summary(stored: Stored) -> tuple[BoardCell, bytes]:
  return stored[0], stored[1][1]


def _generations(stored: Stored, size: WindowSize) -> Iterator[tuple[BoardCell, int]]:
  (tenant_id, event_type, start), (generation, _) = stored
  for window_start in size.starts(start):
    yield (tenant_id, event_type, window_start), generation


def _cell(record: BoardRecord) -> BoardCell:
  return record.tenant_id, record.event_type, record.window_start


def _revised(joined: tuple[BoardCell, dict[str, Iterable[Any]]], least: int
             ) -> Iterator[BoardRecord]:
  _, found = joined
  for record in found['ranked']:
    yield dataclasses.replace(record, generation=max([least, *found['generations']]))
