"""What the sample really holds, by a count of its lines alone; and a service whose boards are
far too small for it."""
import collections
import contextlib
import dataclasses
import gzip
import json
import pathlib
import tempfile
import uuid

import psycopg
import pytest
import serving

from leaderboard.api.settings import Settings
from leaderboard.io import embedded
from leaderboard.io.flags import utc

SECS = {'5m': 300, '1h': 3600, '1d': 86_400}


def sample_events():
  """(tenant, event type, epoch seconds, item) of every good line."""
  with gzip.open(serving.SAMPLE, 'rt') as lines:
    for line in lines:
      event = json.loads(line)
      if event.get('timestamp') is not None and event.get('item_id') is not None:
        yield (event['tenant_id'], event['event_type'], event['timestamp'] // 1000,
               event['item_id'])


def truth_of(sizes):
  """{(tenant, event type, size, start): Counter of items}."""
  boards = collections.defaultdict(collections.Counter)
  for tenant, kind, secs, item in sample_events():
    for size in sizes:
      boards[tenant, kind, size, secs // SECS[size] * SECS[size]][item] += 1
  return dict(boards)


def asked(board, **params):
  """(path, parameters) of a board's window."""
  tenant, kind, size, start = board
  return f'/v1/leaderboards/{kind}', {'tenant': tenant, 'window': size, 'at': utc(start), **params}


@pytest.fixture(scope='session')
def spilled_stores(_servers_folder, _postgres_server):
  """Settings of stores whose boards track 8 items and keep 6 rows: hardly any is exact."""
  with contextlib.ExitStack() as stack:
    root = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(dir=_servers_folder)))
    name = f'spilled_{uuid.uuid4().hex}'
    with psycopg.connect(_postgres_server, autocommit=True) as connection:
      connection.execute(f'create database {name}')
    server = stack.enter_context(embedded.start_redis(root))
    settings = dataclasses.replace(Settings(
        redis=server.url, postgres=psycopg.conninfo.make_conninfo(_postgres_server, dbname=name),
        parquet=str(root / 'parquet')), data_dir=root)
    serving.fill(settings, str(serving.SAMPLE), '--candidates=8', '--keep=6', '--k=6')
    yield settings


@pytest.fixture(scope='session')
def spilled_service(spilled_stores):
  """An httpx client of the service over `spilled_stores`."""
  with serving.serving(spilled_stores) as client:
    yield client
