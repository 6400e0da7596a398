"""Stores that are killed and come back while the service is asked: no wrong answer, no failure
beyond the first second, and recovery by itself."""
import asyncio
import threading
import time

import flighttruth
import httpx
import pytest
import serving
from servers.crashes import PostgresCrash, kill_redis
from servers.proxy import Proxy

from leaderboard.api.breaker import FIRST_SECS, Breaker, StoreDown
from leaderboard.api.settings import Settings
from leaderboard.io import embedded

FIRST_SECOND = 1.0
QUESTIONS = [
    {'tenant': 'JFK', 'window': '1d', 'at': '2013-02-09'},
    {'tenant': 'LGA', 'window': '1h', 'at': '2013-02-10T15:20Z', 'k': '3'},
    {'tenant': 'EWR', 'window': '1d', 'at': '2013-02-10', 'path': 'history'},
    {'tenant': 'EWR', 'window': '1d', 'at': '2013-02-10', 'path': 'live'},
    {'tenant': 'JFK', 'from': '2013-02-08', 'to': '2013-02-11'},
    {'tenant': 'JFK', 'from': '2013-02-08T13:05Z', 'to': '2013-02-10T18:35Z', 'k': '7'},
    {'tenant': 'LGA', 'from': '2013-02-08T13:05:17Z', 'to': '2013-02-10T18:35:01Z'},
]


class Load:
  """Asks from several threads until it is stopped; keeps when each failure was."""

  def __init__(self, base_url):
    self.failures = []
    self.answers = 0
    self.paths = set()
    self._stop = threading.Event()
    self._threads = [threading.Thread(target=self._ask, args=[base_url, place])
                     for place in range(4)]

  def __enter__(self):
    for thread in self._threads:
      thread.start()
    return self

  def __exit__(self, *_):
    self._stop.set()
    for thread in self._threads:
      thread.join(60)

  def _ask(self, base_url, place):
    with httpx.Client(base_url=base_url, timeout=30) as client:
      while not self._stop.is_set():
        place += 1
        asked_at = time.monotonic()
        answer = client.get('/v1/leaderboards/flight', params=QUESTIONS[place % len(QUESTIONS)])
        try:
          assert answer.status_code == 200, answer.text
          flighttruth.check(answer.json())
        except Exception as error:
          self.failures.append((asked_at, answer.status_code, repr(error)))
        self.answers += 1
        self.paths.add(answer.json().get('path'))


def test_no_one_waits_for_a_store_that_stays_away():
  async def run():
    now, calls, gate = [0.0], [], asyncio.Event()

    async def refused():
      raise ConnectionRefusedError

    async def hanging():
      calls.append(now[0])
      await gate.wait()
      return 'back'

    breaker = Breaker('It', (OSError,), clock=lambda: now[0])
    with pytest.raises(StoreDown, match='It is out of reach: the connection was refused'):
      await breaker.call(refused)
    with pytest.raises(StoreDown):   # at once
      await breaker.call(hanging)
    now[0] += FIRST_SECS
    for _ in range(3):   # the first one tries
      with pytest.raises(StoreDown):
        await asyncio.wait_for(breaker.call(hanging), 5)
      now[0] += FIRST_SECS
    assert calls == [FIRST_SECS] and breaker.open
    gate.set()
    while breaker.open:
      await asyncio.sleep(0)
    assert await breaker.call(hanging) == 'back'

  asyncio.run(run())


@pytest.fixture
def own_stores(servers_folder, monkeypatch):
  """Settings of filled stores that a test may kill; Redis comes back on its port."""
  port = embedded._free_port()
  with embedded.start_postgres(servers_folder) as postgres:
    with monkeypatch.context() as patch:
      patch.setattr(embedded, '_free_port', lambda: port)
      redis = embedded.start_redis(servers_folder)
    settings = Settings(redis=redis.url, postgres=postgres.url, data_dir=servers_folder,
                        parquet=str(servers_folder / 'parquet'))
    serving.fill(settings, str(serving.SAMPLE))
    yield settings
    redis.stop()


def recovered(client, **question):
  """Asks until the meant path answers again."""
  deadline = time.monotonic() + 20
  while True:
    answer = client.get('/v1/leaderboards/flight', params=question).json()
    if answer.get('degraded', '') is None:
      return answer
    assert time.monotonic() < deadline, answer
    time.sleep(0.05)


