"""Fixtures of the query service: stores that are filled once, and the service over them."""
import pathlib
import tempfile
import uuid

import psycopg
import pytest
import serving

from leaderboard.api.settings import Settings
from leaderboard.io import embedded, redisio


@pytest.fixture(scope='session')
def flight_stores(_servers_folder, _postgres_server):
  """Settings of a Redis, PostgreSQL and archive that hold the flights of the sample; no test
  writes to them."""
  with tempfile.TemporaryDirectory(dir=_servers_folder) as folder:
    root = pathlib.Path(folder)
    name = f'flights_{uuid.uuid4().hex}'
    with psycopg.connect(_postgres_server, autocommit=True) as connection:
      connection.execute(f'create database {name}')
    # A Redis of its own: other tests empty theirs.
    with embedded.start_redis(root) as server:
      settings = Settings(
          redis=server.url, postgres=psycopg.conninfo.make_conninfo(_postgres_server, dbname=name),
          parquet=str(root / 'parquet'), data_dir=root)
      serving.fill(settings, str(serving.SAMPLE))
      yield settings


@pytest.fixture(scope='session')
def flight_service(flight_stores):
  """An httpx client of the service over `flight_stores`."""
  with serving.serving(flight_stores) as client:
    yield client


@pytest.fixture
def service(redis_url):
  """An httpx client of the service over an empty Redis alone."""
  with serving.serving(Settings(redis=redis_url)) as client:
    yield client


@pytest.fixture
def boards(redis_url):
  """What writes to the Redis of `service`."""
  client = redisio.RedisBoards(redis_url)
  yield client
  client.close()


@pytest.fixture
def servers_folder(_servers_folder):
  """A folder for servers of a test's own: another session of pytest closes `tmp_path` to the user
  that PostgreSQL runs as."""
  with tempfile.TemporaryDirectory(dir=_servers_folder) as folder:
    yield pathlib.Path(folder)
