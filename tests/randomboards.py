"""Random boards with their true weights, for the laws that bounds must keep."""
from leaderboard.api.brackets import Brackets
from leaderboard.transforms import HeavyHitters
from leaderboard.transforms.boards import Row


def random_board(rng, candidates=None):
  """True weights, and a summary of them made of shards; `None`: one that stays exact."""
  names = [f'i{rng.randrange(10**6)}' for _ in range(rng.randint(1, 40))]
  truth, shards = {}, []
  for _ in range(rng.randint(1, 4)):
    shard = HeavyHitters(candidates or 64, depth=rng.choice([0, 1, 2]) if candidates else 0,
                         width=rng.choice([2, 8]) if candidates else 1)
    # Sketches merge only with their like.
    shard = HeavyHitters.of(shards[0].parameters) if shards else shard
    for _ in range(rng.randint(0, 60)):
      item, weight = rng.choice(names), rng.choice([1, 1, 2, rng.randint(1, 30)])
      truth[item] = truth.get(item, 0) + weight
      shard.add(item, weight)
    shards.append(shard)
  summary = shards[0]
  for shard in shards[1:]:
    summary.merge(shard)
  return truth, summary


def views(rng, summary):
  """What may be known of a board: its summary, or the rows that a store keeps."""
  yield Brackets.of_summary(summary)
  keep = rng.randint(1, 12)
  yield Brackets.of_rows([Row(row.item, row.lower, row.upper) for row in summary.top(keep)],
                         summary.rest_upper(keep), summary.total)


def true_rank(truth, item, ties):
  """By the definition of each policy, from the true weights of all items."""
  weight = truth[item]
  if ties == 'ordinal':
    return 1 + sum((-other, name) < (-weight, item) for name, other in truth.items())
  heavier = [other for other in truth.values() if other > weight]
  return 1 + len(set(heavier) if ties == 'dense' else heavier)
