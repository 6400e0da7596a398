"""Sliding windows: the right sub-windows, brackets that hold where a bucket is in doubt."""
import collections
import random

import pytest

from leaderboard.transforms import HeavyHitters, Parameters
from leaderboard.transforms.sliding import ExponentialHistogram, TwoStackWindow


def parts(count, parameters, seed=1):
  """(summary, truth) of `count` sub-windows, the hot items moving on."""
  rng = random.Random(seed)
  for number in range(count):
    truth = collections.Counter(
        f'i{number // 9 + int(rng.paretovariate(1))}' for _ in range(rng.randrange(60)))
    summary = HeavyHitters.of(parameters)
    summary.update(truth)
    yield summary, truth


@pytest.mark.parametrize('size', [1, 2, 7, 60])
def test_two_stacks_hold_exactly_the_last_sub_windows(size):
  window = TwoStackWindow(size)
  recent = collections.deque(maxlen=size)
  for summary, truth in parts(150, Parameters()):
    before = summary.to_bytes()
    window.push(summary)
    recent.append(truth)
    expected = HeavyHitters()
    for counts in recent:
      expected.update(counts)
    assert window.sum() == expected
    assert summary.to_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize('parameters', [Parameters(), Parameters(candidates=8, width=32)])
@pytest.mark.parametrize('k', [1, 4, 8])
def test_exponential_histogram_brackets_the_window_in_few_summaries(parameters, k):
  size = 100
  window = ExponentialHistogram(size, k, parameters)
  recent = collections.deque(maxlen=size)
  most = 0
  for number, (summary, truth) in enumerate(parts(400, parameters)):
    window.push(summary)
    recent.append(truth)
    most = max(most, len(window))
    if number % 17:
      continue
    total = collections.Counter()
    for counts in recent:
      total.update(counts)
    for item in {*total, 'never'}:
      lower, upper = window.bounds(item)
      assert lower <= total[item] <= upper
    ranked = sorted(total.values(), reverse=True)
    for row in window.top(5):
      assert row.lower <= total[row.item] <= row.upper
      assert not row.certified or total[row.item] >= ranked[min(5, len(ranked)) - 1]
  assert most <= {1: 9, 4: 24, 8: 40}[k]


def test_wrong_sizes_are_refused():
  for call in (lambda: TwoStackWindow(0), lambda: ExponentialHistogram(0),
               lambda: ExponentialHistogram(5, 0)):
    with pytest.raises(ValueError, match='at least 1, got'):
      call()
