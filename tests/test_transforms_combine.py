"""Combining in a pipeline: TopK for anyone, and accumulators that no one else holds."""
import collections
import random

import apache_beam as beam
import pytest
from apache_beam.testing import test_pipeline
from apache_beam.testing.util import assert_that
from apache_beam.transforms import window

from leaderboard.pipelines.checks import FN_API_RUNNER
from leaderboard.transforms import HeavyHitters, Parameters, TopK, Weighted, combine
from leaderboard.transforms.columnar import sum_encoded
from leaderboard.transforms.combine import PartsCoder, SummaryFn


def encoded(counts, parameters=None):
  summary = HeavyHitters.of(parameters or Parameters())
  summary.update(counts)
  return summary.to_bytes(compress=False)


def test_top_k_per_key_takes_items_weights_and_batches():
  pairs = [('a', 'x'), ('a', Weighted('y', 5)), ('a', {'x': 2, 'z': 1}), ('b', 'x')]

  def check(answer):
    assert {key: [(row.item, row.count, row.certified) for row in rows]
            for key, rows in answer} == {
        'a': [('y', 5, True), ('x', 3, True)], 'b': [('x', 1, True)]}

  with test_pipeline.TestPipeline(runner=FN_API_RUNNER) as pipeline:
    assert_that(pipeline | beam.Create(pairs) | TopK.PerKey(2), check)


def test_top_k_globally_over_an_empty_and_a_full_collection():
  rng = random.Random(1)
  items = [f'i{int(rng.paretovariate(1))}' for _ in range(2000)]
  truth = collections.Counter(items)

  def check(answer):
    ((rows),) = answer
    assert [(row.item, row.lower) for row in rows] == sorted(
        truth.items(), key=lambda entry: (-entry[1], entry[0]))[:10]

  def check_empty(answer):
    assert answer == [[]]

  with test_pipeline.TestPipeline(runner=FN_API_RUNNER) as pipeline:
    assert_that(pipeline | 'Full' >> beam.Create(items) | 'Top' >> TopK.Globally(10), check)
    assert_that(pipeline | 'None' >> beam.Create([], reshuffle=False)
                | 'TopOfNone' >> TopK.Globally(10), check_empty, label='CheckEmpty')


def test_top_k_globally_of_each_window():
  stamped = [window.TimestampedValue(item, at) for at, item in ((1, 'a'), (2, 'b'), (3, 'b'),
                                                                (61, 'c'))]

  def check(answer):
    assert sorted([row.item for row in rows] for rows in answer) == [['b', 'a'], ['c']]

  with test_pipeline.TestPipeline(runner=FN_API_RUNNER) as pipeline:
    assert_that(pipeline | beam.Create(stamped) | beam.WindowInto(window.FixedWindows(60))
                | TopK.Globally(10), check)


def test_k_beyond_the_candidates_is_refused():
  with pytest.raises(ValueError, match=r'k must lie in \[1, candidates = 10\], got 11'):
    TopK.PerKey(11, Parameters(candidates=10))


@pytest.mark.parametrize('parts', [1, 2, 31, 32, 33, 100])
def test_summary_fn_sums_any_number_of_parts_and_leaves_inputs_alone(parts):
  fn = SummaryFn(Parameters())
  deltas = [encoded({f'i{n % 7}': n + 1, 'all': 1}) for n in range(parts)]
  coder = fn.get_accumulator_coder()
  left, right = fn.create_accumulator(), fn.create_accumulator()
  for place, delta in enumerate(deltas):
    if place % 2:
      left = fn.add_input(left, delta)
    else:
      right = fn.add_input(right, delta)
  kept = list(right)
  merged = fn.merge_accumulators([left, coder.decode(coder.encode(right)), []])
  assert right == kept and merged is not right
  summary = HeavyHitters.from_bytes(fn.extract_output(merged))
  truth = collections.Counter(all=parts)
  for n in range(parts):
    truth[f'i{n % 7}'] += n + 1
  assert {row.item: row.count for row in summary.top(10)} == truth
  assert summary.total == truth.total()


def test_accumulator_stays_small_however_much_goes_in():
  parameters = Parameters(candidates=64, width=256)
  fn = SummaryFn(parameters)
  accumulator = fn.create_accumulator()
  for n in range(500):
    accumulator = fn.add_input(accumulator, encoded(
        {f'i{n * 100 + i}': 1 for i in range(100)}, parameters))
    assert sum(map(len, accumulator)) <= 256 << 10
  summary = HeavyHitters.from_bytes(fn.extract_output(accumulator))
  assert (summary.total, summary.exact) == (50_000, False)


def test_sum_too_large_by_itself_is_not_made_anew_for_every_part(monkeypatch):
  parameters = Parameters(candidates=20_000)
  large = encoded({f'item-{i:09}': i + 1 for i in range(39_000)}, parameters)
  small = encoded({'a': 1}, parameters)
  assert len(large) > 256 << 10
  sums = []
  monkeypatch.setattr(combine, 'sum_encoded', lambda parts: sums.append(1) or sum_encoded(parts))
  fn = SummaryFn(parameters)
  parts = fn.add_input(fn.create_accumulator(), large)
  for _ in range(100):
    parts = fn.add_input(parts, small)
  assert len(sums) <= 4
  assert HeavyHitters.from_bytes(fn.extract_output(parts)).bounds('a') == (100, 100)


def test_empty_sum_is_an_empty_summary():
  fn = SummaryFn(Parameters())
  assert HeavyHitters.from_bytes(fn.extract_output(fn.create_accumulator())) == HeavyHitters()


def test_accumulator_coder_is_deterministic_and_knows_its_version():
  coder = PartsCoder()
  parts = [b'', b'one', bytes(1000)]
  assert coder.decode(coder.encode(parts)) == parts
  assert coder.is_deterministic() and coder.estimate_size(parts) == len(coder.encode(parts))
  with pytest.raises(ValueError, match='version 9 is not known'):
    coder.decode(b'\x09' + coder.encode(parts)[1:])