def harmless(load, kills):
  """All failures are refusals of the first second after a kill."""
  late = [failure for failure in load.failures
          if failure[1] != 503 or not any(0 <= failure[0] - kill + FIRST_SECOND / 2 <=
                                          1.5 * FIRST_SECOND for kill in kills)]
  assert late == []


@pytest.mark.slow
def test_stores_killed_and_restarted_under_load(own_stores, monkeypatch):
  kills, processes = [], []
  port = int(own_stores.redis.split(':')[-1].split('/')[0])
  with serving.serving(own_stores) as client, Load(str(client.base_url)) as load:
    time.sleep(1)
    kills.append(time.monotonic())
    kill_redis(own_stores.redis)
    time.sleep(2)
    board = client.get('/v1/leaderboards/flight', params=QUESTIONS[0]).json()
    assert board['path'] == 'history' and 'Redis is out of reach' in board['degraded']
    assert client.get('/readyz').status_code == 200
    with monkeypatch.context() as patch:
      patch.setattr(embedded, '_free_port', lambda: port)
      again = embedded.start_redis(own_stores.data_dir)
    assert recovered(client, **QUESTIONS[0])['path'] == 'live'

    kills.append(time.monotonic())
    crash = PostgresCrash(own_stores.data_dir / 'postgres')
    time.sleep(2)
    board = client.get('/v1/leaderboards/flight', params=QUESTIONS[4]).json()
    assert board['path'] == 'exact' and 'PostgreSQL is out of reach' in board['degraded']
    assert client.get('/v1/leaderboards/flight', params=QUESTIONS[0]).json()['path'] == 'live'
    processes.append(crash.restart())
    assert recovered(client, **QUESTIONS[4])['path'] == 'history'

    kills.append(time.monotonic())
    kill_redis(own_stores.redis)
    crash = PostgresCrash(own_stores.data_dir / 'postgres')
    time.sleep(2)
    board = client.get('/v1/leaderboards/flight', params=QUESTIONS[0]).json()
    assert board['path'] == 'exact'
    processes.append(crash.restart())
    with monkeypatch.context() as patch:
      patch.setattr(embedded, '_free_port', lambda: port)
      last = embedded.start_redis(own_stores.data_dir)
    assert recovered(client, **QUESTIONS[0])['path'] == 'live'
    assert recovered(client, **QUESTIONS[4])['path'] == 'history'
    time.sleep(1)
  harmless(load, kills)
  assert load.answers > 100 and load.paths >= {'live', 'history', 'exact'}
  again.stop()
  last.stop()


@pytest.mark.slow
def test_postgres_that_hangs_is_passed_over(own_stores):
  socket = own_stores.data_dir / 'postgres' / '.s.PGSQL.5432'
  with Proxy(str(socket)) as proxy:
    settings = serving.changed(
        own_stores, postgres_msec=200,
        postgres=f'postgresql://postgres@127.0.0.1:{proxy.port}/postgres?gssencmode=disable')
    with serving.serving(settings) as client:
      assert client.get('/v1/leaderboards/flight', params=QUESTIONS[4]).json()['path'] == 'history'
      proxy.delay_secs = 600
      time.sleep(1)   # what was answered may be repeated for so long
      asked_at = time.monotonic()
      board = client.get('/v1/leaderboards/flight', params=QUESTIONS[4]).json()
      assert board['path'] == 'exact' and 'PostgreSQL is out of reach' in board['degraded']
      # The driver would wait for ten seconds more until it gave its query up.
      assert time.monotonic() - asked_at < 8
      flighttruth.check(board)
      proxy.delay_secs = 0
      proxy.drop()
      assert recovered(client, **QUESTIONS[4])['path'] == 'history'


@pytest.mark.slow
def test_redis_that_hangs_is_passed_over(own_stores):
  redis_port = int(own_stores.redis.split(':')[-1].split('/')[0])
  with Proxy(redis_port) as proxy:
    settings = serving.changed(own_stores, redis=f'redis://127.0.0.1:{proxy.port}/0')
    with serving.serving(settings) as client:
      assert client.get('/v1/leaderboards/flight', params=QUESTIONS[0]).json()['path'] == 'live'
      with Load(str(client.base_url)) as load:
        proxy.delay_secs = 3
        time.sleep(3)
        board = client.get('/v1/leaderboards/flight', params=QUESTIONS[0]).json()
        assert board['path'] == 'history' and board['degraded']
        proxy.delay_secs = 0
        assert recovered(client, **QUESTIONS[0])['path'] == 'live'
      assert load.failures == []
