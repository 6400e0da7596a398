"""Leaderboards over HTTP: every answer is that of an independent query, by whichever path."""
import gzip
import random

import flighttruth
import httpx
import pytest
import serving
import zstandard
from serving import END_SECS, FIRST_SECS

from leaderboard.io.flags import utc

SIZES = {'5m': 300, '1h': 3600, '1d': 86_400}
TENANTS, TYPES = ('JFK', 'EWR', 'LGA'), ('flight', 'aircraft', 'route_carrier')


def ask(client, event_type='flight', status=200, **params):
  params = {name.rstrip('_'): value for name, value in params.items()}
  answer = client.get(f'/v1/leaderboards/{event_type}', params=params)
  assert answer.status_code == status, (params, answer.text)
  return answer.json()


@pytest.mark.parametrize('path', ['auto', 'live', 'history', 'exact'])
def test_every_window_of_a_day_says_what_the_events_say(flight_service, path):
  asked = 0
  for label, secs in SIZES.items():
    rng = random.Random(label)
    starts = range(FIRST_SECS - FIRST_SECS % secs, END_SECS, secs)
    for start in rng.sample(starts, min(len(starts), 12)):
      tenant, kind = rng.choice(TENANTS), rng.choice(TYPES)
      true = flighttruth.ranking(tenant, kind, start, start + secs)
      where = {'tenant': tenant, 'window': label, 'at': utc(start + rng.randrange(secs)),
               'path': path}
      if not true:
        assert ask(flight_service, kind, 404, **where)['field'] == 'at'
        continue
      board = ask(flight_service, kind, k=1000, **where)
      assert (board['from'], board['to']) == (utc(start), utc(start + secs))
      assert board['path'] == ('live' if path == 'auto' else path)
      assert board['coverage']['complete'] and board['degraded'] is None
      flighttruth.check(board)
      assert len(board['rows']) == len(true)
      asked += 1
  assert asked > 10


@pytest.mark.parametrize(('path', 'grid'), [
    ('auto', 300), ('history', 300), ('exact', 300), ('auto', 1), ('exact', 1)])
def test_any_range_says_what_the_events_say(flight_service, path, grid):
  rng = random.Random(f'{path}{grid}')
  nonempty = 0
  for _ in range(40):
    start, end = sorted(moment - moment % grid for moment in rng.sample(
        range(FIRST_SECS - 90_000, END_SECS + 90_000), 2))
    if start == end:
      continue
    tenant, kind = rng.choice(TENANTS), rng.choice(TYPES)
    if not flighttruth.ranking(tenant, kind, start, end):
      continue
    board = ask(flight_service, kind, tenant=tenant, from_=utc(start), to=utc(end), k=1000,
                path=path)
    flighttruth.check(board, start, end)
    assert board['resolution'] == 'exact' and board['window'] is None
    assert board['degraded'] is None
    assert (board['from'], board['to']) == (utc(start), utc(end))
    assert board['path'] == ('exact' if path == 'exact' or (
        grid == 1 and (start % 300 or end % 300)) else 'history')
    nonempty += 1
  assert nonempty > 20


def test_range_takes_the_coarsest_windows_and_lists_what_is_missing(flight_service):
  board = ask(flight_service, tenant='JFK', from_='2013-02-08T22:00Z', to='2013-02-11T01:05Z')
  counts = {each['size']: each['count'] for each in board['coverage']['windows']}
  assert counts['1d'] == 2 and counts['1h'] <= 3 and counts.get('5m', 0) <= 1
  flighttruth.check(board)
  board = ask(flight_service, tenant='JFK', from_='2013-02-01', to='2013-02-10')
  assert board['coverage'] == {
      'complete': False, 'windows': [{'size': '1d', 'count': 2}],
      'missing': [{'from': '2013-02-01T00:00:00Z', 'to': '2013-02-08T00:00:00Z'}],
      'missing_windows': 7 * 288}
  flighttruth.check(board)


