"""Percentiles, concentration and histograms: their bounds hold the truth, and meet on exact
boards."""
import fractions
import itertools
import random

import numpy as np
import pytest
from randomboards import random_board, true_rank, views

from leaderboard.api.brackets import Brackets
from leaderboard.api.distribution import (
    Between,
    edges_for,
    head_weight,
    histogram,
    items_holding,
    percentile,
    share,
)
from leaderboard.api.ties import rank_bounds
from leaderboard.transforms.boards import Row

PERCENTS = [fractions.Fraction(text) for text in ('0.1', '10', '50', '90', '99', '99.9', '100')]
SHARES = [fractions.Fraction(text) for text in ('0.01', '0.5', '0.8', '1')]


def true_percentile(weights, percent):
  """The nearest rank, counted from the lightest."""
  place = -(-percent * len(weights) // 100)
  return sorted(weights)[int(place) - 1]


def true_holding(weights, part):
  sums = itertools.accumulate(sorted(weights, reverse=True))
  return next(k for k, held in enumerate(sums, 1) if held >= part * sum(weights))


def check(board, truth):
  """Whether all bounds hold; returns how many are closed and how many are not."""
  weights = list(truth.values())
  found = [(percentile(board, percent), true_percentile(weights, percent)) for percent in PERCENTS]
  found += [(head_weight(board, k), sum(sorted(weights, reverse=True)[:k]))
            for k in (1, 2, 5, 20, 10**6)]
  found += [(items_holding(board, part), true_holding(weights, part)) for part in SHARES]
  edges = edges_for(board)
  assert edges[-1] > max(weights)
  found += [(found_bin.items, sum(found_bin.at_least <= weight < found_bin.below
                                  for weight in weights))
            for found_bin in histogram(board, edges)]
  found.append((Between(*board.counted), len(weights)))
  for bounds, value in found:
    assert bounds.lower <= value <= bounds.upper, (bounds, value, board)
  return [bounds.lower == bounds.upper for bounds, _ in found]


@pytest.mark.parametrize('seed', range(6))
def test_bounds_hold_the_truth(seed):
  rng = random.Random(seed)
  closed = []
  for _ in range(60):
    truth, summary = random_board(rng, rng.randint(2, 8))
    if truth:
      for board in views(rng, summary):
        closed += check(board, truth)
  assert not all(closed)


def test_bounds_of_an_exact_board_meet():
  rng = random.Random(7)
  for _ in range(60):
    truth, summary = random_board(rng)
    if truth:
      assert all(check(Brackets.of_summary(summary), truth))


def test_totals_near_the_limit():
  big = 2**63 - 1
  board = Brackets.of_rows([Row('a', big // 2, big // 2), Row('b', 1, big // 2)], big // 4, big)
  assert head_weight(board, 1) == (big // 2, big // 2)
  assert head_weight(board, 2).upper == big // 2 * 2
  assert items_holding(board, fractions.Fraction(1)) == (3, 2 + big - 1 - big // 2)
  assert share(Between(big - 1, big), board) == (0.999999, 1.0)


def test_a_board_without_items_has_no_percentiles():
  with pytest.raises(ValueError, match='without items'):
    percentile(Brackets.of_rows([], 0, 0), fractions.Fraction(50))


def test_bounds_hold_though_a_part_of_the_total_may_not_be_there():
  # An archive lacks a weight of 4 somewhere around the range: the range may have none of it.
  brackets = Brackets(['a', 'b'], np.array([6, 2]), np.array([10, 6]), 4, 12, unsure=4)
  for truth in ({'a': 6, 'b': 2}, {'a': 6, 'b': 2, 'c': 4}, {'a': 10, 'b': 2}, {'a': 6, 'b': 5},
                {'a': 6, 'b': 2, 'c': 1, 'd': 1, 'e': 1, 'f': 1}):
    check(brackets, truth)
    for item, weight in truth.items():
      lower, upper = share(Between(*brackets.of(item)), brackets)
      assert lower <= weight / sum(truth.values()) <= upper
      ranks = rank_bounds(brackets, item, 'ordinal')
      assert ranks.best <= true_rank(truth, item, 'ordinal') <= ranks.worst
