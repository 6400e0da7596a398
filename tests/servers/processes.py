"""Java servers as child processes: started with a log, waited for, and gone when the test is."""
import concurrent.futures
import dataclasses
import pathlib
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from typing import IO, TypeVar

from leaderboard.io import embedded, keeper
from servers import cache

T = TypeVar('T')

_POLL_SECS = 0.1
_STOP_SECS = 10
_OPENED = (
    'java.lang', 'java.lang.reflect', 'java.util', 'java.util.concurrent',
    'java.util.concurrent.atomic', 'java.net', 'java.nio', 'java.io', 'java.time', 'java.text',
    'sun.nio.ch')


@dataclasses.dataclass
class Server:
  """A running process and what it wrote."""
  name: str
  process: subprocess.Popen
  log: pathlib.Path

  def kill(self) -> None:
    """Ends it as a crash would (SIGKILL)."""
    self.process.kill()
    self.process.wait()

  def stop(self) -> None:
    self.process.terminate()
    try:
      self.process.wait(_STOP_SECS)
    except subprocess.TimeoutExpired:
      self.kill()

  def tail(self) -> str:
    return f'--- {self.log}\n{cache.tail(self.log.read_text(errors="replace"))}'


def start_java(
    name: str, folder: pathlib.Path, classpath: list[pathlib.Path], main: str,
    arguments: list[str], heap_mb: int, jvm: tuple[str, ...] = ()) -> Server:
  """Starts a Java program.

  Args:
    classpath: jars, and `folder/*` for all jars of a folder.
    name: of the log and of the temporary files under `folder`.
    heap_mb: the most heap it may take, MiB.
    jvm: further arguments of the virtual machine.
  """
  scratch = folder / name
  scratch.mkdir()
  log = folder / f'{name}.log'
  command = [
      'java', f'-Xmx{heap_mb}m', '-XX:MaxMetaspaceSize=512m',
      # Programs of a minute on few cores: a thorough compiler and a parallel collector cost more
      # than they bring.
      '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', f'-Djava.io.tmpdir={scratch}',
      *(f'--add-opens=java.base/{package}=ALL-UNNAMED' for package in _OPENED), *jvm,
      '-cp', ':'.join(map(str, classpath)), main, *arguments]
  with open(log, 'wb') as file:
    return Server(name, launch(command, file), log)


def wait_for(what: str, look: Callable[[], T], secs: float, *servers: Server) -> T:
  """What `look` returns as soon as that is true.

  Raises:
    TimeoutError: it took longer than `secs`, or one of the servers ended; with their logs.
  """
  deadline = time.monotonic() + secs
  while not (found := look()):
    ended = [server.name for server in servers if server.process.poll() is not None]
    if ended or time.monotonic() > deadline:
      why = f'{", ".join(ended)} ended' if ended else f'not after {secs:g} seconds'
      raise TimeoutError('\n'.join([f'{what}: {why}', *(server.tail() for server in servers)]))
    time.sleep(_POLL_SECS)
  return found


def launch(command: list[str], log: IO[bytes]) -> subprocess.Popen:
  """Starts a process that ends when ours is gone, whichever thread asked for it."""
  started: concurrent.futures.Future[subprocess.Popen] = concurrent.futures.Future()

  def run() -> None:
    try:
      process = subprocess.Popen(
          command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
          start_new_session=True, preexec_fn=keeper.end_with_parent)
    except OSError as error:
      started.set_exception(error)
      return
    started.set_result(process)
    process.wait()

  # What the kernel takes for the parent is the thread that forks: this one outlives its caller.
  threading.Thread(target=run, daemon=True).start()
  return started.result()


free_port = embedded._free_port


def listens(port: int) -> bool:
  with socket.socket() as probe:
    return probe.connect_ex(('127.0.0.1', port)) == 0
