"""What every program of this project does on the command line: exit codes, one-line errors,
SIGTERM."""
import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

from leaderboard.io import secretsio
from leaderboard.pipelines.checks import UsageError, one_line

_TERMINATED = 143   # 128 + SIGTERM, as shells tell it


def command(name: str, job: Callable[[Sequence[str] | None], Any],
            argv: Sequence[str] | None) -> int:
  """Runs a job whose report says whether it is `balanced`; returns the exit code."""
  stopping = threading.Event()

  def stop(*_: object) -> None:
    stopping.set()
    sys.exit(_TERMINATED)

  with contextlib.suppress(ValueError):   # signals belong to the main thread
    signal.signal(signal.SIGTERM, stop)
  try:
    report = job(argv)
  except UsageError as error:
    return _refused(name, error)
  except KeyboardInterrupt:
    return 130
  except Exception as error:
    if stopping.is_set():   # the runner wraps the exit of the signal
      print(f'{name}: stopped by SIGTERM; run it again to finish', file=sys.stderr)
      return _TERMINATED
    print(f'{name}: the job failed: {_first_cause(error)}', file=sys.stderr)
    return 1
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
