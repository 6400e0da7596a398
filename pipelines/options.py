"""The options of the main job: flags, and what they resolve to.

Everything is checked before the graph is built, and all problems are reported together.
"""
import argparse
import dataclasses
import difflib
import os
import pathlib
import tempfile
from collections.abc import Sequence
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from leaderboard.io import filesio, replayio
from leaderboard.transforms import events, hotkeys
from leaderboard.transforms.boards import (
    WindowSize,
    add_sliding_sizes,
    parse_secs,
    parse_window_sizes,
)
from leaderboard.transforms.calendars import check_time_zone
from leaderboard.transforms.counting import CountingRules
from leaderboard.transforms.countmin import size_for
from leaderboard.transforms.parameters import Parameters
from leaderboard.transforms.windows import check_endless

EMBEDDED = 'embedded'
FN_API_RUNNER = 'apache_beam.runners.portability.fn_api_runner.FnApiRunner'

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


class UsageError(Exception):
  """What the user gave cannot work; each problem names the flag, the value and the remedy."""

  def __init__(self, problems: Sequence[str]) -> None:
    super().__init__('\n'.join(problems))
    self.problems = list(problems)


class InputOptions(PipelineOptions):
  """What is read and how it is understood."""

  @classmethod
  def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group('input')
    group.add_argument(
        '--input', metavar='PATHS',
        help='JSON lines (plain, .gz, .zst) or .parquet: paths, globs or URIs of any Beam file '
        'system, separated by commas. Example: data/events-*.jsonl.gz')
    group.add_argument(
        '--timestamp_format', default='epoch_ms', metavar='FORMAT',
        help='what `timestamp` holds: epoch_ms (default), epoch_s or rfc3339')
    group.add_argument(
        '--item_path', metavar='TYPE=PATH,...', default='',
        help='where an event type keeps its item, when not in `item_id`. '
        'Example: song_play=metadata.song_id')
    group.add_argument(
        '--max_event_bytes', default=str(1 << 20), metavar='BYTES',
        help='longer lines are rejected unparsed (default 1048576 = 1 MiB)')


class BoardOptions(PipelineOptions):
  """Which boards are made."""

  @classmethod
  def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group('boards')
    group.add_argument(
        '--windows', default='1m,5m,1h,1d', metavar='SIZES',
        help='window sizes, the smallest nesting in all: whole numbers of s, m, h, d, and without '
        '--streaming 1w and 1mo (default 1m,5m,1h,1d)')
    group.add_argument(
        '--time_zone', default='UTC', metavar='ZONE',
        help='whose midnights the windows 1d, 1w (from Monday) and 1mo start at; one store takes '
        'boards of one zone only (default UTC). Example: Europe/Berlin')
    group.add_argument(
        '--sliding', metavar='SIZES', default='',
        help='sliding windows: a size, and a period that is one of --windows. 1h/1m is the last '
        'hour, every minute; its boards are stored as 1h_every_1m. Example: 1h/1m,24h/1h')
    group.add_argument(
        '--k', default='10,50,100', metavar='KS',
        help='the top K that readers ask for: slices of one kept list (default 10,50,100)')
    group.add_argument(
        '--keep', default='1000', metavar='ROWS',
        help='rows that every stored board keeps, at least the largest K (default 1000)')
    group.add_argument(
        '--allowed_lateness', default='0s', metavar='DURATION',
        help='how late an event may be and still refine its boards; input that '
        'ends (files without --streaming) has no late events. Example: 2h (default 0s)')
    group.add_argument(
        '--generation', default='0', metavar='N',
        help='boards of a higher generation replace those of a lower one, whatever they hold; '
        'raise it to recompute (default 0)')
    group.add_argument(
        '--profile', default='default', metavar='NAME',
        help='size of a board\'s summary: default (4096 candidates, table 4 x 8192: exact up to '
        '8192 items) or small (a quarter)')
    group.add_argument(
        '--candidates', metavar='M',
        help='items tracked once a board has more than twice as many; tau <= total / M')
    group.add_argument(
        '--epsilon', metavar='E',
        help='table estimates exceed the truth by at most E * total, with probability 1 - DELTA '
        'per item; 0 leaves the table out, which is faster on flat data. Example: 0.001')
    group.add_argument('--delta', metavar='DELTA', help='see --epsilon. Example: 0.02')


