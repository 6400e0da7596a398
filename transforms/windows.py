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

from leaderboard.transforms.boards import WindowSize
from leaderboard.transforms.combine import SummaryFn
from leaderboard.transforms.countevents import BoardCell
from leaderboard.transforms.parameters import Parameters

# Lateness is judged once, at counting. Beam's own limit is wider, so that it drops nothing.
LATENESS_MARGIN_SECS = 3600


def board_trigger(early_secs: int | None) -> trigger.TriggerFn:
  """When a board is published: early if asked, at the watermark, then once per late bundle.

  Args:
    early_secs: processing time between speculative boards; None for none (bounded input).
  """
  # Only AfterCount(1): a larger count would disable combiner lifting.
  early = None if early_secs is None else trigger.AfterProcessingTime(early_secs)
  return trigger.AfterWatermark(early=early, late=trigger.AfterCount(1))


@dataclasses.dataclass
class CascadeWindows(beam.PTransform):
  """Sums base deltas up through the window sizes, each level fed by the next finer one.

  Args:
    sizes: window sizes, finest first, each nesting in the next.
    parameters: of the summaries.
    bounded: whether the input ends. Then every window is complete when it is seen, and its
      start is simply part of the key: a window of a key costs a local runner 0.3 ms, a key
      a tenth of that.
    allowed_lateness_secs: how late an event may be and still refine its boards.
    early_secs: see `board_trigger`.
  Input: (BoardCell, encoded summary), the timestamp being the base window's start.
  Output: {size label: PCollection of (BoardCell, encoded summary of the whole board)}.
  """
  sizes: list[WindowSize]
  parameters: Parameters
  bounded: bool
  allowed_lateness_secs: int = 0
  early_secs: int | None = None

  def expand(self, deltas: beam.PCollection) -> Any:
    boards = {}
    for size, coarser in zip(self.sizes, [*self.sizes[1:], None], strict=True):
      if self.bounded:
        deltas = deltas | f'Sum{size.label}' >> _SumKeys(size, self.parameters)
        boards[size.label] = deltas
        continue
      boards[size.label] = deltas | f'Publish{size.label}' >> self._sum(
          size, coarser, trigger.AccumulationMode.ACCUMULATING)
      if coarser:
        deltas = deltas | f'Sum{size.label}' >> self._sum(
            size, coarser, trigger.AccumulationMode.DISCARDING)
    return boards

  def _sum(self, size: WindowSize, coarser: WindowSize | None, mode: Any) -> '_SumWindows':
    return _SumWindows(size, coarser or size, mode, self.parameters,
                       self.allowed_lateness_secs + LATENESS_MARGIN_SECS, self.early_secs)


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

  The key carries the start of the coarser window: local runners take time quadratic in the
  windows of one key, and so no key ever has more windows than nest in one coarser window.
  """
  size: WindowSize
  coarser: WindowSize
  mode: Any
  parameters: Parameters
  lateness_secs: int
  early_secs: int | None

  def expand(self, deltas: beam.PCollection) -> beam.PCollection:
    return (deltas
            | 'Key' >> beam.Map(_at_start, self.coarser).with_output_types(tuple[BoardCell, bytes])
            | 'Window' >> beam.WindowInto(
                window.FixedWindows(self.size.secs),
                trigger=board_trigger(self.early_secs),
                accumulation_mode=self.mode,
                allowed_lateness=Duration(self.lateness_secs))
            | 'Merge' >> beam.CombinePerKey(SummaryFn(self.parameters))
            | 'Name' >> beam.ParDo(_NameFn()).with_output_types(tuple[BoardCell, bytes]))


def _at_start(delta: tuple[BoardCell, bytes], size: WindowSize) -> tuple[BoardCell, bytes]:
  (tenant_id, event_type, start), summary = delta
  return (tenant_id, event_type, size.start(start)), summary


class _NameFn(beam.DoFn):
  """Names the board of a pane: its key and the start of its window."""

  def process(self, pane: tuple[BoardCell, bytes],
              pane_window: Any = beam.DoFn.WindowParam) -> Iterator[tuple[BoardCell, bytes]]:
    (tenant_id, event_type, _), summary = pane
    yield (tenant_id, event_type, int(pane_window.start)), summary
