"""The client, sync and async: the answers of the service, and what becomes of failures."""
import asyncio
import contextlib
import datetime
import http.server
import json
import threading

import httpx
import pytest
from serving import serving

from leaderboard.api.client import AsyncClient, Client, ProblemError, UnavailableError
from leaderboard.api.settings import Settings
from leaderboard.io.redisio import RedisBoards

JFK = {'tenant': 'JFK', 'window': '1d', 'at': datetime.date(2013, 2, 9)}
# Method, arguments, and the request that must be behind it.
CALLS = [
    ('leaderboard', ('flight',), {**JFK, 'k': 3}, '', {'k': 3}),
    ('member', ('flight', 'LAX'), {**JFK, 'ties': 'dense'}, '/members',
     {'item': 'LAX', 'ties': 'dense'}),
    ('neighbours', ('flight', 'a/b?&'), {**JFK, 'n': 2}, '/neighbours', {'item': 'a/b?&', 'n': 2}),
    ('percentiles', ('flight', [50, 99.9]), JFK, '/percentiles', {'p': ['50', '99.9']}),
    ('distribution', ('flight',), JFK, '/distribution', {}),
    ('compare', ('flight',), {**JFK, 'k': 4, 'with_at': '2013-02-10'}, '/compare',
     {'k': 4, 'with_at': '2013-02-10'}),
    ('trend', ('flight', 'LAX'), {**JFK, 'points': 2}, '/trend', {'item': 'LAX', 'points': 2}),
]


def plain(answer):
  """An answer without what differs from one reading to the next."""
  if isinstance(answer, dict):
    return {name: plain(value) for name, value in answer.items()
            if name not in ('as_of', 'age_secs')}
  return [plain(value) for value in answer] if isinstance(answer, list) else answer


@pytest.fixture
def url(flight_service):
  return str(flight_service.base_url)


@pytest.mark.parametrize(('method', 'args', 'kwargs', 'rest', 'params'), CALLS,
                         ids=[call[0] for call in CALLS])
def test_both_clients_give_the_answer_of_the_service(
    flight_service, url, method, args, kwargs, rest, params):
  answer = flight_service.get(f'/v1/leaderboards/flight{rest}', params={
      'tenant': 'JFK', 'window': '1d', 'at': '2013-02-09', **params})
  assert answer.status_code == 200, answer.text

  async def ask():
    async with AsyncClient(url) as client:
      return await getattr(client, method)(*args, **kwargs)

  with Client(url) as client:
    assert plain(getattr(client, method)(*args, **kwargs)) == plain(answer.json())
  assert plain(asyncio.run(ask())) == plain(answer.json())


def test_batch_of_members(url):
  items = ['LAX', 'never', 'BOS']

  async def ask():
    async with AsyncClient(url) as client:
      return await client.members('flight', items, **JFK)

  with Client(url) as client:
    answer = client.members('flight', items, **JFK)
  assert [member['item'] for member in answer['members']] == items
  assert plain(asyncio.run(ask())) == plain(answer)


def test_pages_cover_the_board_once(flight_service, url):
  async def pages():
    async with AsyncClient(url) as client:
      return [page async for page in client.pages('aircraft', k=17, **JFK)]

  with Client(url) as client:
    found = list(client.pages('aircraft', k=17, **JFK))
    whole = client.leaderboard('aircraft', k=1000, **JFK)
    back = client.leaderboard('aircraft', k=17, cursor=found[1]['previous'], **JFK)
  assert [row['item'] for page in found for row in page['rows']] == [
      row['item'] for row in whole['rows']]
  assert len(found) > 2 and back['rows'] == found[0]['rows']
  assert plain(asyncio.run(pages())) == plain(found)


def test_what_there_is(url):
  with Client(url) as client:
    assert client.tenants() == {'tenants': ['EWR', 'JFK', 'LGA']}
    boards = client.event_types(tenant='JFK')['boards']
  assert {(board['tenant'], board['event_type']) for board in boards} == {
      ('JFK', kind) for kind in ('aircraft', 'flight', 'route_carrier')}
  assert all({size['size'] for size in board['windows']} == {'5m', '1h', '1d'}
             for board in boards)


def test_moments_keep_their_time_zone(url):
  zone = datetime.timezone(datetime.timedelta(hours=-5))
  at = datetime.datetime(2013, 2, 8, 20, 30, tzinfo=zone)
  with Client(url) as client:
    board = client.leaderboard('flight', tenant='JFK', window='1d', at=at)
    assert board['from'] == '2013-02-09T00:00:00Z'
    with pytest.raises(ValueError, match='must have a time zone'):
      client.leaderboard('flight', at=at.replace(tzinfo=None))


def test_problem_of_the_service_is_raised_with_field_and_remedy(url):
  with Client(url) as client, pytest.raises(ProblemError, match='at: must be') as found:
    client.member('flight', 'LAX', tenant='JFK', at='soon')
  assert (found.value.status, found.value.field, found.value.value) == (422, 'at', 'soon')
  assert found.value.remedy and found.value.remedy in str(found.value)


class Scripted(http.server.BaseHTTPRequestHandler):
  """Answers one request after the other as the server's script says."""
  protocol_version = 'HTTP/1.1'

  def do_GET(self):
    self.server.seen.append(dict(self.headers))
    status, headers, body = self.server.script.pop(0)
    if status is None:   # hangs up
      self.close_connection = True
      return
    self.send_response(status)
    for name, value in headers.items():
      self.send_header(name, value)
    if 'Content-Length' not in headers and 'text/event-stream' not in headers.values():
      self.send_header('Content-Length', str(len(body)))
    self.send_header('Connection', 'close')
    self.end_headers()
    self.wfile.write(body)
    self.close_connection = True

  def log_message(self, *_):
    pass


