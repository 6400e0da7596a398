"""Count-Min and the views of the summary that the field knows by name."""
import collections
import random

import pytest

from leaderboard.transforms import CountMinSketch, HeavyHitters, MisraGries, SpaceSaving, wire


def stream(n=5000, seed=2):
  rng = random.Random(seed)
  return [f'i{int(rng.paretovariate(0.8))}' for _ in range(n)]


@pytest.mark.parametrize('conservative', [True, False])
@pytest.mark.parametrize(('depth', 'width'), [(0, 8), (1, 1), (2, 50), (6, 300)])
def test_estimate_is_never_too_small_through_merges_and_bytes(conservative, depth, width):
  truth = collections.Counter(stream())
  sketches = [CountMinSketch(depth, width, 3, conservative) for _ in range(4)]
  for place, item in enumerate(stream()):
    sketches[place % 4].add(item)
  merged = sketches[0]
  for sketch in sketches[1:]:
    merged.merge(CountMinSketch.from_bytes(sketch.to_bytes()))
  assert merged.total == 5000
  assert all(merged.estimate(item) >= weight for item, weight in truth.items())


def test_conservative_update_is_never_worse_than_plain():
  careful, plain = CountMinSketch(3, 64), CountMinSketch(3, 64, conservative=False)
  for item in stream():
    careful.add(item)
    plain.add(item)
  assert all(careful.estimate(item) <= plain.estimate(item) for item in set(stream()))


def test_from_error_meets_its_promise():
  sketch = CountMinSketch.from_error(0.01, 0.02)
  assert (sketch.depth, sketch.width) == (4, 512)
  assert sketch.epsilon <= 0.01 and sketch.delta <= 0.02
  truth = collections.Counter(stream())
  sketch.update(truth)
  beyond = [item for item, weight in truth.items()
            if sketch.estimate(item) > weight + sketch.epsilon * sketch.total]
  assert len(beyond) <= sketch.delta * len(truth)


def test_only_equal_shapes_merge_and_only_sketches_decode():
  with pytest.raises(ValueError, match='equal depth, width and seed'):
    CountMinSketch(2, 8).merge(CountMinSketch(2, 9))
  with pytest.raises(wire.CorruptSummary, match='no Count-Min sketch'):
    CountMinSketch.from_bytes(HeavyHitters().to_bytes())
  with pytest.raises(wire.CorruptSummary, match='sketch alone'):
    HeavyHitters.from_bytes(CountMinSketch().to_bytes())
  with pytest.raises(ValueError, match='at most'):
    CountMinSketch(64, 2**30)


@pytest.mark.parametrize('conservative', [True, False])
def test_weights_stay_exact_integers_and_overflow_is_told(conservative):
  sketch = CountMinSketch(2, 8, conservative=conservative)
  sketch.add('a', 2**62 + 1)
  assert sketch.estimate('a') == 2**62 + 1
  before = sketch.to_bytes()
  for change in (lambda: sketch.add('a', 2**62), lambda: sketch.merge(sketch.copy()),
                 lambda: sketch.update({'b': 2**61, 'c': 2**61})):
    with pytest.raises(OverflowError, match='total weight'):
      change()
    assert sketch.to_bytes() == before
  with pytest.raises(TypeError):
    sketch.add('a', 1.5)
  with pytest.raises(ValueError, match='at least 1'):
    sketch.add('a', 0)


@pytest.mark.parametrize('candidates', [5, 50, 4096])
def test_space_saving_counts_over_and_misra_gries_under(candidates):
  truth = collections.Counter(stream())
  over, under = SpaceSaving(candidates), MisraGries(candidates)
  more = SpaceSaving(candidates)
  for place, item in enumerate(stream()):
    (over if place % 2 else more).add(item)
    under.add(item)
  over.merge(more)
  slack = 5000 / candidates
  for item, weight in truth.items():
    assert weight <= over.count(item) <= weight + slack
    assert weight - slack <= under.count(item) <= weight
  for item, count, error in over.top(candidates):
    assert count - error <= truth[item] <= count
  for item, count, error in under.top(candidates):
    assert count <= truth[item] <= count + error
