"""Certificates against every corner of the brackets: none is false, and none is missing."""
import random

import numpy as np
import pytest

from leaderboard.transforms.certify import certified, certified_prefix, resolution


def brackets(rng):
  """Rows in rank order, few enough and close enough together that ties are common."""
  lowers = sorted((rng.randint(0, 8) for _ in range(rng.randint(0, 6))), reverse=True)
  return lowers, [low + rng.choice([0, 0, 1, 4]) for low in lowers], rng.randint(0, 8)


def worst_for(place, lowers, uppers):
  """Every other row as heavy as it can be, this one as light."""
  return [low if other == place else high
          for other, (low, high) in enumerate(zip(lowers, uppers, strict=True))]


def test_certified_means_no_truth_within_the_brackets_puts_the_row_below_k():
  rng = random.Random(11)
  for _ in range(5000):
    lowers, uppers, rest = brackets(rng)
    k = rng.randint(1, 6)
    for place, flag in enumerate(certified(lowers, uppers, rest, k)):
      truth = worst_for(place, lowers, uppers)
      passed = sum(weight > truth[place] for weight in truth)
      assert flag == (passed < k and truth[place] >= rest)


def test_certified_prefix_means_no_truth_within_the_brackets_changes_the_order():
  rng = random.Random(12)
  for _ in range(5000):
    lowers, uppers, rest = brackets(rng)
    stands = [lowers[place] >= max([rest, *uppers[place + 1:]]) for place in range(len(lowers))]
    expected = next((place for place, held in enumerate(stands) if not held), len(stands))
    assert certified_prefix(lowers, uppers, rest) == expected


def test_rows_of_numpy_and_of_python_are_judged_alike_beyond_doubles():
  lowers, uppers = [2**60 + 2, 2**60 + 1], [2**60 + 2, 2**60 + 2]
  for rows in ((lowers, uppers), (np.array(lowers), np.array(uppers))):
    assert certified(*rows, 2**60, 1) == [True, False]
    assert certified_prefix(*rows, 2**60 + 1) == 2
    assert certified_prefix(*rows, 2**60 + 2) == 1
    assert certified_prefix(*rows, 2**60 + 3) == 0


@pytest.mark.parametrize(('lowers', 'uppers', 'rest', 'tau', 'exact', 'expected'), [
    ([9, 5], [9, 5], 0, 0, True, 'exact'),
    ([], [], 0, 0, True, 'exact'),
    ([9, 5], [9, 6], 4, 4, False, 'resolved'),
    ([9, 5], [9, 8], 6, 2, False, 'partial'),
    ([9, 5], [9, 8], 6, 3, False, 'low'),
    ([9, 5, 1], [9, 8, 6], 1, 1, False, 'partial'),
])
def test_resolution(lowers, uppers, rest, tau, exact, expected):
  assert resolution(lowers, uppers, rest, tau, exact, 2) == expected
