"""Which boards are made: what the board flags resolve to."""
import dataclasses
from typing import Any

from leaderboard.pipelines.checks import Problems, duration, whole
from leaderboard.transforms.boards import WindowSize, add_sliding_sizes, parse_window_sizes
from leaderboard.transforms.calendars import check_time_zone
from leaderboard.transforms.countmin import size_for
from leaderboard.transforms.parameters import Parameters
from leaderboard.transforms.windows import check_endless


@dataclasses.dataclass(frozen=True)
class BoardRules:
  """The boards of a job.

  Attributes:
    windows: sizes, finest first.
    ks: the top K that readers ask for.
    keep: rows of a stored board.
    parameters: of the summaries.
  """
  windows: list[WindowSize]
  ks: list[int]
  keep: int
  allowed_lateness_secs: int
  parameters: Parameters


def resolve_boards(problems: Problems, flags: Any, streaming: bool) -> BoardRules:
  """What the board flags say; what is wrong goes to `problems`."""
  windows = resolve_windows(problems, flags)
  if windows and streaming:
    problems.check('--windows', check_endless, windows)
  ks = problems.check('--k', _ks, flags.k)
  parameters = _parameters(problems, flags) or Parameters()
  keep = problems.check('--keep', whole, flags.keep, 1, parameters.candidates)
  if ks and keep and max(ks) > keep:
    problems.found.append(f'--keep: must be at least the largest --k, {max(ks)}; got {keep}')
  lateness = problems.check('--allowed_lateness', duration, flags.allowed_lateness)
  return BoardRules(windows=windows, ks=ks, keep=keep, allowed_lateness_secs=lateness,
                    parameters=parameters)


def resolve_windows(problems: Problems, flags: Any) -> Any:
  """The window sizes, finest first; None where the flags are wrong."""
  zone = problems.check('--time_zone', check_time_zone, flags.time_zone)
  windows = zone and problems.check('--windows', parse_window_sizes, flags.windows, zone)
  if windows and flags.sliding:
    windows = problems.check('--sliding', add_sliding_sizes, windows, flags.sliding)
  return windows


def _ks(text: str) -> list[int]:
  return sorted({whole(part.strip(), 1, 2**31 - 1) for part in text.split(',')})


def _parameters(problems: Problems, boards: Any) -> Parameters | None:
  """The size of the summaries: a profile, and what is set apart from it."""
  found = problems.check('--profile', Parameters.profile, boards.profile)
  if found and boards.candidates is not None:
    candidates = problems.check('--candidates', whole, boards.candidates, 1, 2**24)
    found = candidates and dataclasses.replace(found, candidates=candidates)
  if boards.delta is not None and boards.epsilon is None:
    problems.found.append(f'--delta: goes with --epsilon; got --delta={boards.delta} alone')
  if found and boards.epsilon is not None:
    shape = problems.check('--epsilon', _table, boards.epsilon, boards.delta or '0.02')
    found = shape and dataclasses.replace(found, depth=shape[0], width=shape[1])
  return found


def _table(epsilon: str, delta: str) -> tuple[int, int]:
  try:
    if float(epsilon) == 0:
      return 0, 1
    depth, width = size_for(float(epsilon), float(delta))
  except ValueError as error:
    raise ValueError(f'epsilon (or 0 for no table) and delta must lie in (0, 1): {error}') from None
  return dataclasses.astuple(Parameters(depth=depth, width=width))[1:3]
