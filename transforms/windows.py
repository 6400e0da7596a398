"""Windows: the chain of levels that turns base deltas into boards of every window size.

Deltas travel from level to level in DISCARDING mode, so each event reaches a level once.
Each level has an ACCUMULATING branch, whose panes hold the whole board and are published.
An ACCUMULATING pane is never aggregated again: it would count its events anew.
"""
import dataclasses
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam.transforms import trigger, window
from apache_beam.utils.timestamp import Duration

from leaderboard.transforms.boards import WindowSize, order_sizes
from leaderboard.transforms.calendars import WEEK
from leaderboard.transforms.combine import SummaryFn
from leaderboard.transforms.countevents import BoardCell
from leaderboard.transforms.parameters import Parameters
from leaderboard.transforms.slide import SlideBlocks, to_windows

# Lateness is judged once, at counting. Beam's own limit is wider, so that it drops nothing.
LATENESS_MARGIN_SECS = 3600
# The fifth of January 1970 was a Monday.
_MONDAY_SECS = 4 * 86_400
# An early pane of a level is one more delta for the next, which an endless level keeps until its
# window is done, and merges again at each firing: a window speaks early so many times at most. The
# finest speaks as often as asked.
_EARLY_PANES = 20


def board_trigger(early_secs: int | None) -> trigger.TriggerFn:
  """When a board is published: early if asked, at the watermark, then once per late bundle.

  Args:
    early_secs: processing time between speculative boards; None for none (bounded input).
  """
  # Only AfterCount(1): a larger count would disable combiner lifting.
  early = None if early_secs is None else trigger.AfterProcessingTime(early_secs)
  return trigger.AfterWatermark(early=early, late=trigger.AfterCount(1))


def check_endless(sizes: list[WindowSize]) -> None:
  """Refuses the sizes that boards of endless input cannot have.

  Raises:
    ValueError: a size follows a calendar that no window function of Beam's own follows.
  """
  for size in sizes:
    if size.unit and (size.unit, size.time_zone) != (WEEK, 'UTC'):
      raise ValueError(f'{size} has no windows of fixed length, which endless input needs; leave '
                       f'it out and roll it up from the store: '
                       f'python -m leaderboard.pipelines.rollup --from_size=1h '
                       f'--windows={size.label} --time_zone={size.time_zone}')


@dataclasses.dataclass
class CascadeWindows(beam.PTransform):
  """Sums base deltas up through the window sizes, each level fed by the coarsest that nests in it.

  Args:
    sizes: window sizes of any kind, finest first; the finest nests in each.
    parameters: of the summaries.
    bounded: whether the input ends. Then every window is complete when it is seen, and its
      start is simply part of the key: a window of a key costs a local runner 0.3 ms, a key
      a tenth of that.
    allowed_lateness_secs: how late an event may be and still refine its boards.
    early_secs: see `board_trigger`; of all sizes but the finest, a twentieth of the length if that
      is longer.
  Input: (BoardCell, encoded summary), the timestamp being the base window's start; of bounded
    input the timestamp does not matter.
  Output: {size label: PCollection of (BoardCell, encoded summary of the whole board)}.

  Raises:
    ValueError: nothing nests in a size, or it has no place in an endless job (`check_endless`).
  """
  sizes: list[WindowSize]
  parameters: Parameters
  bounded: bool
  allowed_lateness_secs: int = 0
  early_secs: int | None = None

  def __post_init__(self) -> None:
    self.sizes = order_sizes(self.sizes)
    if not self.bounded:
      check_endless(self.sizes)

  def expand(self, deltas: beam.PCollection) -> Any:
    boards = {}
    sums: dict[WindowSize | None, beam.PCollection] = {None: deltas}
    for size in self.sizes:
      source = sums[size.feeder(self.sizes)]
      if self.bounded:
        boards[size.label] = source | f'Sum{size.label}' >> (
            SlideBlocks(size) if size.period_secs else _SumKeys(size, self.parameters))
        sums[size] = boards[size.label]
        continue
      boards[size.label] = source | f'Publish{size.label}' >> self._sum(
          size, trigger.AccumulationMode.ACCUMULATING)
      if any(consumer.feeder(self.sizes) == size for consumer in self.sizes):
        sums[size] = source | f'Sum{size.label}' >> self._sum(
            size, trigger.AccumulationMode.DISCARDING)
    return boards

  def _sum(self, size: WindowSize, mode: Any) -> '_SumWindows':
    bucket = next((other for other in self.sizes
                   if other.feeder(self.sizes) == size and not other.period_secs), size)
    early_secs = self.early_secs
    if early_secs and size != self.sizes[0]:
      early_secs = max(early_secs, size.secs // _EARLY_PANES)
    return _SumWindows(size, bucket, mode, self.parameters,
                       self.allowed_lateness_secs + LATENESS_MARGIN_SECS, early_secs)


@dataclasses.dataclass
class _SumKeys(beam.PTransform):
  """One level of bounded input: (BoardCell, delta) of a finer level -> sum of this one."""
  size: WindowSize
  parameters: Parameters

  def expand(self, deltas: beam.PCollection) -> beam.PCollection:
    return (deltas
            | 'Key' >> beam.Map(_at_start, self.size).with_output_types(tuple[BoardCell, bytes])
            | 'Merge' >> beam.CombinePerKey(SummaryFn(self.parameters)))


@dataclasses.dataclass
class _SumWindows(beam.PTransform):
  """One level of endless input: (BoardCell, delta) of a finer level -> panes of this one.

  The key carries the start of the window of a coarser size, `bucket`: local runners take time
  quadratic in the windows of one key, and so no key ever has more windows than nest in one coarser
  window. The key of a sliding window carries its own start.
  """
  size: WindowSize
  bucket: WindowSize
  mode: Any
  parameters: Parameters
  lateness_secs: int
  early_secs: int | None

  def expand(self, deltas: beam.PCollection) -> beam.PCollection:
    if self.size.period_secs:
      key = beam.FlatMap(to_windows, self.size)
    else:
      key = beam.Map(_at_start, self.bucket)
    return (deltas
            | 'Key' >> key.with_output_types(tuple[BoardCell, bytes])
            | 'Window' >> beam.WindowInto(
                window.FixedWindows(self.size.period_secs or self.size.secs,
                                    _MONDAY_SECS if self.size.unit == WEEK else 0),
                trigger=board_trigger(self.early_secs),
                accumulation_mode=self.mode,
                allowed_lateness=Duration(self.lateness_secs))
            | 'Merge' >> beam.CombinePerKey(SummaryFn(self.parameters))
            | 'Name' >> beam.ParDo(_NameFn(self.size.secs)).with_output_types(
                tuple[BoardCell, bytes]))


def _at_start(delta: tuple[BoardCell, bytes], size: WindowSize) -> tuple[BoardCell, bytes]:
  (tenant_id, event_type, start), summary = delta
  return (tenant_id, event_type, size.start(start)), summary


class _NameFn(beam.DoFn):
  """Names the board of a pane: its key and the start of the board, so long before the end of the
  pane's window."""

  def __init__(self, secs: int) -> None:
    self._secs = secs

  def process(self, pane: tuple[BoardCell, bytes],
              pane_window: Any = beam.DoFn.WindowParam) -> Iterator[tuple[BoardCell, bytes]]:
    (tenant_id, event_type, _), summary = pane
    yield (tenant_id, event_type, int(pane_window.end) - self._secs), summary
