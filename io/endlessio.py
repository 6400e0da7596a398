"""Endless sources, read by workers that keep their readers.

Beam's own `ReadFromUnboundedSource` asks the runner to finalize the checkpoint of every bundle. A
worker then sets the whole bundle processor aside until the runner has done so, seconds later, and
makes everything anew for the next bundle: the reader with its connection and what it has fetched,
and the engine that counts behind it. On Flink that took a quarter of the workers' CPU.
"""
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import apache_beam as beam
from apache_beam.io import unbounded_source
from apache_beam.io.unbounded_source import UnboundedSource
from apache_beam.io.watermark_estimators import ManualWatermarkEstimator

from leaderboard.io import flinkslots

# A finalization that has not come by then never will.
_LOST_SECS = 60.0
# Per source of this process: until when nothing more is asked for.
_asked: dict[bytes, float] = {}
_TRACKER = beam.DoFn.RestrictionParam()
_WATERMARK = beam.DoFn.WatermarkEstimatorParam(ManualWatermarkEstimator.default_provider())


@dataclasses.dataclass
class ReadEndless(beam.PTransform):
  """Reads an UnboundedSource.

  Args:
    source: what is read, by as many readers as it splits into.
    finalized: whether its marks want to be told that they are durable. Then one mark at a time
      is, and those in between are not: each tells all that came before it.
    poll_secs: the pause before an empty source is asked again, where the runner heeds it.
    bundle_blocks, bundle_secs: what is read at a stretch, at most.
  Input: the pipeline.  Output: what the source holds.
  """
  source: UnboundedSource
  finalized: bool
  poll_secs: float
  bundle_blocks: int
  bundle_secs: float

  def expand(self, pipeline: Any) -> beam.PCollection:
    sources = list(self.source.split(0))   # none of ours heeds the number
    numbers = flinkslots.spread(len(sources))
    return (pipeline
            | 'Create' >> beam.Create(numbers).with_output_types(int)
            | 'ReadUnbounded' >> beam.ParDo(_ReadFn(
                dict(zip(numbers, sources, strict=True)), self.finalized, self.poll_secs,
                self.bundle_blocks, self.bundle_secs)))


class _ReadFn(unbounded_source._ReadFromUnboundedSourceDoFn,
              unbounded_source._UnboundedSourceRestrictionProvider):
  """Takes numbers of sources. Were the one element the whole source, Flink would read all of its
  parts in one slot, in turn."""

  def __init__(self, sources: Mapping[int, UnboundedSource], finalized: bool, poll_secs: float,
               bundle_blocks: int, bundle_secs: float) -> None:
    super().__init__(poll_secs, bundle_blocks, bundle_secs)
    unbounded_source._UnboundedSourceRestrictionProvider.__init__(self)
    self._sources = sources
    self._finalized = finalized

  def initial_restriction(self, element: int) -> Any:
    return super().initial_restriction(self._sources[element])

  @beam.DoFn.unbounded_per_element()
  def process(self, element: int,
              bundle_finalizer: Any = beam.DoFn.BundleFinalizerParam,
              tracker: Any = _TRACKER,
              watermark_estimator: Any = _WATERMARK) -> Iterator[Any]:
    asker = _Asker(bundle_finalizer, self._key(tracker) if self._finalized else None)
    yield from super().process(element, asker, tracker, watermark_estimator)

  @staticmethod
  def _key(tracker: Any) -> bytes:
    return unbounded_source._SOURCE_KEY_CODER.encode(tracker.current_restriction().source)


class _Asker:
  """A bundle finalizer that passes a callback on while no other is under way."""

  def __init__(self, finalizer: Any, key: bytes | None) -> None:
    self._finalizer = finalizer
    self._key = key

  def register(self, callback: Callable[[], None]) -> None:
    key = self._key
    if key is None or time.monotonic() < _asked.get(key, 0.0):
      return

    def told() -> None:
      _asked.pop(key, None)
      callback()

    _asked[key] = time.monotonic() + _LOST_SECS
    self._finalizer.register(told)
