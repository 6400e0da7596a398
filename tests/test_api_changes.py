"""Changes of boards as server-sent events, over a real Redis."""
import contextlib
import json

import httpx
import pytest
import redis
import serving
from servers.proxy import Proxy

from leaderboard.api import changes
from leaderboard.api.settings import Settings
from leaderboard.io import embedded, redisio

START = 1_356_998_400   # 2013-01-01T00:00Z
PATH = '/v1/leaderboards/play/changes'


class Follower:
  """The events of a stream, one by one."""

  def __init__(self, client, last_event_id=None, **params):
    headers = {'Last-Event-ID': last_event_id} if last_event_id else {}
    self._context = client.stream(
        'GET', PATH, params={'tenant': 'acme', 'window': '1h', **params}, headers=headers)

  def __enter__(self):
    self.answer = self._context.__enter__()
    assert self.answer.status_code == 200, self.answer.read()
    self._lines = self.answer.iter_lines()
    return self

  def __exit__(self, *error):
    self._context.__exit__(*error)

  def next(self):
    """(event, data, id)."""
    fields = {}
    for line in self._lines:
      if not line:
        return fields['event'], json.loads(fields['data']), fields.get('id')
      name, _, value = line.partition(': ')
      fields[name] = value
    raise EOFError

  def next_of(self, name):
    while True:
      event, data, ident = self.next()
      if event == name:
        return data, ident


def test_a_change_comes_with_all_rows_and_then_with_those_that_changed(
    service, boards, make_record):
  boards.apply([make_record({'a': 5, 'b': 3, 'c': 1})])
  with Follower(service, k=2) as follower:
    assert follower.next()[:2] == ('status', {'connected': True})
    boards.apply([make_record({'a': 5, 'b': 4, 'c': 1})])
    first, _ = follower.next_of('board')
    assert (first['since'], first['events'], first['gone']) == (None, 10, [])
    assert [(row['rank'], row['item'], row['count']) for row in first['rows']] == [
        (1, 'a', 5), (2, 'b', 4)]
    boards.apply([make_record({'a': 5, 'b': 4, 'c': 6})])
    second, _ = follower.next_of('board')
  assert second['since'] == {'generation': 0, 'events': 10}
  assert second['revision'] == {'generation': 0, 'events': 15}
  assert (second['events_added'], second['ranks_moved'], second['gone']) == (5, 2, ['b'])
  assert [(row['rank'], row['item'], row['count']) for row in second['rows']] == [
      (1, 'c', 6), (2, 'a', 5)]


def test_events_lead_to_the_board_that_is_stored(service, boards, make_record):
  with Follower(service, k=3) as follower:
    follower.next()
    held, revision = None, None
    for step in range(1, 9):
      record = make_record({'abcdef'[(step + place) % 6]: 10 * step + place for place in range(6)})
      boards.apply([record])
      event, _ = follower.next_of('board')
      if event['since'] is None:
        held = event['rows']
      else:
        assert event['since'] == revision
        changed = {row['item'] for row in event['rows']} | set(event['gone'])
        held = sorted([row for row in held if row['item'] not in changed] + event['rows'],
                      key=lambda row: row['rank'])
      revision = event['revision']
      assert [(row['rank'], row['item'], row['count']) for row in held] == [
          (rank, row.item, row.count) for rank, row in enumerate(record.rows[:3], 1)]


def test_who_comes_back_is_told_what_it_missed(service, boards, make_record):
  with Follower(service) as follower:
    follower.next()
    boards.apply([make_record({'a': 1})])
    _, seen = follower.next_of('board')
  boards.apply([make_record({'a': 2}), make_record({'b': 7}, window_start=START + 3600)])
  with Follower(service, last_event_id=seen) as follower:
    events = [follower.next_of('board') for _ in range(2)]
  assert [(event['from'], event['since'], event['rows'][0]['count']) for event, _ in events] == [
      ('2013-01-01T00:00:00Z', None, 2), ('2013-01-01T01:00:00Z', None, 7)]
  assert seen < events[0][1] < events[1][1]


def test_an_id_that_left_the_capped_stream_is_a_reset(service, boards, redis_url, make_record):
  boards.apply([make_record({'a': 1}), make_record({'a': 2})])
  with redis.Redis.from_url(redis_url, decode_responses=True) as client:
    key = f'{redisio.family("acme", "play", "1h")}:changes'
    first = client.xrange(key)[0][0]
    boards.apply([make_record({'a': 3})])
    client.xtrim(key, maxlen=1, approximate=False)
  with Follower(service, last_event_id=first) as follower:
    _, last = follower.next_of('reset')
  # From there on it can be followed.
  boards.apply([make_record({'a': 4})])
  with Follower(service, last_event_id=last) as follower:
    event, _ = follower.next_of('board')
  assert event['rows'][0]['count'] == 4


