"""Sliding boards: every window that holds an event once, bounded or endless, late events too."""
import random

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing import test_pipeline, test_stream
from apache_beam.testing.util import assert_that
from apache_beam.transforms.window import TimestampedValue
from hypothesis import given, settings
from hypothesis import strategies as st

from leaderboard.pipelines.checks import FN_API_RUNNER
from leaderboard.transforms.boards import add_sliding_sizes, parse_window_size, parse_window_sizes
from leaderboard.transforms.columnar import delta_bytes
from leaderboard.transforms.heavyhitters import HeavyHitters
from leaderboard.transforms.parameters import Parameters
from leaderboard.transforms.slide import slide
from leaderboard.transforms.windows import CascadeWindows

PARAMETERS = Parameters()
# Neither a whole hour nor a whole 10 minutes, so that blocks and windows start before it.
START = 1_356_998_400 + 7 * 60


def encoded(item):
  text = item.encode()
  return delta_bytes(PARAMETERS, np.array([len(text)]), np.array([1]), text, 1)


def counts(summary):
  return {row.item: row.count for row in HeavyHitters.from_bytes(summary).top(100)}


def brute_force(events, size):
  """{window start: {item: count}} of (second, item)s."""
  boards = {}
  for second, item in events:
    for start in range(second - size.secs - size.period_secs, second + 1):
      if start % size.period_secs == 0 and start <= second < start + size.secs:
        rows = boards.setdefault(start, {})
        rows[item] = rows.get(item, 0) + 1
  return boards


@settings(max_examples=100, deadline=None)
@given(st.sets(st.integers(0, 400), min_size=1), st.sampled_from(['10m/1m', '1h/1m', '2m/1m']))
def test_blocks_yield_every_window_that_is_not_empty_once(minutes, text):
  size = parse_window_size(text)
  steps = [(START + 60 * minute, encoded(f'{minute % 7}')) for minute in sorted(minutes)]
  found = []
  for block in range(START - START % size.secs, START + 401 * 60 + size.secs, size.secs):
    near = [step for step in steps if block - size.secs <= step[0] < block + size.secs]
    random.Random(block).shuffle(near)
    found += slide(near, size, block)
  assert len(dict(found)) == len(found)
  assert {start: counts(summary) for start, summary in found} == brute_force(
      [(START + 60 * minute, f'{minute % 7}') for minute in minutes], size)


def test_windows_of_spilled_summaries_hold_true_brackets():
  parameters = Parameters(candidates=4, depth=0, width=1)
  size, rng, steps, events = parse_window_size('10m/1m'), random.Random(8), [], []
  for minute in range(20):
    summary = HeavyHitters.of(parameters)
    for _ in range(50):
      item = str(int(rng.paretovariate(1)) % 40)
      summary.add(item)
      events.append((60 * minute, item))
    steps.append((60 * minute, summary.to_bytes()))
  truth = brute_force(events, size)
  windows = dict(slide(steps, size, 600))
  assert sorted(windows) == list(range(60, 601 + 59, 60))
  for start, summary in windows.items():
    board = HeavyHitters.from_bytes(summary)
    assert board.events == sum(truth[start].values())
    for item, count in truth[start].items():
      lower, upper = board.bounds(item)
      assert lower <= count <= upper


def delta(second, item):
  start = START + second - second % 60
  return TimestampedValue((('acme', 'play', start), encoded(item)), start)


def check(boards, events, size):
  """The newest pane of each board is what counting by hand gives."""
  expected = brute_force([(START + second, item) for second, item in events], size)

  def equal(panes):
    newest = {}
    for (_, _, start), summary in panes:
      held = HeavyHitters.from_bytes(summary).events
      if held > newest.get(start, (0,))[0]:
        newest[start] = (held, counts(summary))
    assert {start: rows for start, (_, rows) in newest.items()} == expected

  assert_that(boards[size.label], equal, label=size.label)


def test_bounded_sliding_boards_equal_brute_force():
  rng = random.Random(21)
  sizes = add_sliding_sizes(parse_window_sizes('1m,1h'), '10m/1m,1h/1m,3h/1h')
  events = [(rng.randrange(7200), rng.choice('abc')) for _ in range(60)] + [(40_000, 'd')]
  with test_pipeline.TestPipeline(runner=FN_API_RUNNER) as pipeline:
    boards = (pipeline | beam.Create([delta(*event) for event in events])
              | beam.Map(lambda stamped: stamped)
              | CascadeWindows(sizes, PARAMETERS, bounded=True))
    for size in sizes:
      if size.period_secs:
        check(boards, events, size)
        # Of bounded input every board comes once.
        assert_that(boards[size.label] | f'Starts{size.label}' >> beam.Keys(),
                    lambda cells: _all_different(cells), label=f'Once{size.label}')


def _all_different(cells):
  assert len(set(cells)) == len(cells) > 0


@pytest.mark.parametrize('label', ['10m_every_1m', '1h_every_5m'])
def test_late_event_refines_every_sliding_board_that_holds_it(label):
  sizes = add_sliding_sizes(parse_window_sizes('1m,5m,1h'), label)
  on_time = [(5, 'a'), (30, 'b'), (70, 'a'), (500, 'c'), (900, 'a')]
  stream = test_stream.TestStream()
  stream.advance_watermark_to(START)
  stream.add_elements([delta(*event) for event in on_time])
  # Some windows that hold the first events are closed, others are open.
  stream.advance_watermark_to(START + 400)
  stream.add_elements([delta(40, 'b'), delta(399, 'd')])
  # All windows of the first minutes are closed.
  stream.advance_watermark_to(START + 4200)
  stream.add_elements([delta(6, 'e'), delta(3601, 'f')])
  stream.advance_watermark_to_infinity()
  events = [*on_time, (40, 'b'), (399, 'd'), (6, 'e'), (3601, 'f')]
  # Without `streaming` this runner gives a test stream the semantics of a batch.
  with test_pipeline.TestPipeline(runner='BundleBasedDirectRunner',
                                  options=PipelineOptions(streaming=True)) as pipeline:
    boards = pipeline | stream | CascadeWindows(
        sizes, PARAMETERS, bounded=False, allowed_lateness_secs=7200)
    for size in sizes:
      if size.period_secs:
        check(boards, events, size)


def test_sliding_board_is_published_when_it_ends_not_later():
  sizes = add_sliding_sizes(parse_window_sizes('1m'), '3m/1m')
  size = sizes[1]
  stream = test_stream.TestStream()
  stream.advance_watermark_to(START)
  stream.add_elements([delta(5, 'a')])
  # The windows that end at 60 and 120 are over, the one that ends at 180 is not.
  stream.advance_watermark_to(START + 121)
  stream.add_elements([delta(6, 'b')])
  stream.advance_watermark_to_infinity()

  def seen(panes):
    held = {}
    for (_, _, start), summary in panes:
      held.setdefault(start + size.secs - START, []).append(sorted(counts(summary)))
    assert {end: [rows for rows in found if rows] for end, found in held.items()} == {
        60: [['a'], ['a', 'b']], 120: [['a'], ['a', 'b']], 180: [['a', 'b']]}

  with test_pipeline.TestPipeline(runner='BundleBasedDirectRunner',
                                  options=PipelineOptions(streaming=True)) as pipeline:
    assert_that((pipeline | stream | CascadeWindows(
        sizes, PARAMETERS, bounded=False, allowed_lateness_secs=3600))[size.label], seen)
