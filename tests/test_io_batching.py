"""Batches: what was written tells its window ends, each behind its write."""
import apache_beam as beam
import pytest
from apache_beam.testing import test_pipeline
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms import window
from apache_beam.utils.timestamp import Timestamp
from apache_beam.utils.windowed_value import WindowedValue

from leaderboard.io import batching
from leaderboard.pipelines.checks import FN_API_RUNNER

START = 1_356_998_400


class KeepFn(batching.BoardBatchFn):
  """Keeps the batches that it writes, or fails."""

  def __init__(self, max_boards, max_rows=1000):
    super().__init__(max_boards, max_rows)
    self.batches = []
    self.fails = False

  def write(self, records):
    if self.fails:
      raise OSError('no store')
    self.batches.append([record.window_start - START for record in records])


@pytest.fixture
def board(make_record):
  return lambda second, **counts: make_record(
      counts or {'a': 1}, window_start=START + second, window_end=START + second + 60)


def play(fn, records):
  """What one bundle yields, as (window end, timestamp) after START."""
  fn.start_bundle()
  yielded = [value for record in records
             for value in fn.process(record, Timestamp(record.window_end - 1))]
  yielded += fn.finish_bundle()
  return [(value.value - START, value.timestamp.seconds() - START) for value in yielded]


def test_each_batch_tells_each_of_its_window_ends_once_with_its_own_time(board):
  fn = KeepFn(3)
  assert play(fn, map(board, (0, 60, 0, 60, 120))) == [(60, 59), (120, 119), (120, 119), (180, 179)]
  assert fn.batches == [[0, 60, 0], [60, 120]]
  assert play(fn, []) == [] and len(fn.batches) == 2


def test_many_rows_fill_a_batch_as_many_boards_do(board):
  fn = KeepFn(100, 4)
  play(fn, [board(0, a=1, b=1), board(60, a=1), board(120, a=1, b=2), board(180)])
  assert fn.batches == [[0, 60, 120], [180]]


def test_failed_write_tells_nothing_and_the_next_bundle_begins_anew(board):
  fn = KeepFn(2)
  fn.fails = True
  fn.start_bundle()
  assert list(fn.process(board(0), Timestamp(START))) == []
  with pytest.raises(OSError, match='no store'):
    fn.process(board(60), Timestamp(START))
  with pytest.raises(OSError, match='no store'):
    fn.finish_bundle()
  fn.fails = False
  assert play(fn, [board(60)]) == [(120, 119)] and fn.batches == [[60]]


@pytest.mark.parametrize('max_boards', [1, 100])
def test_ends_leave_in_the_global_window_with_the_time_of_their_board(board, max_boards):
  class TellFn(beam.DoFn):

    def process(self, end, timestamp=beam.DoFn.TimestampParam, pane_window=beam.DoFn.WindowParam):
      yield end - START, timestamp.seconds() - START, pane_window == window.GlobalWindow()

  with test_pipeline.TestPipeline(runner=FN_API_RUNNER) as pipeline:
    ends = (pipeline | beam.Create([board(0), board(60)])
            | beam.Map(lambda record: window.TimestampedValue(record, record.window_start + 7))
            | beam.WindowInto(window.FixedWindows(60))
            | beam.WithKeys(0) | beam.GroupByKey() | beam.FlatMap(lambda group: group[1])
            | 'Boards' >> _Written(max_boards))
    assert ends.element_type is int
    assert_that(ends | beam.ParDo(TellFn()), equal_to([(60, 59, True), (120, 119, True)]))


class _Written(beam.PTransform):

  def __init__(self, max_boards):
    super().__init__()
    self._max_boards = max_boards

  def expand(self, records):
    return batching.write_batches(records, KeepFn(self._max_boards))


def test_latest_watermark_of_a_bundle_is_published_once_when_it_ends():
  told = []

  class Store:

    def publish_watermark(self, job, watermark_secs, allowed_lateness_secs):
      told.append((job, watermark_secs, allowed_lateness_secs))

  fn = batching.PublishFn(Store, 'job', 60)
  fn.setup()
  for bundle in ([], [-5, -7], [3, 9, 0, 9]):
    fn.start_bundle()
    for watermark in bundle:
      fn.process(watermark)
    fn.finish_bundle()
  assert told == [('job', -5, 60), ('job', 9, 60)]


def test_what_is_yielded_at_the_end_of_a_bundle_is_a_windowed_value(board):
  fn = KeepFn(9)
  fn.start_bundle()
  fn.process(board(0), Timestamp(5))
  assert list(fn.finish_bundle()) == [
      WindowedValue(START + 60, Timestamp(5), (window.GlobalWindow(),))]
