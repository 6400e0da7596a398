"""Windows: every event once on every level, late ones too, bounded or endless."""
import random

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing import test_pipeline, test_stream
from apache_beam.testing.util import assert_that
from apache_beam.transforms.window import TimestampedValue

from leaderboard.pipelines.checks import FN_API_RUNNER
from leaderboard.transforms.boards import add_sliding_sizes, parse_window_sizes
from leaderboard.transforms.columnar import delta_bytes
from leaderboard.transforms.heavyhitters import HeavyHitters
from leaderboard.transforms.parameters import Parameters
from leaderboard.transforms.windows import CascadeWindows, check_endless

SIZES = parse_window_sizes('1m,5m,1h')
PARAMETERS = Parameters()
START = 1_356_998_400


def delta(second, item='x', weight=1):
  """(BoardCell, delta) of one event this many seconds after START, as counting makes it."""
  start = START + second - second % 60
  text = item.encode()
  encoded = delta_bytes(PARAMETERS, np.array([len(text)]), np.array([weight]), text, 1)
  return TimestampedValue((('acme', 'play', start), encoded), start)


def counts(encoded):
  return {row.item: row.count for row in HeavyHitters.from_bytes(encoded).top(100)}


def newest(panes):
  """The board that a store ends with: the pane with the most events."""
  boards = {}
  for board, encoded in panes:
    summary = HeavyHitters.from_bytes(encoded)
    if summary.events and summary.events > boards.get(board, (0,))[0]:
      boards[board] = (summary.events, counts(encoded))
  return {(start - START): rows for (_, _, start), (_, rows) in boards.items()}


def check(pcollection, expected, label):
  def equal(panes):
    assert newest(panes) == expected
  assert_that(pcollection, equal, label=label)


def expected_boards(events, size):
  """{window start, seconds after START: {item: count}}."""
  boards = {}
  for second, item in events:
    rows = boards.setdefault(size.start(START + second) - START, {})
    rows[item] = rows.get(item, 0) + 1
  return boards


def test_bounded_levels_hold_every_event_once():
  rng = random.Random(5)
  events = [(rng.randrange(7200), rng.choice('abc')) for _ in range(400)]
  with test_pipeline.TestPipeline(runner=FN_API_RUNNER) as pipeline:
    boards = (pipeline | beam.Create([delta(*event) for event in events])
              | beam.Map(lambda stamped: stamped)
              | CascadeWindows(SIZES, PARAMETERS, bounded=True))
    for size in SIZES:
      check(boards[size.label], expected_boards(events, size), size.label)


@pytest.mark.parametrize('zone', ['UTC', 'Europe/Berlin', 'Australia/Lord_Howe'])
def test_every_level_of_a_bounded_calendar_holds_every_event_once(zone):
  rng = random.Random(6)
  sizes = parse_window_sizes('30m,2m,3m,1d,1w,1mo,1m', zone)
  # Around the nights of 2013 in which clocks changed: April 7 and October 6 at Lord Howe, March 31
  # and October 27 in Berlin.
  events = [(rng.choice((89, 96, 278, 299)) * 86_400 + rng.randrange(-86_400, 86_400),
             rng.choice('abc')) for _ in range(80)]
  with test_pipeline.TestPipeline(runner=FN_API_RUNNER) as pipeline:
    boards = (pipeline | beam.Create([delta(*event) for event in events])
              | beam.Map(lambda stamped: stamped)
              | CascadeWindows(sizes, PARAMETERS, bounded=True))
    for size in sizes:
      expected = expected_boards(events, size)
      assert sum(sum(rows.values()) for rows in expected.values()) == len(events)
      check(boards[size.label], expected, size.label)


@pytest.mark.parametrize(('windows', 'zone', 'problem'), [
    ('1h,1mo', 'UTC', '1mo of UTC has no windows of fixed length, .* --windows=1mo '),
    ('1h,1d', 'Europe/Berlin', '--windows=1d --time_zone=Europe/Berlin'),
    ('1h,1w', 'Europe/Berlin', '1w of Europe/Berlin has no windows')])
