"""Ctrl-C and SIGTERM while a program is still being imported, which takes seconds: one line.

The packages of programs call `until_begun` before anything else. Where a package is imported by
another program, that one's handlers are left alone.
"""
import contextlib
import os
import pathlib
import signal
import sys
from types import FrameType

_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}   # 128 + signal, as shells tell it
_PACKAGE, _SCRIPTS = 'leaderboard.', 'topk-'


def until_begun() -> None:
  """Has a signal end this program at once, if it is one of ours: nothing has begun yet."""
  if PROGRAM:
    for number in _CODES:
      with contextlib.suppress(ValueError):   # signals belong to the main thread
        signal.signal(number, _end)


def begun() -> None:
  """Gives the signals back to the program, which now cleans up itself."""
  for number, usual in ((signal.SIGINT, signal.default_int_handler),
                        (signal.SIGTERM, signal.SIG_DFL)):
    if signal.getsignal(number) is _end:
      signal.signal(number, usual)


def _program() -> str | None:
  """Which of our programs this is: `-m leaderboard.pipelines.topk` or the script `topk-show`."""
  if sys.argv[:1] == ['-m']:   # so the parent packages of the module see it
    module = sys.orig_argv[sys.orig_argv.index('-m') + 1]
    return module.rpartition('.')[2] if module.startswith(_PACKAGE) else None
  script = pathlib.Path(sys.argv[0]).name if sys.argv else ''
  return script.removeprefix(_SCRIPTS) if script.startswith(_SCRIPTS) else None


def _end(number: int, _: FrameType | None) -> None:
  how = 'Ctrl-C' if number == signal.SIGINT else 'SIGTERM'
  # Neither an exception, which an import may swallow, nor print, which may be under way.
  os.write(2, f'{PROGRAM}: stopped by {how} before it began\n'.encode())
  os._exit(_CODES[signal.Signals(number)])


# Told once: what `sys.argv` begins with changes when the program does.
PROGRAM = _program()
