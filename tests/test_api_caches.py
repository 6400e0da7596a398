"""Nothing is answered from memory that may be older than a second; one call for many who ask."""
import asyncio
import threading
import time

import pytest
import serving
from servers.proxy import Proxy

from leaderboard.api.caches import Cache, Freshness
from leaderboard.api.settings import Settings
from leaderboard.api.singleflight import SingleFlight
from leaderboard.io import redisio

START = 1_356_998_400
BOARD = '/v1/leaderboards/play?tenant=acme&window=1h&at=2013-01-01'
NEWEST = '/v1/leaderboards/play?tenant=acme&window=1h'


class Clock:
  """Seconds that pass when a test says so."""
  now = 100.0

  def __call__(self):
    return self.now


@pytest.fixture
def clock():
  return Clock()


@pytest.fixture
def freshness(clock):
  return Freshness(60, clock)


def kept(freshness, value='old', tags=('a',), **limits):
  cache = Cache(freshness, **{'entries': 10, **limits})
  cache.put('key', value, freshness.stamp(tags))
  return cache


def test_value_holds_while_the_feed_is_heard_and_nothing_changed(freshness, clock):
  cache = kept(freshness)
  for _ in range(59):
    clock.now += 1
    freshness.heard(clock.now)
    assert cache.get('key') == 'old'
  clock.now += 1
  freshness.heard(clock.now)
  assert cache.get('key') is None and len(cache) == 0


def test_value_of_another_tag_stays(freshness, clock):
  cache = kept(freshness)
  freshness.heard(clock.now)
  freshness.changed(['b'])
  assert cache.get('key') == 'old'
  freshness.changed(['a'])
  assert cache.get('key') is None


def test_silence_of_the_feed_leaves_a_second(freshness, clock):
  freshness.heard(clock.now)
  cache = kept(freshness)
  clock.now += 0.99
  assert cache.get('key') == 'old'
  clock.now += 0.02
  assert cache.get('key') is None


def test_value_without_tags_holds_for_a_second_whatever_is_heard(freshness, clock):
  cache = kept(freshness, tags=())
  clock.now += 0.5
  freshness.heard(clock.now)
  assert cache.get('key') == 'old'
  clock.now += 0.51
  freshness.heard(clock.now)
  assert cache.get('key') is None


def test_value_that_changed_while_it_was_read_is_not_kept(freshness):
  cache = Cache(freshness, 10)
  stamp = freshness.stamp(['a'])
  freshness.changed(['a'])
  cache.put('key', 'old', stamp)
  assert cache.get('key') is None
  cache.put('key', 'new', freshness.stamp(['a']))
  assert cache.get('key') == 'new'


def test_flush_forgets_everything(freshness):
  cache = kept(freshness)
  freshness.flush()
  assert cache.get('key') is None


def test_changes_that_are_too_many_to_remember_are_taken_for_changes_of_all(freshness, monkeypatch):
  monkeypatch.setattr('leaderboard.api.caches._REMEMBERED', 3)
  cache = kept(freshness)
  for tag in range(3):
    freshness.changed([tag])
  assert cache.get('key') == 'old'
  freshness.changed(['one more'])
  assert cache.get('key') is None


def test_cache_keeps_what_was_used_last_within_its_limits(freshness):
  cache = Cache(freshness, entries=3, weight=10, weigh=len)
  for key, value in (('a', 'xxxx'), ('b', 'xxxx')):
    cache.put(key, value, freshness.stamp())
  assert cache.get('a') == 'xxxx'
  cache.put('c', 'xxxx', freshness.stamp())
  assert [cache.get(key) for key in 'abc'] == ['xxxx', None, 'xxxx']
  cache.put('d', 'x' * 11, freshness.stamp())
  assert cache.get('d') is None and len(cache) == 2
  assert Cache(freshness, entries=0).put('a', 'x', freshness.stamp()) is None


def test_one_call_answers_all_who_ask_meanwhile():
  async def run():
    flights, calls, gate = SingleFlight(60), [], asyncio.Event()

    async def call():
      calls.append(1)
      await gate.wait()
      return len(calls)

    first = [asyncio.create_task(flights.do('key', call)) for _ in range(50)]
    other = asyncio.create_task(flights.do('other', call))
    await asyncio.sleep(0)
    first[0].cancel()   # who goes away does not stop it for the others
    await asyncio.sleep(0)
    gate.set()
    assert set(await asyncio.gather(*first[1:])) == {2}
    assert await other == 2 and len(calls) == 2
    assert await flights.do('key', call) == 3

  asyncio.run(run())


def test_failure_is_shared_and_not_kept():
  async def run():
    flights = SingleFlight(60)

    async def fail():
      await asyncio.sleep(0)
      raise ValueError('no')

    async def succeed():
      return 1

    found = await asyncio.gather(*(flights.do('key', fail) for _ in range(3)),
                                 return_exceptions=True)
    assert [str(error) for error in found] == ['no'] * 3
    assert await flights.do('key', succeed) == 1

  asyncio.run(run())


