"""Real servers for the tests, started once, and small helpers."""
import dataclasses
import pathlib
import tempfile
import uuid

import dockerfile
import psycopg
import pytest
import redis

from leaderboard.io import embedded, postgresio
from leaderboard.transforms.boards import BoardRecord, Row

pytest_plugins = ['servers.fixtures', 'servingfixtures', 'spilled']

pytest.register_assert_rewrite('playback')

SAMPLE = pathlib.Path(__file__).parent / 'data' / 'flights-sample.jsonl.gz'


@pytest.fixture
def sample_events():
  """6,000 real events, gzip."""
  return SAMPLE


@pytest.fixture(scope='session')
def _servers_folder():
  # Not pytest's own: a second session closes that to other users, and as root PostgreSQL is one.
  with tempfile.TemporaryDirectory(prefix='topk-test-') as folder:
    yield pathlib.Path(folder)


@pytest.fixture(scope='session')
def _redis_server(_servers_folder):
  with embedded.start_redis(_servers_folder) as server:
    yield server.url


@pytest.fixture
def redis_url(_redis_server):
  """An empty Redis."""
  with redis.Redis.from_url(_redis_server) as client:
    client.flushall()
  return _redis_server


@pytest.fixture(scope='session')
def _postgres_server(_servers_folder):
  with embedded.start_postgres(_servers_folder) as server:
    yield server.url


@pytest.fixture
def empty_dsn(_postgres_server):
  """A database with nothing in it."""
  name = f'test_{uuid.uuid4().hex}'
  with psycopg.connect(_postgres_server, autocommit=True) as connection:
    connection.execute(f'create database {name}')
    yield psycopg.conninfo.make_conninfo(_postgres_server, dbname=name)
    connection.execute(f'drop database {name} with (force)')


@pytest.fixture
def postgres_dsn(empty_dsn):
  """A database with the current schema."""
  postgresio.migrate(empty_dsn)
  return empty_dsn


@pytest.fixture(scope='session')
def image(tmp_path_factory):
  """What the Dockerfile installs, in a fresh environment: a minute's work."""
  return dockerfile.build('template', tmp_path_factory.mktemp('image'))


@pytest.fixture
def make_record():
  """Makes a BoardRecord whose fields follow from its rows: {item: count}."""

  def make(counts, **fields):
    ranked = sorted(counts, key=lambda item: (-counts[item], item))
    start = fields.get('window_start', 1_356_998_400)
    total = sum(counts.values())
    record = BoardRecord(
        tenant_id='acme', event_type='play', window_size='1h', window_start=start,
        window_end=start + 3600, generation=0, events=total, total=total, tau=0, rest_upper=0,
        epsilon=0.0, delta=0.0, resolution='exact',
        rows=tuple(Row(item, counts[item], counts[item]) for item in ranked), summary=b'')
    return dataclasses.replace(record, **fields)

  return make
