"""What every program of this project does on the command line: exit codes, one-line errors,
signals."""
import atexit
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

from leaderboard.io import interrupts, secretsio
from leaderboard.pipelines.checks import UsageError, one_line


def command(name: str, job: Callable[[Sequence[str] | None], Any],
            argv: Sequence[str] | None) -> int:
  """Runs a job whose report says whether it is `balanced`; returns the exit code."""
  codes: list[int] = []
  if interrupts.PROGRAM:
    # The first that is registered runs last: servers have been stopped by then.
    atexit.register(_end, codes)
  codes.append(_run(name, job, argv))
  return codes[0]


def _end(codes: list[int]) -> None:
  """Ends the process of a job that is over. The interpreter's own end aborts now and then, when a
  thread of a library's wants it once more, and the job would seem to have failed."""
  if codes:
    with contextlib.suppress(OSError):   # nobody reads on
      sys.stdout.flush()
      sys.stderr.flush()
    os._exit(codes[0])


def _run(name: str, job: Callable[[Sequence[str] | None], Any],
         argv: Sequence[str] | None) -> int:
  stopped: list[str] = []

  def stop(number: int, _: object) -> None:
    stopped.append('Ctrl-C' if number == signal.SIGINT else 'SIGTERM')
    sys.exit(128 + number)   # as shells tell it

  interrupts.begun()
  before: dict[int, Any] = {}
  with contextlib.suppress(ValueError):   # signals belong to the main thread
    for number in (signal.SIGTERM, signal.SIGINT):
      before[number] = signal.signal(number, stop)
  try:
    report = job(argv)
  except UsageError as error:
    return _refused(name, error)
  except (Exception, SystemExit) as error:
    if stopped:   # the runner may have wrapped the exit
      print(f'{name}: stopped by {stopped[0]}; run it again to finish', file=sys.stderr)
      return 130 if stopped[0] == 'Ctrl-C' else 143
    if isinstance(error, SystemExit):   # of --help
      raise
    print(f'{name}: the job failed: {_first_cause(error)}', file=sys.stderr)
    return 1
  finally:
    for each, handler in before.items():
      signal.signal(each, handler)
  return 0 if report.balanced else 1


def _first_cause(error: BaseException) -> str:
  """What went wrong, in one line, without the layers of the runner around it."""
  while cause := error.__cause__ or (not error.__suppress_context__ and error.__context__):
    error = cause
  return one_line(error)


def _refused(name: str, error: UsageError) -> int:
  for problem in error.problems:
    print(f'{name}: {secretsio.masked(problem)}', file=sys.stderr)
  return 2


def hear(level: str) -> None:
  """Lets the libraries say what is of this level or worse, and this project what is a warning."""
  logging.basicConfig()
  logging.getLogger().setLevel(level)
  logging.getLogger('leaderboard').setLevel(min(logging.getLogger().level, logging.WARNING))


def submit(name: str, launch: Callable[[], Any]) -> int:
  """Launches a job that outlives this process; returns the exit code: 0, 1 when it could not be
  submitted, 2 when an option is wrong or a store is out of reach."""
  try:
    launch()
  except UsageError as error:
    return _refused(name, error)
  except Exception as error:
    print(f'{name}: the job was not submitted: {_first_cause(error)}', file=sys.stderr)
    return 1
  return 0