@contextlib.contextmanager
def scripted(*script):
  """A server with a script; yields it, with its `url` and the headers that it has `seen`."""
  server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Scripted)
  server.script, server.seen = list(script), []
  server.url = f'http://127.0.0.1:{server.server_port}'
  thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
  thread.start()
  try:
    yield server
  finally:
    server.shutdown()
    server.server_close()
    thread.join()


BUSY = (503, {'Retry-After': '0'}, b'{"detail": "no store answers", "status": 503}')
GONE = (None, {}, b'')
GOOD = (200, {'Content-Type': 'application/json'}, b'{"boards": []}')


async def ask_async(url, retries):
  async with AsyncClient(url, retries=retries) as client:
    return await client.event_types()


def ask_sync(url, retries):
  with Client(url, retries=retries) as client:
    return client.event_types()


@pytest.mark.slow
@pytest.mark.parametrize('ask', [ask_sync, lambda *args: asyncio.run(ask_async(*args))],
                         ids=['sync', 'async'])
def test_passing_failures_are_tried_again_and_lasting_ones_told(ask):
  with scripted(BUSY, GONE, GOOD) as server:
    assert ask(server.url, 2) == {'boards': []}
    assert len(server.seen) == 3
  with scripted(BUSY, BUSY) as server, pytest.raises(UnavailableError, match='no store answers'):
    ask(server.url, 1)
  with scripted(GONE) as server, pytest.raises(UnavailableError, match='out of reach'):
    ask(server.url, 0)
  with scripted((502, {}, b'<html>bad gateway'), GOOD) as server:
    assert ask(server.url, 1) == {'boards': []}
  with scripted((418, {}, b'<html>')) as server, pytest.raises(ProblemError, match='418'):
    ask(server.url, 5)


def stream(*events):
  text = ''.join(f'id: {ident}\nevent: {name}\ndata: {json.dumps(data)}\n\n'
                 for ident, name, data in events)
  return 200, {'Content-Type': 'text/event-stream'}, b': hello\n\n' + text.encode()


def follow_sync(url, number, **params):
  with Client(url, retries=1) as client:
    changes = client.changes('play', window='1h', **params)
    return [next(changes) for _ in range(number)]


def follow_async(url, number, **params):
  async def follow():
    async with AsyncClient(url, retries=1) as client:
      events = []
      async for event in client.changes('play', window='1h', **params):
        events.append(event)
        if len(events) == number:
          return events

  return asyncio.run(follow())


@pytest.mark.slow
@pytest.mark.parametrize('follow', [follow_sync, follow_async])
def test_changes_go_on_behind_the_last_event_after_a_broken_line(follow):
  first, second, third = ('1-0', 'status', {'connected': True}), ('1-1', 'board', {'x': 'é\n'}), (
      '2-0', 'reset', {})
  with scripted(stream(first, second), GONE, stream(third)) as server:
    events = follow(server.url, 3, last_id='0-7')
    assert [(event['id'], event['event'], event['data']) for event in events] == [
        first, second, third]
    assert [headers.get('Last-Event-ID') for headers in server.seen] == ['0-7', '1-1', '1-1']
  with scripted((422, {}, b'{"detail": "at: no", "field": "at"}')) as server, pytest.raises(
      ProblemError, match='at: no'):
    follow(server.url, 1)
  with scripted(GONE, GONE) as server, pytest.raises(UnavailableError):
    follow(server.url, 1)


def test_changes_of_the_service_arrive(redis_url, make_record):
  store = RedisBoards(redis_url)
  with serving(Settings(redis=redis_url)) as service, Client(str(service.base_url)) as client:
    changes = client.changes('play', tenant='acme', window='1h', k=5)
    first = next(changes)
    assert (first['event'], first['data']) == ('status', {'connected': True})
    store.apply([make_record({'a': 2, 'b': 1})])
    second = next(changes)
    assert second['event'] == 'board' and second['data']['since'] is None
    assert [(row['item'], row['count']) for row in second['data']['rows']] == [('a', 2), ('b', 1)]
    store.apply([make_record({'b': 4, 'a': 2})])
    third = next(changes)
    assert third['data']['since'] == second['data']['revision']
    assert [(row['rank'], row['item']) for row in third['data']['rows']] == [(1, 'b'), (2, 'a')]
    # Another one takes up where this one stood: a board that it does not hold comes whole.
    again = client.changes('play', tenant='acme', window='1h', k=5, last_id=second['id'])
    events = [next(again), next(again)]
    (board,) = [event for event in events if event['event'] == 'board']
    assert (board['id'], board['data']['since']) == (third['id'], None)
    assert len(board['data']['rows']) == 2
    changes.close()
    again.close()
  store.close()


def test_client_takes_a_transport_of_its_own_and_leaves_the_event_type_whole():
  seen = []

  def answer(request):
    seen.append(request.url.raw_path)
    return httpx.Response(200, json={})

  http_client = httpx.Client(transport=httpx.MockTransport(answer), base_url='http://boards/api')
  with Client('', http=http_client) as client:
    client.distribution('a/b c?', tenant='x&y')
  assert seen == [b'/api/v1/leaderboards/a%2Fb%20c%3F/distribution?tenant=x%26y']