def test_endless_input_has_no_calendar(windows, zone, problem):
  sizes = parse_window_sizes(windows, zone)
  with pytest.raises(ValueError, match=problem):
    CascadeWindows(sizes, PARAMETERS, bounded=False)
  CascadeWindows(sizes, PARAMETERS, bounded=True)


def test_coarse_windows_speak_early_less_often():
  sizes = add_sliding_sizes(parse_window_sizes('1m,5m,1h,1d,1w'), '1h/1m')
  check_endless(sizes)
  cascade = CascadeWindows(sizes, PARAMETERS, bounded=False, early_secs=10)
  assert [(size.label, cascade._sum(size, None).early_secs) for size in sizes] == [
      ('1m', 10), ('5m', 15), ('1h_every_1m', 180), ('1h', 180), ('1d', 4320), ('1w', 30_240)]
  often = CascadeWindows(sizes, PARAMETERS, bounded=False, early_secs=1)
  assert [often._sum(size, None).early_secs for size in sizes[:2]] == [1, 15]
  assert CascadeWindows(sizes, PARAMETERS, False)._sum(sizes[-1], None).early_secs is None


def test_iso_weeks_of_endless_input_start_on_monday():
  sizes = parse_window_sizes('1h,1d,1w')
  monday = 1_356_912_000 - START   # 2012-12-31
  events = [(monday - 1, 'a'), (monday, 'b'), (monday + 7 * 86_400 - 1, 'c'),
            (monday + 7 * 86_400, 'd')]
  stream = test_stream.TestStream()
  stream.advance_watermark_to(START + monday - 3600)
  stream.add_elements([delta(*event) for event in events])
  stream.advance_watermark_to(START + monday + 3600)
  stream.add_elements([delta(monday + 5, 'b')])
  stream.advance_watermark_to_infinity()
  with streaming_pipeline() as pipeline:
    boards = pipeline | stream | CascadeWindows(
        sizes, PARAMETERS, bounded=False, allowed_lateness_secs=3600)
    check(boards['1w'], {
        monday - 7 * 86_400: {'a': 1}, monday: {'b': 2, 'c': 1}, monday + 7 * 86_400: {'d': 1}},
        '1w')


def streaming_pipeline():
  # Without `streaming` this runner gives a test stream the semantics of a batch.
  return test_pipeline.TestPipeline(runner='BundleBasedDirectRunner',
                      options=PipelineOptions(streaming=True))


def test_late_events_refine_every_level_and_are_counted_once():
  on_time = [(5, 'a'), (30, 'b'), (70, 'a'), (310, 'a'), (3500, 'c')]
  late = [(6, 'b'), (10, 'b'), (75, 'c'), (3599, 'c')]
  stream = test_stream.TestStream()
  stream.advance_watermark_to(START)
  stream.add_elements([delta(*event) for event in on_time])
  # 1m and 5m windows of the first minutes close, the hour stays open.
  stream.advance_watermark_to(START + 3590)
  stream.add_elements([delta(*event) for event in late])
  # The hour closes; one more event finds all its windows closed.
  stream.advance_watermark_to(START + 3700)
  stream.add_elements([delta(40, 'd')])
  stream.advance_watermark_to_infinity()
  events = [*on_time, *late, (40, 'd')]
  with streaming_pipeline() as pipeline:
    boards = pipeline | stream | CascadeWindows(
        SIZES, PARAMETERS, bounded=False, allowed_lateness_secs=3600)
    for size in SIZES:
      check(boards[size.label], expected_boards(events, size), size.label)


def test_published_panes_grow_and_never_count_an_event_twice():
  stream = test_stream.TestStream()
  stream.advance_watermark_to(START)
  stream.add_elements([delta(5, 'a')])
  stream.advance_watermark_to(START + 61)
  stream.add_elements([delta(6, 'a'), delta(7, 'b')])
  stream.advance_watermark_to_infinity()

  def only_growing(panes):
    sizes = [HeavyHitters.from_bytes(encoded).events for _, encoded in panes]
    assert sorted(set(sizes) - {0}) in ([1, 2, 3], [1, 3])

  with streaming_pipeline() as pipeline:
    boards = pipeline | stream | CascadeWindows(SIZES, PARAMETERS, bounded=False)
    assert_that(boards['1m'], only_growing)