def test_window_that_is_not_stored_is_merged(flight_service):
  board = ask(flight_service, tenant='JFK', window='1w', at='2013-02-10', k=100)
  assert (board['from'], board['to']) == ('2013-02-04T00:00:00Z', '2013-02-11T00:00:00Z')
  assert board['path'] == 'history' and board['window'] == '1w'
  flighttruth.check(board)
  berlin = ask(flight_service, tenant='JFK', window='1d@Europe/Berlin', at='2013-02-10T12:00Z',
               k=100, path='history')
  assert (berlin['from'], berlin['to']) == ('2013-02-09T23:00:00Z', '2013-02-10T23:00:00Z')
  flighttruth.check(berlin)
  newest = ask(flight_service, tenant='JFK', window='1mo')
  assert newest['from'] == '2013-02-01T00:00:00Z'
  flighttruth.check(newest)


def test_movement_is_told_against_the_window_before(flight_service):
  board = ask(flight_service, tenant='JFK', window='1d', at='2013-02-10', k=20)
  before = [item for item, _ in flighttruth.ranking('JFK', 'flight', 1_360_368_000, 1_360_454_400)]
  assert board['compared_with'] == {
      'from': '2013-02-09T00:00:00Z', 'to': '2013-02-10T00:00:00Z', 'complete': True}
  for row in board['rows']:
    rank = before.index(row['item']) + 1 if row['item'] in before else None
    assert row['previous_rank'] == rank
    assert row['movement'] == ('new' if rank is None else rank - row['rank'])
  assert {type(row['movement']) for row in board['rows']} == {int, str}


def test_pages_follow_each_other_and_lead_back(flight_service):
  where = {'tenant': 'JFK', 'window': '1d', 'at': '2013-02-09', 'k': 7, 'ties': 'competition'}
  pages = [ask(flight_service, **where)]
  while pages[-1]['next']:
    pages.append(ask(flight_service, cursor=pages[-1]['next'], **where))
  rows = [row for page in pages for row in page['rows']]
  true = flighttruth.ranking('JFK', 'flight', 1_360_368_000, 1_360_454_400)
  assert [(row['item'], row['count']) for row in rows] == true
  counts = [count for _, count in true]
  assert [row['rank'] for row in rows] == [counts.index(count) + 1 for count in counts]
  assert pages[0]['previous'] is None and not pages[1]['moved']
  back = ask(flight_service, cursor=pages[2]['previous'], **where)
  assert back['rows'] == pages[1]['rows']
  where['at'] = '2013-02-10'
  refused = ask(flight_service, status=422, cursor=pages[0]['next'], **where)
  assert refused['field'] == 'cursor'


def test_content_that_the_client_has_is_not_sent_again(flight_service):
  path = '/v1/leaderboards/flight?tenant=JFK&window=1d&at=2013-02-09&k=30'
  first = flight_service.get(path)
  again = flight_service.get(path, headers={'If-None-Match': f'"x", {first.headers["etag"]}'})
  assert (again.status_code, again.content) == (304, b'')
  assert again.headers['etag'] == first.headers['etag']
  assert again.headers['cache-control'] == 'no-cache'
  other = flight_service.get(path.replace('k=30', 'k=29'),
                             headers={'If-None-Match': first.headers['etag']})
  assert other.status_code == 200 and other.headers['etag'] != first.headers['etag']


def test_answers_are_packed_as_the_client_can_read_them(flight_service):
  path = '/v1/leaderboards/flight?tenant=JFK&window=1d&at=2013-02-09&k=30'
  unpack = {'gzip': gzip.decompress, 'zstd': zstandard.ZstdDecompressor().decompress}
  for accepted, coding in (('gzip, zstd', 'zstd'), ('gzip', 'gzip'), ('zstd;q=0, gzip', 'gzip'),
                           ('identity', None), ('*;q=0', None)):
    with flight_service.stream('GET', path, headers={'Accept-Encoding': accepted}) as answer:
      body = b''.join(answer.iter_raw())
    assert answer.headers.get('content-encoding') == coding
    assert 'Accept-Encoding' in answer.headers['vary']
    text = unpack[coding](body) if coding else body
    assert len(httpx.Response(200, content=text).json()['rows']) == 30
    assert not coding or len(body) < len(text) / 2
  small = flight_service.get('/healthz', headers={'Accept-Encoding': 'gzip'})
  assert 'content-encoding' not in small.headers


