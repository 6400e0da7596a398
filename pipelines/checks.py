"""Checking what a user asked for, with the options of Beam beside our own flags."""
import argparse
import difflib
import importlib.util
import json
import os
import tempfile
import uuid
from collections.abc import Sequence
from typing import Any

from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions, SetupOptions, StandardOptions

from leaderboard.io import disks, secretsio
from leaderboard.io.flags import (
  EMBEDDED,
  Parser,
  Problems,
  UsageError,
  duration,
  moment,
  one_of,
  utc,
  whole,
)
from leaderboard.transforms import sampling

__all__ = [
    'EMBEDDED', 'FN_API_RUNNER', 'LOG_LEVELS', 'OFF', 'ON', 'ONLY', 'PREFLIGHT', 'Parser',
    'Problems', 'UsageError', 'beam_options', 'duration', 'moment', 'one_of', 'parse_known',
    'refuse_unknown', 'utc', 'whole', 'writable', 'write_report']

FN_API_RUNNER = 'apache_beam.runners.portability.fn_api_runner.FnApiRunner'
PREFLIGHT = ON, ONLY, OFF = 'on', 'only', 'off'
LOG_LEVELS = ('DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL')
# Runners that know their own options only when they are asked.
_ASK_A_SERVER = ('PortableRunner', 'FlinkRunner', 'SparkRunner')
# Flink hands a bundle over when it ends it, which its own default does after a second: two in the
# way of every event. Other job servers leave the flag aside.
_MAY_BE_FLINK = ('PortableRunner', 'FlinkRunner')
_BUNDLE_MSEC = '--max_bundle_time_mills'


def beam_options(flags: Sequence[str]) -> PipelineOptions:
  """The options of Beam, with the runner that is always there."""
  beam = PipelineOptions(list(flags))
  setup = beam.view_as(SetupOptions)
  setup.beam_plugins = [*(setup.beam_plugins or ()), sampling.__name__]
  runner = beam.view_as(StandardOptions).runner
  known = StandardOptions.KNOWN_RUNNER_NAMES
  if runner and '.' not in runner and runner.lower() not in map(str.lower, known):
    raise UsageError([f'--runner: must be one of {", ".join(known)}, or the path of a class; got '
                      f'{runner!r}'])
  if runner and runner.rpartition('.')[2].lower() == 'dataflowrunner' and not installed(
      'google.cloud.dataflow'):
    raise UsageError(['--runner: Dataflow needs another package: '
                      "pip install 'topk-leaderboard[dataflow]'"])
  if beam.view_as(StandardOptions).runner in (None, 'FnApiRunner'):
    # Beam's own default looks for a runner to download.
    beam.view_as(StandardOptions).runner = FN_API_RUNNER
  if (runner or '').rpartition('.')[2] in _MAY_BE_FLINK and not any(
      flag.startswith(_BUNDLE_MSEC) for flag in flags):
    beam._flags.append(f'{_BUNDLE_MSEC}=100')
  return beam


def installed(module: str) -> bool:
  """Whether a package is there, whatever others share its name space.

  >>> installed('json.decoder'), installed('json.nothing'), installed('nothing.at.all')
  (True, False, False)
  """
  try:
    return importlib.util.find_spec(module) is not None
  except ModuleNotFoundError:   # of what it is in
    return False