def test_an_id_of_another_stream_is_a_reset(service, boards, make_record):
  boards.apply([make_record({'a': 1})])
  with Follower(service, last_event_id='9999999999999-0') as follower:
    assert follower.next_of('reset')


def test_many_boards_at_once_are_a_reset(service, boards, make_record):
  with Follower(service) as follower:
    _, _, seen = follower.next()
  boards.apply([make_record({'a': 1}, window_start=START + 3600 * hour) for hour in range(60)])
  with Follower(service, last_event_id=seen) as follower:
    assert follower.next_of('reset')


def test_only_the_board_of_a_moment_is_told_where_one_is_named(service, boards, make_record):
  with Follower(service, at='2013-01-01T00:30:00Z') as follower:
    follower.next()
    boards.apply([make_record({'b': 7}, window_start=START + 3600)])
    boards.apply([make_record({'a': 1})])
    event, _ = follower.next_of('board')
  assert (event['from'], event['rows'][0]['item']) == ('2013-01-01T00:00:00Z', 'a')


def test_a_new_generation_begins_anew(service, boards, make_record):
  with Follower(service) as follower:
    follower.next()
    boards.apply([make_record({'a': 5})])
    follower.next_of('board')
    boards.apply([make_record({'a': 3}, generation=1)])
    event, _ = follower.next_of('board')
  assert event['since'] is None
  assert (event['revision'], event['rows'][0]['count']) == ({'generation': 1, 'events': 3}, 3)


def test_all_followers_of_a_family_are_told(service, boards, make_record):
  with Follower(service) as one, Follower(service, k=1) as other:
    one.next(), other.next()
    boards.apply([make_record({'a': 5, 'b': 2})])
    assert [len(follower.next_of('board')[0]['rows']) for follower in (one, other)] == [2, 1]


@pytest.mark.slow
def test_a_redis_that_restarts_is_told_and_nothing_is_missed(tmp_path, make_record):
  server = embedded.start_redis(tmp_path)
  with Proxy(port_of(server)) as proxy, serving.serving(
      Settings(redis=f'redis://127.0.0.1:{proxy.port}/0')) as client, Follower(client) as follower:
    boards = redisio.RedisBoards(f'redis://127.0.0.1:{proxy.port}/0')
    assert follower.next()[:2] == ('status', {'connected': True})
    boards.apply([make_record({'a': 1})])
    follower.next_of('board')
    server.stop()
    assert follower.next()[:2] == ('status', {'connected': False})
    with embedded.start_redis(tmp_path) as server:
      proxy.server = port_of(server)
      boards.apply([make_record({'a': 2})])
      told = [follower.next()[:2] for _ in range(2)]
    boards.close()
  assert told[0] == ('status', {'connected': True})
  assert (told[1][0], told[1][1]['rows'][0]['count']) == ('board', 2)


def port_of(server):
  return int(server.url.rpartition(':')[2].partition('/')[0])


def test_a_service_that_stops_ends_its_streams(redis_url):
  with contextlib.ExitStack() as stack:
    with serving.serving(Settings(redis=redis_url)) as client:
      # The other client is closed before the service is told to stop.
      own = stack.enter_context(httpx.Client(base_url=client.base_url, timeout=20))
      follower = stack.enter_context(Follower(own))
      follower.next()
    with pytest.raises(EOFError):
      follower.next()


def test_signs_of_life_come_when_nothing_happens(service, monkeypatch):
  monkeypatch.setattr(changes, 'BEAT_SECS', 0.05)
  with Follower(service) as follower:
    assert [follower.next()[:2] for _ in range(3)] == [('status', {'connected': True})] * 3


@pytest.mark.parametrize('params, headers, field', [
    ({'k': 0}, {}, 'k'), ({'k': 1001}, {}, 'k'), ({'window': '7x'}, {}, 'window'),
    ({'at': 'yesterday'}, {}, 'at'), ({'tenant': 'a\0b'}, {}, 'tenant'),
    ({}, {'Last-Event-ID': '12'}, 'Last-Event-ID'),
    ({}, {'Last-Event-ID': '9' * 41}, 'Last-Event-ID')])
def test_a_wrong_parameter_is_refused_by_name(service, params, headers, field):
  answer = service.get(PATH, params=params, headers=headers)
  assert (answer.status_code, answer.json()['field'].lower()) == (422, field.lower())


def test_without_redis_nothing_is_followed(tmp_path):
  with serving.serving(Settings(parquet=str(tmp_path))) as client:
    answer = client.get(PATH)
  assert (answer.status_code, answer.json()['type']) == (404, 'urn:topk-leaderboard:no_changes')
