"""What is built once for all test runs of a machine: one folder outside the repository.

`TOPK_CACHE` names another one. A folder of the cache is either complete or absent.
"""
import contextlib
import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator

_TAIL_LINES = 30


def root() -> pathlib.Path:
  named = os.environ.get('TOPK_CACHE')
  folder = pathlib.Path(named) if named else pathlib.Path.home() / '.cache' / 'topk-leaderboard'
  return folder.absolute()


def keep(name: str, recipe: str, build: Callable[[pathlib.Path], None]) -> pathlib.Path:
  """The folder that `build` fills, built by the first who asks; whoever asks meanwhile waits.

  Args:
    name: what the folder is called.
    recipe: all that decides what is built; another recipe is another folder.
    build: fills an empty folder.
  """
  folder = root() / f'{name}-{hashlib.sha256(recipe.encode()).hexdigest()[:8]}'
  if not folder.exists():
    with _lock(folder), _scratch(folder.parent) as scratch:
      if not folder.exists():   # another process may have built it while this one waited
        made = scratch / 'made'
        made.mkdir()
        build(made)
        made.rename(folder)
  return folder


def run(command: list[str], **options) -> None:
  """Runs a build command.

  Raises:
    RuntimeError: it failed; the message ends with the tail of what it wrote.
  """
  done = subprocess.run(
      command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
      text=True, errors='replace', **options)
  if done.returncode:
    raise RuntimeError(
        f'{" ".join(command)} ended with {done.returncode}:\n{tail(done.stdout)}')


def missing(**tools: str) -> str | None:
  """Which of the commands this machine lacks, as a reason to tell, or None.

  Args:
    tools: command -> what to install.
  """
  absent = [f'{tool} ({hint})' for tool, hint in tools.items() if not shutil.which(tool)]
  return f'not installed: {", ".join(absent)}' if absent else None


def tail(text: str) -> str:
  return '\n'.join(text.splitlines()[-_TAIL_LINES:])


@contextlib.contextmanager
def _lock(folder: pathlib.Path) -> Iterator[None]:
  folder.parent.mkdir(parents=True, exist_ok=True)
  with open(folder.with_name(f'.{folder.name}.lock'), 'w') as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    yield


@contextlib.contextmanager
def _scratch(folder: pathlib.Path) -> Iterator[pathlib.Path]:
  """A temporary folder beside the kept ones, so that a rename moves between them."""
  with tempfile.TemporaryDirectory(prefix='.building-', dir=folder) as name:
    yield pathlib.Path(name)
