"""Serves the boards over HTTP.

    python -m leaderboard.api.serve --data_dir=data --redis=embedded --postgres=embedded \\
        --parquet=data/parquet
"""
import contextlib
import dataclasses
import gc
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import uvicorn
from fastapi import FastAPI

from leaderboard.api.app import create_app
from leaderboard.api.protocol import LimitedProtocol
from leaderboard.api.settings import Settings, parse
from leaderboard.io import embedded, interrupts, postgresio
from leaderboard.io.flags import EMBEDDED, UsageError

_BACKLOG = 2048
# Answers under way are finished; streams are told to end.
_SHUTDOWN_SECS = 5


@contextlib.contextmanager
def opened(settings: Settings) -> Iterator[Settings]:
  """Starts the embedded servers that were asked for; yields the settings with their URLs.

  Raises:
    UsageError: one does not start.
  """
  with contextlib.ExitStack() as stack:
    problems: list[str] = []
    found: dict[str, Any] = {}
    for name, start in (('redis', embedded.start_redis), ('postgres', embedded.start_postgres)):
      if getattr(settings, name) != EMBEDDED:
        continue
      try:
        found[name] = stack.enter_context(start(settings.data_dir)).url
      except embedded.EmbeddedServerError as error:
        problems.append(f'--{name}: {error}')
    if problems:
      raise UsageError(problems)
    if 'postgres' in found:
      postgresio.migrate(found['postgres'])
    yield dataclasses.replace(settings, **found)


def listen(settings: Settings) -> socket.socket:
  """The socket that is served.

  Raises:
    UsageError: the address cannot be had.
  """
  family = socket.AF_INET6 if ':' in settings.host else socket.AF_INET
  try:
    return socket.create_server((settings.host, settings.port), family=family, backlog=_BACKLOG)
  except OSError as error:
    raise UsageError([f'--host, --port: cannot listen on {settings.host}:{settings.port}: '
                      f'{error.strerror}; name another, or --port=0 for any free one']) from None


def address(listening: socket.socket) -> str:
  """The URL of the page."""
  host, port = listening.getsockname()[:2]
  if host in ('0.0.0.0', '::'):
    host = socket.gethostname()
  return f'http://{f"[{host}]" if ":" in host else host}:{port}/'


class Server(uvicorn.Server):
  """Says where it is as soon as it answers, and ends the streams of changes when it stops, which
  else it would wait for."""

  def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
    super().__init__(config)
    self._app = app

  async def startup(self, sockets: list[socket.socket] | None = None) -> None:
    await super().startup(sockets)
    if self.started and sockets:
      print(f'serving {address(sockets[0])}', flush=True)

  async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
    if followed := self._app.state.changes:
      await followed.close()
    await super().shutdown(sockets)


def _stop(*_: object) -> None:
  sys.exit(0)


def main(argv: Sequence[str] | None = None) -> int:
  """The command line: exit code 0 when it was stopped, 1 when it failed, 2 on a wrong flag."""
  interrupts.begun()
  with contextlib.suppress(ValueError):   # signals belong to the main thread
    # While it serves, uvicorn catches it; when all has ended it raises it again.
    signal.signal(signal.SIGTERM, _stop)
  try:
    settings = parse(sys.argv[1:] if argv is None else argv)
    with listen(settings) as listening, opened(settings) as servers:
      app = create_app(servers)
      server = Server(uvicorn.Config(
          app, loop='uvloop', http=LimitedProtocol,
          log_level='info' if servers.access_log else 'warning', access_log=servers.access_log,
          server_header=False, timeout_graceful_shutdown=_SHUTDOWN_SECS), app)
      # What is imported stays: without this, every full collection stops all answers for a fifth of
      # a second (measured).
      gc.collect()
      gc.freeze()
      try:
        server.run(sockets=[listening])
      finally:
        gc.unfreeze()   # what is frozen would be told as leaked
      return 0 if server.started else 1
  except UsageError as error:
    for problem in error.problems:
      print(f'serve: {problem}', file=sys.stderr)
    return 2
  except KeyboardInterrupt:
    return 0


if __name__ == '__main__':
  sys.exit(main())
