"""Tie policies, and rank intervals that hold the true rank whatever the summary forgot."""
import itertools
import random

import pytest
from randomboards import random_board, true_rank, views

from leaderboard.api.brackets import Brackets
from leaderboard.api.ties import RankBounds, rank_bounds, shown_ranks
from leaderboard.transforms.boards import Row

POLICIES = ('ordinal', 'dense', 'competition')


@pytest.mark.parametrize('seed', range(8))
def test_interval_holds_the_true_rank_of_every_item(seed):
  rng = random.Random(seed)
  wide = 0
  for _ in range(60):
    truth, summary = random_board(rng, rng.randint(2, 8))
    for board, ties in itertools.product(views(rng, summary), POLICIES):
      for item in truth:
        best, worst = rank_bounds(board, item, ties)
        assert 1 <= best <= true_rank(truth, item, ties) <= worst, (item, ties, board)
        wide += best < worst
  assert wide   # boards that know everything would prove nothing


@pytest.mark.parametrize('seed', range(4))
def test_exact_board_tells_exact_ranks(seed):
  rng = random.Random(seed)
  for _ in range(40):
    truth, summary = random_board(rng)
    board = Brackets.of_summary(summary)
    assert board.exact and board.slack == 0 and board.counted == (len(truth), len(truth))
    for item, ties in itertools.product(truth, POLICIES):
      rank = true_rank(truth, item, ties)
      assert rank_bounds(board, item, ties) == (rank, rank)


@pytest.mark.parametrize('seed', range(4))
def test_every_rank_within_the_interval_of_a_tiny_board_is_that_of_some_truth(seed):
  # All weights that brackets and total allow, with up to three unlisted items: an interval may
  # not be wider than they make it (dense ranks aside, whose bounds are cruder).
  rng = random.Random(seed)
  for _ in range(25):
    lowers = sorted((rng.randint(1, 4) for _ in range(3)), reverse=True)
    rows = [Row(name, low, low + rng.choice([0, 0, 1, 2])) for name, low in
            zip('bdf', lowers, strict=True)]
    rest = rng.randint(1, 2)   # there is a place for all weight that is left
    slack = rng.randint(0, 3)
    board = Brackets.of_rows(rows, rest, sum(lowers) + slack)
    truths = []
    for weights in itertools.product(*(range(row.count, row.upper + 1) for row in rows)):
      left = board.total - sum(weights)
      # Unlisted items sort before all others, between them or after them.
      for others in itertools.product(range(rest + 1), repeat=3):
        if sum(others) == left:
          truths.append({**dict(zip('bdf', weights, strict=True)),
                         **{name: weight for name, weight in zip(('a0', 'a1', 'a2'), others,
                                                                 strict=True) if weight}})
    if not truths:
      continue
    for row, ties in itertools.product(rows, ('ordinal', 'competition')):
      ranks = [true_rank(truth, row.item, ties) for truth in truths]
      best, worst = rank_bounds(board, row.item, ties)
      assert best <= min(ranks) and max(ranks) <= worst
      if ties == 'competition':
        assert worst == max(ranks), (board, row)


def test_item_that_was_never_counted_has_no_rank():
  board = Brackets.of_rows([Row('a', 2, 2)], 0, 2)
  assert board.of('z') == (0, 0)
  assert [rank_bounds(board, 'z', ties) for ties in POLICIES] == [None] * 3


def test_untracked_item_is_bounded_by_the_weight_that_is_left():
  # 12 in all: 3 are nobody's for sure, so at most three other items, of weight 1, stand beside.
  board = Brackets.of_rows([Row('a', 5, 6), Row('b', 4, 4)], 2, 12)
  assert board.of('z') == (0, 2)
  assert rank_bounds(board, 'z', 'ordinal') == RankBounds(3, 5)
  assert rank_bounds(board, 'z', 'competition') == RankBounds(3, 4)


def test_weights_near_the_limit_do_not_wrap():
  big = 2**63 - 1
  board = Brackets.of_rows([Row('a', big, big)], 0, big)
  assert rank_bounds(board, 'a', 'dense') == (1, 1)
  half = big // 2
  board = Brackets.of_rows([Row(name, 1, half) for name in 'abcdef'], half, big)
  assert rank_bounds(board, 'c', 'ordinal') == (1, 1 + 5 + (big - 6 - 3))


@pytest.mark.parametrize(('ties', 'ranks'), [
    ('ordinal', [1, 2, 3, 4, 5]), ('dense', [1, 2, 2, 2, 3]), ('competition', [1, 2, 2, 2, 5])])
def test_shown_ranks(ties, ranks):
  assert shown_ranks([9, 7, 7, 7, 5], ties) == ranks
  assert shown_ranks([], ties) == []
