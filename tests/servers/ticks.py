"""A small pipeline that every streaming runner must get right, to the event.

Ticks are counted a minute and a key. The source ends by itself, and can be held in the middle, so
that a test has all the time it wants to break something.
"""
import collections
import dataclasses
import pathlib
import time
import uuid

import apache_beam as beam
from apache_beam.coders import PickleCoder
from apache_beam.io.unbounded_source import (
  CheckpointMark,
  ReadFromUnboundedSource,
  UnboundedReader,
  UnboundedSource,
)
from apache_beam.transforms.window import FixedWindows, TimestampedValue
from apache_beam.utils.timestamp import MAX_TIMESTAMP, MIN_TIMESTAMP, Timestamp

START = 1_356_998_400   # 2013-01-01
KEYS = 'abc'
_MINUTE = 60


def expected(count: int) -> dict[tuple[int, str], int]:
  """{(start of the minute in epoch seconds, key): ticks} of the first `count` ticks."""
  seconds = range(START, START + count)
  return dict(collections.Counter(
      (second - second % _MINUTE, KEYS[second % len(KEYS)]) for second in seconds))


def found(folder: pathlib.Path) -> dict[tuple[int, str], int]:
  """The same from the files; of several panes of a minute the highest counts.

  Flink sends an empty pane after the real one when the watermark jumps to the end.
  """
  totals: dict[tuple[int, str], int] = {}
  for path in folder.glob('*.count'):
    start, key, total = path.stem.split('-')
    cell = int(start), key
    totals[cell] = max(totals.get(cell, 0), int(total))
  return totals


@dataclasses.dataclass
class Ticks(UnboundedSource):
  """One tick a second of event time.

  Args:
    count: of all ticks.
    held_at: how many come before the gate is opened.
    gate: a file; the source is held until it exists. None: nothing holds it.
  """
  count: int
  held_at: int = 0
  gate: pathlib.Path | None = None

  def split(self, desired_num_splits, options=None):
    return [self]

  def create_reader(self, options, checkpoint_mark):
    return _Reader(self, checkpoint_mark.place if checkpoint_mark else 0)

  def get_checkpoint_mark_coder(self):
    return PickleCoder()


@dataclasses.dataclass
class _Mark(CheckpointMark):
  place: int


class _Reader(UnboundedReader):

  def __init__(self, source: Ticks, place: int) -> None:
    self._source = source
    self._place = place   # ticks read so far
    self._ended = False

  def start(self):
    return self.advance()

  def advance(self):
    if self._place == self._source.count:
      self._ended = True
      return False
    gate = self._source.gate
    if gate is not None and self._place == self._source.held_at and not gate.exists():
      time.sleep(0.05)   # the runner asks again at once
      return False
    self._place += 1
    return True

  def get_current(self):
    return KEYS[(START + self._place - 1) % len(KEYS)]

  def get_current_timestamp(self):
    return Timestamp(START + self._place - 1)

  def get_watermark(self):
    if self._ended:
      return MAX_TIMESTAMP
    return self.get_current_timestamp() if self._place else MIN_TIMESTAMP

  def get_checkpoint_mark(self):
    return _Mark(self._place)


class _WriteCounts(beam.DoFn):
  """Writes a file a pane, named by what it says: a repeated bundle leaves the same files."""

  def __init__(self, folder: pathlib.Path) -> None:
    self._folder = folder

  def process(self, cell: tuple[str, int], window=beam.DoFn.WindowParam):
    key, total = cell
    scratch = self._folder / uuid.uuid4().hex
    scratch.touch()
    scratch.rename(self._folder / f'{int(window.start)}-{key}-{total}.count')


def read(pipeline: beam.Pipeline, source: Ticks) -> beam.PCollection[str]:
  # The watermark and a checkpoint wait for the end of the bundle, so bundles are short.
  return pipeline | 'Tick' >> ReadFromUnboundedSource(
      source, poll_interval=0.1, max_records_per_bundle=50, max_read_time_seconds=0.5)


def create(pipeline: beam.Pipeline, count: int) -> beam.PCollection[str]:
  """The same ticks, as bounded input."""
  return (pipeline
          | 'Seconds' >> beam.Create(range(START, START + count))
          | 'Stamp' >> beam.Map(_stamp))


def _stamp(second: int) -> TimestampedValue:
  return TimestampedValue(KEYS[second % len(KEYS)], second)


def _one(key: str) -> tuple[str, int]:
  return key, 1


def count(ticks: beam.PCollection[str], folder: pathlib.Path) -> None:
  """Counts ticks a minute and a key into files of the folder."""
  _ = (ticks
       | 'One' >> beam.Map(_one)
       | 'Minutes' >> beam.WindowInto(FixedWindows(_MINUTE))
       | 'Count' >> beam.CombinePerKey(sum)
       | 'Write' >> beam.ParDo(_WriteCounts(folder)))
