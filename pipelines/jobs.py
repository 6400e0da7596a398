"""The main job: what its flags resolve to, checked before the graph is built."""
import argparse
import dataclasses
import os
from collections.abc import Sequence
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from leaderboard.io import filesio
from leaderboard.pipelines.checks import (
    FN_API_RUNNER,
    LOG_LEVELS,
    Parser,
    Problems,
    UsageError,
    beam_options,
    duration,
    one_of,
    parse_known,
    whole,
    writable,
)
from leaderboard.pipelines.options import OWN_OPTIONS
from leaderboard.pipelines.stores import Stores, resolve_stores
from leaderboard.transforms import events, hotkeys
from leaderboard.transforms.boards import (
    WindowSize,
    add_sliding_sizes,
    parse_window_sizes,
)
from leaderboard.transforms.calendars import check_time_zone
from leaderboard.transforms.counting import CountingRules
from leaderboard.transforms.countmin import size_for
from leaderboard.transforms.parameters import Parameters
from leaderboard.transforms.windows import check_endless

EPILOG = """\
examples:
  %(prog)s --input=events.jsonl --redis=embedded --postgres=embedded --parquet=data/parquet
  %(prog)s --input='gs://bucket/events/*.json.gz' --windows=1m,1h --redis=redis://cache:6379/0
  %(prog)s --input=day.parquet --item_path=song_play=metadata.song_id --postgres=postgresql://db/boards
  %(prog)s --input='events-*.jsonl' --streaming --out_of_orderness=10m --allowed_lateness=2h \\
      --redis=embedded

Any option of Apache Beam may be given too, such as --runner=FlinkRunner or --streaming. Exit
codes: 0 done, 1 the job failed or its accounts do not agree, 2 the options are wrong or a store is
out of reach.
"""


@dataclasses.dataclass(frozen=True)
class Stream:
  """How an endless source is followed.

  Attributes:
    early_secs: processing time between speculative boards; None for none.
    hot_key_shards: how many workers share the sums of a board; 0 for no sharing.
    hot_deltas: see SpreadHotKeys.
  """
  out_of_orderness_secs: int
  early_secs: int | None
  max_future_secs: int
  clamp_future: bool
  hot_key_shards: int
  hot_deltas: int
  replay_bytes: int


@dataclasses.dataclass(frozen=True)
class TopKJob:
  """The main job's options, checked and resolved.

  Attributes:
    stream: None for bounded input.
  """
  input: str
  stream: Stream | None
  rules: CountingRules
  windows: list[WindowSize]
  ks: list[int]
  keep: int
  generation: int
  stores: Stores
  report: str | None
  log_level: str
  beam: PipelineOptions


def parse(argv: Sequence[str], prog: str) -> TopKJob:
  """Reads and checks the flags of the main job.

  Raises:
    UsageError: with every problem at once.
  """
  _refuse_unknown(argv, prog)
  return _resolve(beam_options(argv))


def _refuse_unknown(argv: Sequence[str], prog: str) -> None:
  shown = Parser(prog=prog, epilog=EPILOG, allow_abbrev=False,
                 formatter_class=argparse.RawDescriptionHelpFormatter,
                 description='Counts events per tenant, event type and window, ranks the top '
                 'items with proven bounds, and publishes the boards.')
  for options in OWN_OPTIONS:
    options._add_argparse_args(shown)
  parse_known(shown, argv)


