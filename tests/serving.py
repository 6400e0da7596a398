"""The query service on real stores that hold the flights of the sample."""
import contextlib
import dataclasses
import pathlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import uvicorn

from leaderboard.api.app import create_app
from leaderboard.api.protocol import LimitedProtocol
from leaderboard.api.serve import Server
from leaderboard.api.settings import Settings
from leaderboard.pipelines import topk

SAMPLE = pathlib.Path(__file__).parent / 'data' / 'flights-sample.jsonl.gz'
WINDOWS = '5m,1h,1d'
# Of the sample: 2013-02-08T14:40Z to 2013-02-11T02:10Z.
FIRST_SECS, END_SECS = 1_360_334_400, 1_360_548_600


def fill(settings: Settings, source: str, *flags: str) -> None:
  """Runs the main job on the stores of the settings."""
  code = topk.main([
      f'--input={source}', f'--windows={WINDOWS}', f'--redis={settings.redis}',
      f'--postgres={settings.postgres}', f'--parquet={settings.parquet}',
      f'--data_dir={settings.data_dir}', *flags])
  assert code == 0


@contextlib.contextmanager
def serving(settings: Settings) -> Iterator[httpx.Client]:
  """Serves in a thread; yields a client whose base URL is the service."""
  app = create_app(settings)
  config = uvicorn.Config(app, host='127.0.0.1', port=0, log_level='warning',
                          loop='uvloop', http=LimitedProtocol, timeout_graceful_shutdown=1)
  server = Server(config, app)
  thread = threading.Thread(target=server.run, daemon=True)
  thread.start()
  ready = threading.Event()
  while not server.started and thread.is_alive():
    ready.wait(0.01)
  assert server.started, 'the service did not start'
  port = server.servers[0].sockets[0].getsockname()[1]
  try:
    with httpx.Client(base_url=f'http://127.0.0.1:{port}', timeout=60) as client:
      yield client
  finally:
    server.should_exit = True
    thread.join(30)


def changed(settings: Settings, **others: Any) -> Settings:
  """The settings with some replaced."""
  return dataclasses.replace(settings, **others)


def eventually(look: Callable[[], Any], secs: float = 10) -> Any:
  """What `look` returns as soon as that is true."""
  deadline = time.monotonic() + secs
  while not (found := look()):
    assert time.monotonic() < deadline, 'it did not come about'
    time.sleep(0.02)
  return found
