"""A board ranked as columns is the board that its summary reports as an object."""
import collections
import dataclasses
import random

import pytest

from leaderboard.transforms import wire
from leaderboard.transforms.boards import Row, WindowSize
from leaderboard.transforms.columnar import sum_encoded
from leaderboard.transforms.heavyhitters import HeavyHitters
from leaderboard.transforms.ranking import rank_board

MINUTE = WindowSize('1m', 60)
# Beyond the basic plane, a lone surrogate: the order of their UTF-8 is that of their code points.
HEADS = ['', 'a', 'é', '\U0001f600', '\ud800', 'a\x00']


def summary_of(items):
  summary = HeavyHitters()
  summary.extend(items)
  return summary


def summaries(rng):
  sizes = {'candidates': rng.choice([1, 3, 10, 50]), 'depth': rng.choice([0, 1, 3, 5]),
           'width': rng.choice([1, 7, 64]), 'seed': rng.randrange(9), 'batch': rng.choice([1, 100])}
  for _ in range(rng.randint(1, 4)):
    summary = HeavyHitters(**sizes)
    summary.update(collections.Counter(
        rng.choice(HEADS) + str(int(rng.paretovariate(0.6)))[:6]
        for _ in range(rng.randint(1, 400))))
    yield summary


@pytest.mark.parametrize('seed', range(60))
def test_a_record_tells_what_the_summary_tells(seed):
  rng = random.Random(seed)
  encoded = sum_encoded([summary.to_bytes() for summary in summaries(rng)])
  summary = HeavyHitters.from_bytes(encoded)
  keep = rng.choice([1, 3, 10, 1000])
  record = rank_board(('t', 'e', 120), MINUTE, encoded, keep, 7)
  assert record.rows == tuple(Row(row.item, row.lower, row.upper) for row in summary.top(keep))
  assert (record.rest_upper, record.resolution) == (
      summary.rest_upper(keep), summary.resolution(keep))
  assert (record.events, record.total, record.tau) == (
      summary.events, summary.total, summary.tau)
  assert (record.epsilon, record.delta) == (summary.epsilon, summary.delta)
  assert record.summary == summary.to_bytes()
  assert (record.window_start, record.window_end, record.generation) == (120, 180, 7)
  alone = rank_board(('t', 'e', 120), MINUTE, encoded, keep, 7, summaries=False)
  assert alone == dataclasses.replace(record, summary=b'')


def test_a_summary_in_which_an_item_stands_twice_is_no_board():
  found = wire.decode(sum_encoded([summary_of('aaabb').to_bytes()]))
  twice = wire.encode(dataclasses.replace(found, text=b'aa'), compress=False)
  with pytest.raises(wire.CorruptSummary, match='stands twice'):
    rank_board(('t', 'e', 0), MINUTE, twice, 10, 0)


def test_an_empty_pane_makes_no_board():
  assert rank_board(('t', 'e', 0), MINUTE, HeavyHitters().to_bytes(), 10, 0) is None
