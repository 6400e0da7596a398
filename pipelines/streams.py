"""How an endless source is followed: what the streaming flags resolve to."""
import dataclasses
from typing import Any

from leaderboard.pipelines.checks import FN_API_RUNNER, Problems, duration, one_of, whole
from leaderboard.transforms import hotkeys


@dataclasses.dataclass(frozen=True)
class Stream:
  """How an endless source is followed.

  Attributes:
    early_secs: processing time between speculative boards; None for none.
    max_future_secs, clamp_future: see CountingRules.
    hot_key_shards: how many workers share the sums of a board; 0 for no sharing.
    hot_deltas: see SpreadHotKeys.
  """
  early_secs: int | None
  max_future_secs: int
  clamp_future: bool
  hot_key_shards: int
  hot_deltas: int


def resolve_stream(problems: Problems, flags: Any, standard: Any) -> Stream:
  """What the streaming flags say; what is wrong goes to `problems`.

  Args:
    standard: Beam's own StandardOptions.
  """
  early = problems.check('--early', duration, flags.early)
  max_future = problems.check('--max_future', duration, flags.max_future)
  problems.check('--future', one_of, flags.future, ('reject', 'clamp'))
  automatic = flags.hot_key_shards == 'auto'
  shards = hotkeys.SHARDS if automatic else problems.check(
      '--hot_key_shards', whole, flags.hot_key_shards, 0, 10_000)
  if early and standard.streaming and standard.runner == FN_API_RUNNER:
    problems.found.append(f'--early: FnApiRunner has no clock to publish by; leave --early out or '
                          f'take another --runner, got --early={flags.early}')
  if early and not standard.streaming:
    problems.found.append(f'--early: goes with --streaming; a job whose input ends publishes once; '
                          f'got --early={flags.early} alone')
  return Stream(
      early_secs=early or None, max_future_secs=max_future, clamp_future=flags.future == 'clamp',
      hot_key_shards=shards, hot_deltas=hotkeys.HOT_DELTAS if automatic else 0)