def test_call_that_began_long_ago_is_not_joined():
  async def run():
    flights, gate = SingleFlight(0), asyncio.Event()

    async def slow():
      await gate.wait()
      return 'old'

    async def quick():
      return 'new'

    first = asyncio.create_task(flights.do('key', slow))
    await asyncio.sleep(0.01)
    assert await flights.do('key', quick) == 'new'
    gate.set()
    assert await first == 'old'

  asyncio.run(run())


@pytest.fixture
def live(redis_url):
  boards = redisio.RedisBoards(redis_url)
  yield boards, Settings(redis=redis_url)
  boards.close()


def counts(client, path=BOARD):
  return {row['item']: row['count'] for row in client.get(path).json()['rows']}


def requests(client, cache, result):
  text = client.get('/metrics').text
  lines = [line for line in text.splitlines()
           if line.startswith(f'topk_cache_requests_total{{cache="{cache}",result="{result}"}}')]
  return float(lines[0].split()[-1]) if lines else 0


def hits(client, cache):
  return requests(client, cache, 'hit')


def connected(client):
  deadline = time.monotonic() + 10
  while 'topk_feed_connected 1.0' not in client.get('/metrics').text:
    assert time.monotonic() < deadline
    time.sleep(0.02)


def settles(look, wanted, secs=1.0):
  """Within a second the answer is another one, and it never goes back."""
  deadline = time.monotonic() + secs
  while look() != wanted:
    assert time.monotonic() < deadline
  assert [look() for _ in range(20)] == [wanted] * 20


def test_change_is_seen_within_a_second(live, make_record):
  boards, settings = live
  boards.apply([make_record({'a': 1})])
  with serving.serving(settings) as client:
    connected(client)
    before = hits(client, 'answers')
    for _ in range(10):
      assert counts(client) == {'a': 1}
    assert hits(client, 'answers') > before
    for round_ in range(2, 40):
      boards.apply([make_record({'a': round_})])
      settles(lambda: counts(client), {'a': round_})
    boards.apply([make_record({'b': 3}, window_start=START + 3600)])
    settles(lambda: counts(client, NEWEST), {'b': 3})
    # The board before is told about too.
    answer = client.get(NEWEST).json()
    assert answer['rows'][0]['movement'] == 'new'
    boards.apply([make_record({'a': 50, 'b': 1})])
    settles(lambda: client.get(NEWEST).json()['rows'][0]['previous_rank'], 2)


def test_watermark_is_seen_within_a_second(live, make_record):
  boards, settings = live
  boards.apply([make_record({'a': 1})])
  boards.publish_watermark('job', START, 0)
  with serving.serving(settings) as client:
    connected(client)
    assert client.get(BOARD).json()['final'] is False
    boards.publish_watermark('job', START + 3600, 0)
    settles(lambda: client.get(BOARD).json()['final'], True, 1.5)


@pytest.mark.slow
def test_all_is_forgotten_when_the_feed_was_broken(live, make_record):
  boards, settings = live
  port = int(settings.redis.split(':')[-1].split('/')[0])
  boards.apply([make_record({'a': 1})])
  with Proxy(port) as proxy, serving.serving(serving.changed(
      settings, redis=f'redis://127.0.0.1:{proxy.port}/0')) as client:
    connected(client)
    assert counts(client) == {'a': 1}
    with proxy.refusing():
      boards.apply([make_record({'a': 2})])
      threading.Event().wait(1.1)
      assert client.get(BOARD).status_code == 503   # not the old answer
    settles(lambda: counts(client) if client.get(BOARD).status_code == 200 else None, {'a': 2},
            10)
    connected(client)
    assert counts(client) == {'a': 2}


@pytest.mark.slow
def test_what_is_asked_again_and_again_is_never_read_while_someone_waits(live, make_record):
  boards, settings = live
  boards.apply([make_record({'a': 1})])
  with serving.serving(serving.changed(settings, cache_secs=4)) as client:
    connected(client)
    found = []
    for secs in (1, 10):   # it is kept for 4 s, and renewed every 3.2
      deadline = time.monotonic() + secs
      while time.monotonic() < deadline:
        assert counts(client) == {'a': 1}
        time.sleep(0.05)
      found.append([requests(client, cache, 'miss') for cache in ('answers', 'boards')])
    (replies, read), (replies_later, read_later) = found
    assert replies_later >= replies + 2   # they grow old, and are made anew
    assert read_later == read


def test_flush_takes_the_token(live, make_record):
  boards, settings = live
  boards.apply([make_record({'a': 1})])
  with serving.serving(serving.changed(settings, admin_token='s3cret')) as client:
    refused = client.post('/v1/caches:flush', headers={'Authorization': 'Bearer wrong'})
    assert (refused.status_code, refused.json()['field']) == (401, 'authorization')
    assert client.post('/v1/caches:flush').status_code == 401
    assert counts(client) == {'a': 1}
    before = hits(client, 'answers')
    flushed = client.post('/v1/caches:flush', headers={'Authorization': 'Bearer s3cret'})
    assert flushed.json() == {'status': 'flushed'}
    assert counts(client) == {'a': 1}
    assert hits(client, 'answers') == before
  with serving.serving(settings) as client:
    assert client.post('/v1/caches:flush',
                       headers={'Authorization': 'Bearer'}).status_code == 401
