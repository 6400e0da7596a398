"""Hot boards: what many workers count for one board is summed in shards before it meets."""
import collections
import dataclasses
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam.transforms import trigger, window
from apache_beam.utils.timestamp import Duration

from leaderboard.transforms.boards import WindowSize
from leaderboard.transforms.combine import SummaryFn
from leaderboard.transforms.countevents import BoardCell
from leaderboard.transforms.parameters import Parameters
from leaderboard.transforms.windows import LATENESS_MARGIN_SECS, board_trigger

SHARDS = 16
# Below this one worker merges as fast as the detour would take.
HOT_DELTAS = 8
_REMEMBERED_BOARDS = 100_000

_ShardCell = tuple[int, str, str, int]   # shard, then a BoardCell


@dataclasses.dataclass
class SpreadHotKeys(beam.PTransform):
  """Sums the deltas of hot boards in shards; those of other boards pass untouched.

  The answers are those without it, on late data too: sums are merged again by the level
  that follows, and the detour has that level's own windows and lateness. (Beam's
  `with_hot_key_fanout` loses the lateness, and with it every late event of a hot key.)

  Args:
    size: the base window.
    parameters: of the summaries.
    allowed_lateness_secs, early_secs: of the level that follows: see CascadeWindows.
    shards: workers that share a hot board.
    hot_deltas: a board is hot once a worker has passed on so many deltas of it in one bundle; 0
      takes every board for hot.
  Input: (BoardCell, encoded summary), the timestamp lying in the base window.
  Output: the same, in the global window, with fewer elements for hot boards.
  """
  size: WindowSize
  parameters: Parameters
  allowed_lateness_secs: int = 0
  early_secs: int | None = None
  shards: int = SHARDS
  hot_deltas: int = HOT_DELTAS

  def __post_init__(self) -> None:
    if self.shards < 1:
      raise ValueError(f'shards must be at least 1, got {self.shards}')

  def expand(self, deltas: beam.PCollection) -> beam.PCollection:
    routed = deltas | 'Route' >> beam.ParDo(
        _RouteFn(self.shards, self.hot_deltas)).with_outputs('hot', main='cold')
    routed.cold.element_type = tuple[BoardCell, bytes]
    routed.hot.element_type = tuple[_ShardCell, bytes]
    summed = (routed.hot
              | 'Window' >> beam.WindowInto(
                  window.FixedWindows(self.size.secs), trigger=board_trigger(self.early_secs),
                  accumulation_mode=trigger.AccumulationMode.DISCARDING,
                  allowed_lateness=Duration(
                      self.allowed_lateness_secs + LATENESS_MARGIN_SECS))
              | 'Merge' >> beam.CombinePerKey(SummaryFn(self.parameters))
              | 'Unshard' >> beam.Map(_unshard).with_output_types(tuple[BoardCell, bytes])
              # As the cold ones are; the next level windows both, with its own lateness.
              | 'Global' >> beam.WindowInto(window.GlobalWindows()))
    return (routed.cold, summed) | 'Together' >> beam.Flatten()


class _RouteFn(beam.DoFn):
  """Tells hot boards by what passed through this worker: a guess that only speed depends on."""

  def __init__(self, shards: int, hot_deltas: int) -> None:
    self._shards = shards
    self._hot_deltas = hot_deltas
    self._seen: collections.Counter[BoardCell] = collections.Counter()

  def start_bundle(self) -> None:
    # In the long run every live board has many deltas, one or two a second: the detour would only
    # take their time.
    self._seen.clear()

  def process(self, delta: tuple[BoardCell, bytes]) -> Iterator[Any]:
    board, summary = delta
    seen = self._seen[board]
    if seen < self._hot_deltas:
      yield delta
    else:
      yield beam.pvalue.TaggedOutput('hot', ((seen % self._shards, *board), summary))
    if len(self._seen) > _REMEMBERED_BOARDS:
      self._seen.clear()
    self._seen[board] = seen + 1


def _unshard(delta: tuple[_ShardCell, bytes]) -> tuple[BoardCell, bytes]:
  (_, *board), summary = delta
  return tuple(board), summary   # type: ignore[return-value]   # what is left is a BoardCell