class StreamOptions(PipelineOptions):
  """How an endless source is followed: what goes with Beam's own flag --streaming."""

  @classmethod
  def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        'streaming', 'With --streaming, files are replayed as an endless source: in the order '
        'of their paths, with a watermark.')
    group.add_argument(
        '--out_of_orderness', default='0s', metavar='DURATION',
        help='how far the watermark stays behind the newest event (default 0s). Example: 10m')
    group.add_argument(
        '--early', default='0s', metavar='DURATION',
        help='time of the clock between speculative boards of an open window; coarse windows '
        'speak less often (default 0s: none). Example: 10s')
    group.add_argument(
        '--max_future', default='1d', metavar='DURATION',
        help='how far ahead of the clock an event may lie (default 1d)')
    group.add_argument(
        '--future', default='reject', metavar='POLICY',
        help='what becomes of an event beyond --max_future: reject (default), or clamp to count '
        'it at the moment when it was read')
    group.add_argument(
        '--hot_key_shards', default='auto', metavar='N',
        help='workers that share the sums of a busy board: auto (default: 16 for boards that '
        'turn out busy), 0 for none, or a number to spread every board')
    group.add_argument(
        '--replay_bytes', default=str(replayio.REPLAY_BYTES), metavar='BYTES',
        help='the step in which a replay reads, and its watermark moves (default 1048576 = 1 MiB)')


class StoreOptions(PipelineOptions):
  """Where boards go; any store may be left out."""

  @classmethod
  def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group('stores')
    group.add_argument(
        '--redis', metavar='URL',
        help='real-time boards: redis://[user:password@]host:port/db, rediss://..., or '
        '`embedded` for a server of its own under --data_dir')
    group.add_argument(
        '--postgres', metavar='DSN',
        help='board history: postgresql://user:password@host:port/db, or `embedded`')
    group.add_argument(
        '--parquet', metavar='PATH',
        help='raw events and board snapshots under this folder of any Beam file system')
    group.add_argument(
        '--rejects', metavar='PATH',
        help='folder for rejects/, too_late/ and accounts/ (default: --parquet, else --data_dir)')
    group.add_argument(
        '--data_dir', default='data', metavar='DIR',
        help='where embedded servers keep their data for the next run (default data)')


class RunOptions(PipelineOptions):
  """What the job says while and after it runs."""

  @classmethod
  def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group('running')
    group.add_argument(
        '--report', metavar='FILE', help='writes the closing account as JSON to this file too')
    group.add_argument(
        '--log_level', default='CRITICAL', metavar='LEVEL',
        help='what the libraries may say: DEBUG, INFO, WARNING, ERROR or CRITICAL (default); '
        'ERROR shows where a failed job failed')


