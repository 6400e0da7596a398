"""Gathering what is written inside a bundle, for every store alike."""
from collections.abc import Callable, Iterable
from typing import Any

import apache_beam as beam
from apache_beam.transforms import window
from apache_beam.utils.windowed_value import WindowedValue

from leaderboard.transforms.boards import BoardRecord


class BoardBatchFn(beam.DoFn):
  """Hands boards to `write` in batches: at a limit, and what is left when the bundle ends.

  Yields the window ends (int, epoch seconds) of the records of a batch, each once, when it is
  written: what follows them is behind the write. Input must be in the global window.

  Args:
    max_boards, max_rows: a batch is written as soon as it has so many.
  """

  def __init__(self, max_boards: int, max_rows: int) -> None:
    self._max_boards = max_boards
    self._max_rows = max_rows

  def write(self, records: list[BoardRecord]) -> None:
    """Writes a batch, of at least one record."""
    raise NotImplementedError

  def start_bundle(self) -> None:
    # What a failed bundle left behind will come again.
    self._records: list[BoardRecord] = []
    self._rows = 0
    self._ends: dict[int, Any] = {}

  def process(self, record: BoardRecord,
              timestamp: Any = beam.DoFn.TimestampParam) -> Iterable[Any]:
    self._records.append(record)
    self._rows += len(record.rows)
    # The timestamp of an element of this bundle: no runner lets the watermark pass it before
    # the bundle is done.
    self._ends.setdefault(record.window_end, timestamp)
    if len(self._records) >= self._max_boards or self._rows >= self._max_rows:
      return (window.TimestampedValue(end, stamp) for end, stamp in self._flush())
    return ()

  def finish_bundle(self) -> Iterable[WindowedValue]:
    return (WindowedValue(end, stamp, (window.GlobalWindow(),)) for end, stamp in self._flush())

  def _flush(self) -> Iterable[tuple[int, Any]]:
    """Writes what was gathered; returns the window ends with a timestamp each."""
    if self._records:
      self.write(self._records)
    written = self._ends.items()
    self.start_bundle()
    return written


def write_batches(records: beam.PCollection, write_fn: BoardBatchFn) -> beam.PCollection:
  """Writes records with a BoardBatchFn; the answer holds the window ends that were written."""
  return (records
          | 'Unwindow' >> beam.WindowInto(window.GlobalWindows())
          | 'Write' >> beam.ParDo(write_fn).with_output_types(int))


class PublishFn(beam.DoFn):
  """Publishes the latest watermark (int, epoch seconds) of a bundle when it ends.

  Args:
    open_boards: opens the store, which has `publish_watermark` and `close`.
    job, allowed_lateness_secs: what the store keeps with it.
  """

  def __init__(self, open_boards: Callable[[], Any], job: str, allowed_lateness_secs: int) -> None:
    self._open_boards = open_boards
    self._job = job
    self._allowed_lateness_secs = allowed_lateness_secs

  def setup(self) -> None:
    self._boards = self._open_boards()

  def start_bundle(self) -> None:
    self._latest: int | None = None

  def process(self, watermark_secs: int) -> None:
    self._latest = max(watermark_secs, self._latest or watermark_secs)

  def finish_bundle(self) -> None:
    if self._latest is not None:
      self._boards.publish_watermark(self._job, self._latest, self._allowed_lateness_secs)

  def teardown(self) -> None:
    self._boards.close()
