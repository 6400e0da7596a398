"""Decayed weights: brackets hold however the landmark moves and in whatever order events come."""
import collections
import fractions
import itertools
import random

import pytest

from leaderboard.transforms import wire
from leaderboard.transforms.decay import DecayedHeavyHitters, half_life_of

HOUR = 3600.0


def exact_weights(events, as_of, half_life=HOUR):
  """The decayed weight of every item, times being whole half-lives or halves of them: exact
  fractions times the root of two where a half is left."""
  weights = collections.defaultdict(fractions.Fraction)
  for item, at, weight in events:
    weights[item] += weight * fractions.Fraction(2.0**((at - as_of) / half_life))
  return weights


def check(summary, events, as_of):
  truth = exact_weights(events, as_of)
  slack = fractions.Fraction(1, 2**45)   # of the doubles that the truth is made of
  for item, weight in [*truth.items(), ('never', 0)]:
    lower, upper = summary.bounds(item, as_of)
    assert lower * (1 - slack) <= weight <= upper * (1 + slack)
  ranked = sorted(truth.values(), reverse=True)
  for k in (1, 3, 10):
    for row in summary.top(k, as_of):
      assert not row.certified or truth[row.item] * (1 + slack) >= ranked[
          min(k, len(ranked)) - 1]


@pytest.mark.parametrize('candidates', [4, 4096])
@pytest.mark.parametrize('span', [3, 30, 1000])
def test_brackets_hold_through_merges_bytes_and_moving_landmarks(candidates, span):
  rng = random.Random(f'{candidates}-{span}')
  events = [(f'i{int(rng.paretovariate(0.7)) % 40}', rng.randrange(2 * span) * HOUR / 2,
             rng.choice([1, 1, 1000])) for _ in range(600)]
  parts = [DecayedHeavyHitters(HOUR, candidates) for _ in range(5)]
  for place, event in enumerate(events):
    parts[place % 5].add(*event)
  merged = parts[0]
  for part in parts[1:]:
    before = part.to_bytes()
    merged.merge(DecayedHeavyHitters.from_bytes(before))
    assert part.to_bytes() == before
  assert merged.events == 600
  check(merged, events, span * HOUR)
  check(merged, events, (span + 50) * HOUR)


def test_bytes_do_not_depend_on_the_order_under_one_landmark():
  events = [('a', 0.0, 3), ('b', 1800.0, 2), ('a', 5000.0, 1), ('c', 7000.0, 9), ('b', 7200.0, 1)]
  encoded = set()
  for order in itertools.permutations(events):
    summary = DecayedHeavyHitters(HOUR)
    summary.add('first', 0.0)
    for event in order:
      summary.add(*event)
    encoded.add(summary.to_bytes())
  assert len(encoded) == 1


def test_event_a_thousand_half_lives_old_counts_next_to_nothing():
  summary = DecayedHeavyHitters(HOUR)
  summary.add('new', 1000 * HOUR)
  summary.add('old', 0.0, 10**12)
  assert [row.item for row in summary.top(2, 1000 * HOUR)] == ['new', 'old']
  lower, upper = summary.bounds('old', 1000 * HOUR)
  assert lower == 0 and 0 < upper < 1e-5
  later = DecayedHeavyHitters(HOUR)
  later.add('old', 0.0, 10**9)
  later.add('new', 1000 * HOUR)
  assert later.bounds('old', 1000 * HOUR)[0] == 0
  assert later.bounds('new', 1000 * HOUR) == pytest.approx((1, 1), rel=1e-5)


def test_event_from_the_future_is_clamped_to_now():
  summary = DecayedHeavyHitters(HOUR)
  summary.add('a', 0, 5, now_secs=HOUR)
  summary.add('future', 10**9 * HOUR, now_secs=HOUR)
  assert summary.bounds('future', HOUR) == pytest.approx((1, 1), rel=1e-5)
  assert summary.bounds('a', HOUR) == pytest.approx((2.5, 2.5), rel=1e-5)


def test_half_life_of_a_damping_factor():
  summary = DecayedHeavyHitters(half_life_of(0.9, 60))
  summary.add('a', 0)
  assert summary.bounds('a', 120) == pytest.approx((0.81, 0.81), rel=1e-5)
  with pytest.raises(ValueError, match='damping must lie'):
    half_life_of(1, 60)


def test_wrong_calls_and_bytes_are_refused():
  summary = DecayedHeavyHitters(HOUR)
  with pytest.raises(ValueError, match='weight must be at least 1'):
    summary.add('a', 0, 0)
  with pytest.raises(ValueError, match='half_life_secs must be positive'):
    DecayedHeavyHitters(0)
  with pytest.raises(ValueError, match='equal half-life'):
    summary.merge(DecayedHeavyHitters(60))
  summary.add('a', 0)
  data = summary.to_bytes()
  for end in range(len(data)):
    with pytest.raises(wire.CorruptSummary):
      DecayedHeavyHitters.from_bytes(data[:end])
  assert DecayedHeavyHitters.from_bytes(DecayedHeavyHitters(5).to_bytes()).events == 0