OWN_OPTIONS = (InputOptions, BoardOptions, StreamOptions, StoreOptions, RunOptions)
# Runners that know their own options only when they are asked.
_ASK_A_SERVER = ('PortableRunner', 'FlinkRunner', 'SparkRunner')
_LOG_LEVELS = ('DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL')


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
    redis, postgres: None, `embedded`, or where the server is.
    ledger: folder of rejects/, too_late/ and accounts/.
  """
  input: str
  stream: Stream | None
  rules: CountingRules
  windows: list[WindowSize]
  ks: list[int]
  keep: int
  generation: int
  redis: str | None
  postgres: str | None
  parquet: str | None
  ledger: str
  data_dir: pathlib.Path
  report: str | None
  log_level: str
  beam: PipelineOptions


class Parser(argparse.ArgumentParser):
  """Reports its errors as the checks of the flags do."""

  def error(self, message: str) -> Any:
    raise UsageError([message])


def parse(argv: Sequence[str], prog: str) -> TopKJob:
  """Reads and checks the flags of the main job.

  Raises:
    UsageError: with every problem at once.
  """
  _refuse_unknown(argv, prog)
  return _resolve(beam_options(argv))


def beam_options(flags: Sequence[str]) -> PipelineOptions:
  """The options of Beam, with the runner that is always there."""
  beam = PipelineOptions(flags)
  if beam.view_as(StandardOptions).runner in (None, 'FnApiRunner'):
    # Beam's own default looks for a runner to download.
    beam.view_as(StandardOptions).runner = FN_API_RUNNER
  return beam


def _refuse_unknown(argv: Sequence[str], prog: str) -> None:
  shown = Parser(prog=prog, epilog=EPILOG, allow_abbrev=False,
                 formatter_class=argparse.RawDescriptionHelpFormatter,
                 description='Counts events per tenant, event type and window, ranks the top '
                 'items with proven bounds, and publishes the boards.')
  for options in OWN_OPTIONS:
    options._add_argparse_args(shown)
  parse_known(shown, argv)


def parse_known(shown: Parser, argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
  """What a program's own flags say, and the flags that are Beam's.

  Beam passes over flags that it does not know; a mistyped flag must not go unnoticed.

  Raises:
    UsageError: a flag is neither.
  """
  own, rest = shown.parse_known_args(argv)
  every = Parser(prog=shown.prog, add_help=False, allow_abbrev=False, conflict_handler='resolve')
  for options in PipelineOptions.__subclasses__():
    if options not in OWN_OPTIONS:
      options._add_argparse_args(every)
  known, unknown = every.parse_known_args(rest)
  flags = [flag for flag in unknown if flag.startswith('-')]
  if unknown and not flags:
    raise UsageError([f'{unknown[0]!r}: every option starts with --; --help lists them'])
  if known.runner in _ASK_A_SERVER:
    # The rest are options of that server, which Beam asks for them; but no slips of ours.
    ours = [name for action in shown._actions for name in action.option_strings]
    flags = [flag for flag in flags if difflib.get_close_matches(flag.split('=')[0], ours, 1, 0.8)]
  if flags:
    raise UsageError([f'{flag}: unknown option; --help lists them' for flag in flags])
  return own, rest


class Problems:
  """Collects what is wrong, so that the user is told everything at once."""

  def __init__(self) -> None:
    self.found: list[str] = []

  def check(self, flag: str, read: Any, *args: Any) -> Any:
    """What `read` makes of the arguments; None where it refuses them."""
    try:
      return read(*args)
    except (ValueError, OSError) as error:
      self.found.append(f'{flag}: {error}')
      return None


def _resolve(beam: PipelineOptions) -> TopKJob:
  inputs, boards, streams, stores, running = (beam.view_as(options) for options in OWN_OPTIONS)
  problems = Problems()
  problems.check('--input', _check_input, inputs.input)
  windows = _windows(problems, boards, beam.view_as(StandardOptions).streaming)
  ks = problems.check('--k', _ks, boards.k)
  parameters = _parameters(problems, boards) or Parameters()
  keep = problems.check('--keep', whole, boards.keep, 1, parameters.candidates)
  if ks and keep and max(ks) > keep:
    problems.found.append(f'--keep: must be at least the largest --k, {max(ks)}; got {keep}')
  generation = problems.check('--generation', whole, boards.generation, 0, 2**31 - 1)
  lateness = problems.check('--allowed_lateness', _duration, boards.allowed_lateness)
  max_bytes = problems.check('--max_event_bytes', whole, inputs.max_event_bytes, 1, 1 << 30)
  paths = problems.check('--item_path', _item_paths, inputs.item_path)
  problems.check('--timestamp_format', _one_of, inputs.timestamp_format, events.TIMESTAMP_FORMATS)
  stream = _stream(problems, streams, beam.view_as(StandardOptions))
  data_dir = pathlib.Path(stores.data_dir).absolute()
  if EMBEDDED in (stores.redis, stores.postgres):
    problems.check('--data_dir', writable, str(data_dir))
  if stores.parquet:
    problems.check('--parquet', writable, stores.parquet)
  ledger = stores.rejects or stores.parquet or str(data_dir)
  if ledger != stores.parquet:
    problems.check('--rejects' if stores.rejects else '--data_dir', writable, ledger)
  if running.report:
    problems.check('--report', writable, os.path.dirname(os.path.abspath(running.report)))
  problems.check('--log_level', _one_of, running.log_level, _LOG_LEVELS)
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
      generation=generation, redis=stores.redis, postgres=stores.postgres,
      parquet=stores.parquet and filesio.local_path(stores.parquet),
      ledger=filesio.local_path(ledger), data_dir=data_dir, report=running.report,
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
  out_of_orderness = problems.check('--out_of_orderness', _duration, streams.out_of_orderness)
  early = problems.check('--early', _duration, streams.early)
  max_future = problems.check('--max_future', _duration, streams.max_future)
  problems.check('--future', _one_of, streams.future, ('reject', 'clamp'))
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


def whole(text: str, least: int, most: int) -> int:
  """Reads a whole number within limits."""
  if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
    raise ValueError(f'must be a whole number from {least} to {most}, got {text!r}')
  return int(text)


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


def _duration(text: str) -> int:
  """Seconds of a duration such as 90s, 2h, or 0."""
  if text.strip() in ('0', '0s', '0m', '0h', '0d'):
    return 0
  return parse_secs(text)


def _one_of(text: str, allowed: Sequence[str]) -> None:
  if text not in allowed:
    raise ValueError(f'must be one of {", ".join(allowed)}; got {text!r}')


def _item_paths(text: str) -> dict[str, str]:
  paths = {}
  for part in filter(None, text.split(',')):
    event_type, equals, path = part.partition('=')
    if not (event_type and equals and path and all(path.split('.'))):
      raise ValueError(f'must be TYPE=PATH, such as song_play=metadata.song_id; got {part!r}')
    paths[event_type] = path
  return paths


def writable(path: str) -> None:
  """Makes a local folder and tries it; a remote one shows itself when it is first written."""
  if '://' in path:
    return
  try:
    os.makedirs(path, exist_ok=True)
    # A name of its own: another job may be trying the same folder.
    with tempfile.NamedTemporaryFile(dir=path, prefix='.write-probe-'):
      pass
  except OSError as error:
    raise ValueError(f'cannot write to {path!r}: {error.strerror}; name a folder that this user '
                     f'may write to') from None
