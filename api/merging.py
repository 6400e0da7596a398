"""One way of merging stored summaries, whatever their number."""
from collections.abc import Sequence

from leaderboard.transforms import columnar
from leaderboard.transforms.heavyhitters import HeavyHitters


class Unmergeable(Exception):
  """The summaries cannot be merged; the message says why."""


def merge(parts: Sequence[bytes]) -> HeavyHitters:
  """The merge of encoded summaries, at least one, ready to be read.

  Raises:
    Unmergeable: they were made with different parameters, or one is damaged.
  """
  try:
    merged = columnar.merge_encoded(parts)
  except ValueError as error:
    raise Unmergeable(str(error)) from None
  merged.ranking()   # here, and not where it would hold up other answers
  return merged