def _resolve(beam: PipelineOptions) -> TopKJob:
  inputs, boards, streams, places, running = (beam.view_as(options) for options in OWN_OPTIONS)
  problems = Problems()
  problems.check('--input', _check_input, inputs.input)
  windows = _windows(problems, boards, beam.view_as(StandardOptions).streaming)
  ks = problems.check('--k', _ks, boards.k)
  parameters = _parameters(problems, boards) or Parameters()
  keep = problems.check('--keep', whole, boards.keep, 1, parameters.candidates)
  if ks and keep and max(ks) > keep:
    problems.found.append(f'--keep: must be at least the largest --k, {max(ks)}; got {keep}')
  generation = problems.check('--generation', whole, boards.generation, 0, 2**31 - 1)
  lateness = problems.check('--allowed_lateness', duration, boards.allowed_lateness)
  max_bytes = problems.check('--max_event_bytes', whole, inputs.max_event_bytes, 1, 1 << 30)
  paths = problems.check('--item_path', _item_paths, inputs.item_path)
  problems.check('--timestamp_format', one_of, inputs.timestamp_format, events.TIMESTAMP_FORMATS)
  stream = _stream(problems, streams, beam.view_as(StandardOptions))
  stores = resolve_stores(problems, places)
  if running.report:
    problems.check('--report', writable, os.path.dirname(os.path.abspath(running.report)))
  problems.check('--log_level', one_of, running.log_level, LOG_LEVELS)
  if problems.found:
    raise UsageError(problems.found)
  rules = CountingRules(
      base=windows[0], timestamp_format=inputs.timestamp_format, allowed_lateness_secs=lateness,
      max_event_bytes=max_bytes, item_paths=paths, parameters=parameters,
      keep_events=bool(stores.parquet), max_future_secs=stream.max_future_secs,
      clamp_future=stream.clamp_future)
  return TopKJob(
      input=inputs.input, stream=stream if beam.view_as(StandardOptions).streaming else None,
      rules=rules, windows=windows, ks=ks, keep=keep,
      generation=generation, stores=stores, report=running.report,
      log_level=running.log_level, beam=beam)


def _windows(problems: Problems, boards: Any, streaming: bool) -> Any:
  """The window sizes, finest first; None where the flags are wrong."""
  zone = problems.check('--time_zone', check_time_zone, boards.time_zone)
  windows = zone and problems.check('--windows', parse_window_sizes, boards.windows, zone)
  if windows and boards.sliding:
    windows = problems.check('--sliding', add_sliding_sizes, windows, boards.sliding)
  if windows and streaming:
    problems.check('--windows', check_endless, windows)
  return windows


def _stream(problems: Problems, streams: Any, standard: Any) -> Stream:
  out_of_orderness = problems.check('--out_of_orderness', duration, streams.out_of_orderness)
  early = problems.check('--early', duration, streams.early)
  max_future = problems.check('--max_future', duration, streams.max_future)
  problems.check('--future', one_of, streams.future, ('reject', 'clamp'))
  automatic = streams.hot_key_shards == 'auto'
  shards = hotkeys.SHARDS if automatic else problems.check(
      '--hot_key_shards', whole, streams.hot_key_shards, 0, 10_000)
  replay_bytes = problems.check('--replay_bytes', whole, streams.replay_bytes, 1, 1 << 30)
  if early and standard.streaming and standard.runner == FN_API_RUNNER:
    problems.found.append(f'--early: FnApiRunner has no clock to publish by; leave --early out or '
                          f'take another --runner, got --early={streams.early}')
  return Stream(
      out_of_orderness_secs=out_of_orderness, early_secs=early or None,
      max_future_secs=max_future, clamp_future=streams.future == 'clamp', hot_key_shards=shards,
      hot_deltas=hotkeys.HOT_DELTAS if automatic else 0, replay_bytes=replay_bytes)


def _check_input(patterns: str | None) -> None:
  if not patterns:
    raise ValueError('is required: the path or glob of the events to count')
  filesio.match_files(patterns)


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


def _item_paths(text: str) -> dict[str, str]:
  paths = {}
  for part in filter(None, text.split(',')):
    event_type, equals, path = part.partition('=')
    if not (event_type and equals and path and all(path.split('.'))):
      raise ValueError(f'must be TYPE=PATH, such as song_play=metadata.song_id; got {part!r}')
    paths[event_type] = path
  return paths