@pytest.mark.parametrize(('params', 'field'), [
    ({'k': '0'}, 'k'), ({'k': '1001'}, 'k'), ({'k': 'ten'}, 'k'), ({'k': '9' * 400}, 'k'),
    ({'window': '7x'}, 'window'), ({'window': '1d@Mars/Olympus'}, 'window'),
    ({'at': 'yesterday'}, 'at'), ({'at': '1969-01-01'}, 'at'), ({'at': '2013-02-08T00:00:00.5Z'},
                                                                 'at'),
    ({'at': '2013-02-30'}, 'at'), ({'from': '2013-02-09'}, 'to'), ({'to': '2013-02-09'}, 'from'),
    ({'from': '2013-02-09', 'to': '2013-02-08'}, 'to'),
    ({'from': '2013-02-09', 'to': '2013-02-09'}, 'to'),
    ({'from': '2013-02-08', 'to': '2013-02-09', 'window': '1h'}, 'window'),
    ({'from': '2013-02-08', 'to': '2013-02-09', 'at': '2013-02-08'}, 'at'),
    ({'from': '2013-02-08', 'to': '2013-02-09', 'path': 'live'}, 'path'),
    ({'path': 'guess'}, 'path'), ({'ties': 'none'}, 'ties'), ({'tenant': ''}, 'tenant'),
    ({'tenant': 'a\0b'}, 'tenant'), ({'tenant': 'x' * 65}, 'tenant'), ({'cursor': 'zzz'}, 'cursor'),
    ({'tennant': 'JFK'}, 'tennant'), ({'k': ['1', '2']}, 'k')])
def test_wrong_parameter_is_refused_by_its_name(flight_service, params, field):
  answer = flight_service.get('/v1/leaderboards/flight', params={'tenant': 'JFK', **params})
  assert answer.status_code == 422
  assert answer.headers['content-type'] == 'application/problem+json'
  problem = answer.json()
  assert problem['field'] == field and problem['status'] == 422
  assert problem['title'] == 'Unprocessable Content'
  assert problem['detail'].startswith(field) and problem['remedy']
  assert len(answer.content) < 1_000


def test_long_query_path_and_body_are_refused(flight_service):
  for path, field in (('/v1/leaderboards/flight?tenant=' + 'x' * 9_000, 'query'),
                      ('/v1/leaderboards/' + 'x' * 3_000, 'path')):
    answer = flight_service.get(path)
    assert (answer.status_code, answer.json()['field']) == (414, field)
  answer = flight_service.post('/v1/leaderboards/flight/members:batch', content=b'x' * (5 << 20))
  assert (answer.status_code, answer.json()['field']) == (413, 'body')

  def pieces():
    for _ in range(50):
      yield b'[' * 100_000

  answer = flight_service.post('/v1/leaderboards/flight/members:batch', content=pieces())
  assert (answer.status_code, answer.json()['field']) == (413, 'body')


def test_odd_edges_without_an_archive_are_refused_with_the_nearest_ones(flight_stores):
  with serving.serving(serving.changed(flight_stores, parquet=None)) as client:
    problem = ask(client, status=422, tenant='JFK', from_='2013-02-08', to='2013-02-09T10:03:20Z')
    assert problem['field'] == 'to' and problem['value'] == '2013-02-09T10:03:20Z'
    assert problem['remedy'] == 'take 2013-02-09T10:00:00Z or 2013-02-09T10:05:00Z'
    assert ask(client, status=422, tenant='JFK', window='1d', path='exact')['field'] == 'path'


def test_archive_alone_answers_and_says_that_it_is_not_checked(flight_stores):
  with serving.serving(serving.changed(flight_stores, redis=None, postgres=None)) as client:
    board = ask(client, tenant='JFK', window='1d', at='2013-02-09', k=100)
    flighttruth.check(board)
    assert board['path'] == 'exact' and not board['coverage']['complete']
    assert 'PostgreSQL' in board['degraded']


def test_slash_in_an_event_type_is_part_of_its_name(flight_service):
  problem = flight_service.get('/v1/leaderboards/a%2Fb?tenant=JFK').json()
  assert problem['status'] == 404 and "event type 'a/b'" in problem['detail']