def parse_known(shown: Parser, argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
  """What a program's own flags say, and the flags that are Beam's.

  Beam passes over flags that it does not know; a mistyped flag must not go unnoticed.

  Raises:
    UsageError: a flag is neither.
  """
  own, rest = shown.parse_known_args(argv)
  every = Parser(prog=shown.prog, add_help=False, allow_abbrev=False, conflict_handler='resolve')
  for options in PipelineOptions.__subclasses__():
    if not options.__module__.startswith('leaderboard.'):
      options._add_argparse_args(every)
  known, unknown = every.parse_known_args(rest)
  flags = [flag for flag in unknown if flag.startswith('-')]
  if unknown and not flags:
    raise UsageError([f'{secretsio.masked(unknown[0])!r}: every option starts with --; --help '
                      f'lists them'])
  ours = [name for action in shown._actions for name in action.option_strings]
  meant = {flag: difflib.get_close_matches(flag.split('=')[0], ours, 1, 0.8) for flag in flags}
  if known.runner in _ASK_A_SERVER:
    # The rest are options of that server, which Beam asks for them; but no slips of ours.
    meant = {flag: names for flag, names in meant.items() if names}
  if meant:
    raise UsageError([
        f'{secretsio.masked(flag)}: unknown option; '
        f'{f"did you mean {names[0]}? " if names else ""}--help lists them'
        for flag, names in meant.items()])
  return own, rest


def refuse_unknown(prog: str, epilog: str, description: str,
                   own: Sequence[type[PipelineOptions]], argv: Sequence[str]) -> None:
  """Shows --help, and refuses what is no flag of these options nor of Beam.

  Raises:
    UsageError: a flag is unknown.
  """
  shown = Parser(prog=prog, epilog=epilog, allow_abbrev=False, description=description,
                 formatter_class=argparse.RawDescriptionHelpFormatter)
  for options in own:
    options._add_argparse_args(shown)
  parse_known(shown, argv)


def leaves_this_machine(beam: PipelineOptions) -> bool:
  """Whether a job and its options are sent elsewhere, where others may read them."""
  runner = beam.view_as(StandardOptions).runner or ''
  return runner.endswith('DataflowRunner') or runner in _ASK_A_SERVER


def refuse_shown_secrets(problems: Problems, beam: PipelineOptions, **flags: str | None) -> None:
  """Sees that no flag of a job that is sent elsewhere holds a password.

  Options stand in the job's description and display data, in Flink's web interface, and in the
  logs of every worker, whose boot program writes them there.
  """
  for flag, value in flags.items():
    if value and secretsio.holds_password(value) and leaves_this_machine(beam):
      problems.found.append(
          f'--{flag}: holds a password, which the description of the job and the logs of its '
          f'workers would show; keep the URL elsewhere and name it: env:NAME, file:PATH or '
          f'secret://projects/P/secrets/NAME')


def writable(path: str) -> None:
  """Tries a folder of any Beam file system, and leaves nothing there: it may not exist yet.

  Raises:
    ValueError: nothing can be written there.
  """
  if '://' in path:
    _writable_elsewhere(path)
    return
  there = os.path.abspath(path)
  while not os.path.lexists(there):
    there = os.path.dirname(there)
  try:
    # A name of its own: another job may be trying the same folder.
    with tempfile.NamedTemporaryFile(dir=there, prefix='.write-probe-'):
      pass
  except NotADirectoryError:
    raise ValueError(f'{there!r} is a file; name a folder') from None
  except OSError as error:
    raise ValueError(f'cannot write to {path!r}: {error.strerror}; name a folder that this user '
                     f'may write to') from None


def _writable_elsewhere(path: str) -> None:
  try:
    probe = FileSystems.join(path, f'.write-probe-{uuid.uuid4().hex}')
    with FileSystems.create(probe):
      pass
    FileSystems.delete([probe])
  except Exception as error:   # of any kind that a client or its sign-in has
    raise ValueError(f'cannot write to {path!r}: {one_line(error)}; name a folder that this '
                     f'account may write to and delete from') from None


def write_report(path: str, report: dict[str, Any]) -> None:
  """Writes what `--report` asks for."""
  os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
  with disks.told(f'--report: {path}'), open(path, 'w', encoding='utf-8') as file:
    json.dump(report, file, indent=2)


def one_line(error: BaseException) -> str:
  """What an error says, without line breaks and passwords; its kind where it says nothing.

  >>> one_line(ValueError('no route to redis://:secret@cache'))
  'no route to redis://:***@cache'
  """
  return secretsio.masked(' '.join(str(error).split())) or type(error).__name__
