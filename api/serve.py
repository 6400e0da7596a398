"""Serves the boards over HTTP.

    python -m leaderboard.api.serve --data_dir=data --redis=embedded --postgres=embedded \\
        --parquet=data/parquet
"""
import contextlib
import dataclasses
import socket
import sys
from collections.abc import Iterator, Sequence

import uvicorn
from fastapi import FastAPI

from leaderboard.api.app import create_app
from leaderboard.api.protocol import LimitedProtocol
from leaderboard.api.settings import Settings, parse
from leaderboard.io import embedded, secretsio
from leaderboard.io.flags import EMBEDDED, UsageError


@contextlib.contextmanager
def opened(settings: Settings) -> Iterator[Settings]:
  """Starts the embedded servers that were asked for; yields the settings with their URLs.

  Raises:
    UsageError: one does not start.
  """
  with contextlib.ExitStack() as stack:
    problems, found = [], {}
    for name, start in (('redis', embedded.start_redis), ('postgres', embedded.start_postgres)):
      if getattr(settings, name) != EMBEDDED:
        continue
      try:
        found[name] = stack.enter_context(start(settings.data_dir)).url
      except embedded.EmbeddedServerError as error:
        problems.append(f'--{name}: {error}')
    if problems:
      raise UsageError(problems)
    yield dataclasses.replace(settings, **found)


class Server(uvicorn.Server):
  """Ends the streams of changes when it stops, which else it would wait for."""

  def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
    super().__init__(config)
    self._app = app

  async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
    if followed := self._app.state.changes:
      await followed.close()
    await super().shutdown(sockets)


def main(argv: Sequence[str] | None = None) -> int:
  """The command line: exit code 0 when it was stopped, 1 when it failed, 2 on a wrong flag."""
  try:
    settings = parse(sys.argv[1:] if argv is None else argv)
    with opened(settings) as servers:
      app = create_app(servers)
      config = uvicorn.Config(
          app, host=servers.host, port=servers.port, loop='uvloop',
          http=LimitedProtocol, log_level='info' if servers.access_log else 'warning',
          access_log=servers.access_log, server_header=False, timeout_graceful_shutdown=5)
      server = Server(config, app)
      server.run()
      return 0 if server.started else 1
  except UsageError as error:
    for problem in error.problems:
      print(f'serve: {problem}', file=sys.stderr)
  except secretsio.SecretUnavailable as error:
    print(f'serve: {error}', file=sys.stderr)
  except KeyboardInterrupt:
    return 0
  return 2


if __name__ == '__main__':
  sys.exit(main())
