"""Runs a server for as long as somebody uses it, whoever started it.

    python -m leaderboard.io.keeper FOLDER COMMAND...

Who uses the server of a folder holds a shared lock on its file `.users`. The system gives up the
locks of a process that is gone, however it went, so the last one out is always noticed.
"""
import contextlib
import ctypes
import fcntl
import os
import pathlib
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import NoReturn

USERS, STARTING, KEEPING = '.users', '.lock', '.keeper'
_STOP_SECS = 30
_PR_SET_PDEATHSIG = 1


@contextlib.contextmanager
def locked(file: pathlib.Path, how: int = fcntl.LOCK_EX) -> Iterator[None]:
  """Holds a lock on a file, which is made."""
  with open(file, 'ab') as opened:
    fcntl.flock(opened, how)
    yield


def in_use(folder: pathlib.Path) -> bool:
  """Whether anybody uses the server of a folder; asked with its lock STARTING held."""
  for _ in range(2):
    try:
      with locked(folder / USERS, fcntl.LOCK_EX | fcntl.LOCK_NB):
        return False
    except BlockingIOError:
      # By a user, or by the keeper, which looks in for a moment and then waits for STARTING.
      with locked(folder / USERS, fcntl.LOCK_SH):
        pass
  return True


def stop(folder: pathlib.Path) -> None:
  """Stops the server of a folder and waits for its end; with the lock STARTING held."""
  keeping = folder / KEEPING
  try:
    with locked(keeping, fcntl.LOCK_EX | fcntl.LOCK_NB):
      return   # it has ended by itself
  except BlockingIOError:
    os.kill(int(keeping.read_text()), signal.SIGTERM)
  with locked(keeping):
    pass


def end_with_parent() -> None:
  """Has the kernel end this process when its parent is gone, however that happened."""
  if sys.platform == 'linux':
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def keep(folder: pathlib.Path, command: list[str]) -> NoReturn:
  """Runs the server until it has ended, and then ends this process."""
  with locked(folder / KEEPING):
    (folder / KEEPING).write_text(str(os.getpid()))
    # Not a thread's: what the kernel takes for the parent is the thread that forks.
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=end_with_parent)
    signal.signal(signal.SIGTERM, lambda *_: _end(process))
    threading.Thread(target=_end_unused, args=(folder, process), daemon=True).start()
    code = process.wait()
    # With the lock held: who waits for it may delete the folder, in which the thread still looks.
    os._exit(0 if code == 0 else 1)


def _end(process: subprocess.Popen) -> None:
  process.terminate()   # it saves before it goes
  timer = threading.Timer(_STOP_SECS, process.kill)
  timer.daemon = True
  timer.start()


def _end_unused(folder: pathlib.Path, process: subprocess.Popen) -> None:
  """Ends the server whose users have all gone without a word."""
  with contextlib.suppress(FileNotFoundError):   # the folder was deleted: nobody can come
    while True:
      with locked(folder / USERS):
        pass
      with locked(folder / STARTING):
        if not in_use(folder):   # somebody may have come just before
          _end(process)
          process.wait()
          return
  _end(process)


if __name__ == '__main__':
  keep(pathlib.Path(sys.argv[1]), sys.argv[2:])
