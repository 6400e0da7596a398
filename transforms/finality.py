"""Finality: when no event can change a board any more, told by the watermark behind its writes."""
import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam.transforms import trigger, window
from apache_beam.utils.timestamp import Duration, Timestamp

# No longer window fits between the last moment of the global window and the end of time.
_MAX_WINDOW_SECS = 86_400
# Local runners take time quadratic in the windows of one key.
_WINDOWS_PER_KEY = 60
_MILLISECOND = Duration(micros=1000)


@dataclasses.dataclass
class Finality(beam.PTransform):
  """Tells how far the watermark has come behind the writes of boards.

  A board whose window ended at E is final when the watermark has passed E + allowed lateness:
  from then on counting sets every event of that window apart as too late. So a marker is put
  at the last millisecond before that moment and waits in a window of event time; when the
  window closes, all boards up to E are written and final. What comes out never exceeds the
  watermark. Of input that ends, everything that was written becomes final at its end.

  A known limit: an event that is late but accepted is, in Beam's model, late data and holds no
  watermark back. Runners that keep the order of each channel (Flink) deliver its board before
  the watermark that makes the board final; one that reorders them could publish a last
  correction shortly after.

  Args:
    base_secs: finest window size, the steps in which the watermark is told.
    allowed_lateness_secs: how late an event may be and still refine its boards.
  Input: int, the window end (epoch seconds) of each record that was written to a store, so that
    the watermark of this collection is behind the writes.
  Output: int, a watermark (epoch seconds): E + allowed lateness of the last board that is final.
  """
  base_secs: int
  allowed_lateness_secs: int = 0

  def __post_init__(self) -> None:
    if self.base_secs < 1:
      raise ValueError(f'base_secs must be at least 1, got {self.base_secs}')
    if self.allowed_lateness_secs < 0:
      raise ValueError(f'allowed_lateness_secs must be at least 0, got '
                       f'{self.allowed_lateness_secs}')

  def expand(self, ends: beam.PCollection) -> beam.PCollection:
    size_secs = min(self.base_secs, _MAX_WINDOW_SECS)
    return (ends
            | 'Mark' >> beam.ParDo(_MarkFn(size_secs, self.allowed_lateness_secs))
            .with_output_types(tuple[int, int])
            # A marker that comes late stands for what was told already.
            | 'Window' >> beam.WindowInto(
                window.FixedWindows(size_secs), trigger=trigger.AfterWatermark(),
                accumulation_mode=trigger.AccumulationMode.DISCARDING,
                allowed_lateness=Duration(0))
            | 'Latest' >> beam.CombinePerKey(_latest).with_output_types(tuple[int, int])
            | 'Watermark' >> beam.Values().with_output_types(int))


class _MarkFn(beam.DoFn):
  """Stamps the moment at which a window end becomes final; the key is a stretch of time."""

  def __init__(self, size_secs: int, allowed_lateness_secs: int) -> None:
    self._key_secs = size_secs * _WINDOWS_PER_KEY
    self._lateness_secs = allowed_lateness_secs

  def process(self, end: int, timestamp: Any = beam.DoFn.TimestampParam) -> Iterator[Any]:
    final_secs = end + self._lateness_secs
    # Never backwards: boards of bounded input leave their grouping at the end of time.
    stamp = max(timestamp, Timestamp(final_secs) - _MILLISECOND)
    yield window.TimestampedValue((stamp.seconds() // self._key_secs, final_secs), stamp)


def _latest(watermarks: Iterable[int]) -> int:
  # Runners may send empty panes; a watermark of 0 changes nothing.
  return max(watermarks, default=0)
