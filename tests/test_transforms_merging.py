"""Merging many summaries at once: the same as the rules by hand, and for any order of them."""
import collections
import itertools
import random

import numpy as np
import pytest

from leaderboard.transforms import merging, wire
from leaderboard.transforms.columnar import merge_encoded, sum_encoded
from leaderboard.transforms.heavyhitters import HeavyHitters
from leaderboard.transforms.parameters import Parameters

HOSTILE = ['', '\0', '\ud800', 'é', '\U0001F600', '\uffff', 'x' * 70_000]


def summaries(rng, parameters, kinds, sizes, own=0.0):
  """One summary of as many events as each of the sizes, and what all of them count; a share of the
  items is a side's own."""
  truth = collections.Counter()
  parts = []
  for side, size in enumerate(sizes):
    summary = HeavyHitters.of(parameters)
    for _ in range(size):
      item = rng.choice(HOSTILE) if rng.random() < 0.05 else (
          f'i{min(int(rng.paretovariate(0.4)), kinds)}')
      item += f' of {side}' if rng.random() < own else ''
      weight = rng.choice([1, 1, 5])
      summary.add(item, weight)
      truth[item] += weight
    parts.append(summary)
  return parts, truth


def by_hand(parts):
  """(tau, {item: (lower, upper)}) as the rules have it, one item and one side at a time, uncut."""
  brackets = {}
  for item in {row.item for part in parts for row in part.top(10**6)}:
    lower = upper = 0
    for part in parts:
      state = None if part.exact else part._read()
      if state is None:
        weight = part.bounds(item)[0]
        lower, upper = lower + weight, upper + weight
      elif item in state.index:
        lower += int(state.lowers[state.index[item]])
        upper += int(state.uppers[state.index[item]])
      else:
        upper += part.bounds(item)[1]
    brackets[item] = lower, upper
  return sum(part.tau for part in parts), brackets


@pytest.mark.parametrize('depth', [0, 1, 4])
@pytest.mark.parametrize('sizes', [
    (300, 300, 300), (0, 300, 5, 300), (300, 0), (30, 30, 30, 300), (300, 40, 40, 40, 40, 40)])
def test_many_at_once_follow_the_rules_by_hand(monkeypatch, sizes, depth):
  monkeypatch.setattr(merging, '_TIGHTENED', 100)   # no bound stays loose
  rng = random.Random(f'{sizes}-{depth}')
  for candidates in (6, 16):
    parameters = Parameters(candidates, depth, 32, 1, 8)
    # What is sent is cut: compare with the summaries as they arrive.
    built, truth = summaries(rng, parameters, 200, sizes)
    encoded = [part.to_bytes(rng.random() < 0.5) for part in built]
    parts = [HeavyHitters.from_bytes(part) for part in encoded]
    assert {part.exact for part in parts} != {True}
    tau, brackets = by_hand(parts)
    kept = brackets
    if len(brackets) > 2 * candidates:
      ordered = sorted(brackets, key=lambda item: (-brackets[item][1], item))
      kept = {item: brackets[item] for item in ordered[:candidates]}
      tau = max(tau, brackets[ordered[candidates]][1])
    merged = merge_encoded(encoded)
    state = merged._read()
    assert (merged.tau, merged.total) == (tau, truth.total())
    assert {item: (lower, upper) for item, lower, upper in zip(
        state.items, state.lowers.tolist(), state.uppers.tolist(), strict=True)} == kept


@pytest.mark.parametrize('candidates', [3, 12, 4096])
def test_content_does_not_depend_on_the_order_of_the_parts(candidates):
  rng = random.Random(candidates)
  parameters = Parameters(candidates, 3, 16, 0, 4)
  parts, truth = summaries(rng, parameters, 10**6, (0, 5, 90, 100, 400, 700), own=0.9)
  encoded = [part.to_bytes(False) for part in parts]
  if candidates < 4096:
    # More than are tightened; of equal weight are many.
    found = {item for part in encoded for item in wire.decode(part).items()}
    assert len(found) > merging._TIGHTENED * candidates
  sums = {merge_encoded(order).to_bytes() for order in itertools.permutations(encoded)}
  assert len(sums) == 1
  again = HeavyHitters.from_bytes(sums.pop())
  assert again == HeavyHitters.from_bytes(sum_encoded(encoded))
  assert again.exact == (candidates == 4096)
  for item, weight in truth.items():
    lower, upper = again.bounds(item)
    assert lower <= weight <= upper


@pytest.mark.parametrize('count', [2, 30])
def test_many_large_summaries_that_share_little_hold_true_brackets(count):
  # Far more items than are tightened, through the format, with tables of 63 bits.
  rng = np.random.default_rng(count)
  parameters = Parameters(candidates=64, width=128)
  truth, parts = collections.Counter(), []
  for side in range(count):
    weights = {f's{side}-{n}' if n > 10 else f'all-{n}': int(w) for n, w in enumerate(
        rng.zipf(1.3, 1000) % 2**40 + 1)}
    truth.update(weights)
    summary = HeavyHitters.of(parameters)
    summary.update(weights, events=len(weights))
    parts.append(summary.to_bytes())
  merged = merge_encoded(parts)
  assert (merged.total, merged.events) == (truth.total(), count * 1000)
  assert merged.tau * parameters.candidates <= merged.total
  for item, weight in [*truth.items(), ('never', 0)]:
    lower, upper = merged.bounds(item)
    assert lower <= weight <= upper
    assert lower or weight <= merged.tau
  edge = sorted(truth.values())[-20]
  assert all(truth[row.item] >= edge for row in merged.top(20) if row.certified)


def test_parts_are_left_as_they_are():
  rng = random.Random(2)
  parts, _ = summaries(rng, Parameters(8, 2, 16, 0, 4), 300, (200, 5, 200))
  columns = [wire.decode(part.to_bytes()) for part in parts]
  before = [wire.encode(one, compress=False) for one in columns]
  merging.merge_columns(columns)
  assert [wire.encode(one, compress=False) for one in columns] == before


def test_sums_beyond_63_bits_and_repeated_items_are_told():
  summary = HeavyHitters(candidates=1, depth=1, width=4)
  summary.update({'a': 2**61, 'b': 1, 'c': 1})
  half = summary.to_bytes()
  assert merge_encoded([half] * 3).bounds('a')[0] == 3 * 2**61
  with pytest.raises(OverflowError, match='total weight'):
    merge_encoded([half] * 4)
  repeated = wire.decode(half)
  repeated.lengths = np.array([1, 1])
  repeated.lowers, repeated.spans, repeated.text = np.array([1, 1]), np.array([0, 0]), b'aa'
  with pytest.raises(wire.CorruptSummary, match='stands twice'):
    merging.merge_columns([wire.decode(half), repeated])
