"""Two boards compared: what is claimed of a change is so."""
import random

import pytest
from randomboards import random_board, true_rank, views

from leaderboard.api.brackets import Brackets
from leaderboard.api.comparison import compare, items_of_interest
from leaderboard.transforms.boards import Row


@pytest.mark.parametrize('seed', range(4))
def test_changes_hold_the_truth(seed):
  rng = random.Random(seed)
  directions = set()
  for _ in range(40):
    (truth, summary), (earlier, before) = (random_board(rng, rng.randint(2, 8)) for _ in range(2))
    # Items of the one are few among those of the other: give both some.
    for name, weight in list(earlier.items())[:5]:
      truth[name] = truth.get(name, 0) + weight + 1
      summary.add(name, weight + 1)
    for boards in zip(views(rng, summary), views(rng, before), strict=True):
      for change in compare(*boards, [*truth, *earlier, 'never'], 'competition'):
        true_now, true_before = truth.get(change.item, 0), earlier.get(change.item, 0)
        by = true_now - true_before
        assert change.by.lower <= by <= change.by.upper
        directions.add(change.direction)
        assert change.direction in ('unproven', 'up' if by > 0 else 'down' if by < 0 else 'same')
        if true_now and true_before:
          gained = (true_rank(earlier, change.item, 'competition')
                    - true_rank(truth, change.item, 'competition'))
          assert change.ranks_gained.lower <= gained <= change.ranks_gained.upper
  assert directions == {'up', 'down', 'same', 'unproven'}


def test_items_of_interest_are_the_leaders_of_both():
  now, before = (Brackets.of_rows([Row(item, 1, 1) for item in items], 0, len(items))
                 for items in ('abcd', 'bxay'))
  assert items_of_interest(now, before, 3) == ['a', 'b', 'c', 'x']
