"""Requests of nobody's good will: every parameter takes what it is given for text, huge ones are
refused before they cost anything, and the stores stay as they are."""
import http.client
import itertools
import json
import socket
import urllib.parse

import psycopg
import pytest
import redis

BOARD = '/v1/leaderboards/flight'
GOOD = {'tenant': 'JFK', 'window': '1d', 'at': '2013-02-09'}
RANGE = {'tenant': 'JFK', 'from': '2013-02-09', 'to': '2013-02-10'}
# Path -> parameters that are good together; each is spoilt in turn.
ENDPOINTS = {
    '': [{**GOOD, 'k': '3', 'ties': 'dense', 'path': 'auto'},
         {**RANGE, 'cursor': '', 'movement': 'true'}],
    '/members': [{**GOOD, 'item': 'LAX', 'ties': 'dense', 'path': 'history'}],
    '/neighbours': [{**GOOD, 'item': 'LAX', 'n': '2'}],
    '/percentiles': [{**GOOD, 'p': '50'}, {**RANGE, 'p': '50'}],
    '/distribution': [GOOD, {**RANGE, 'path': 'exact'}],
    '/compare': [{**GOOD, 'k': '3', 'with_at': '2013-02-10'},
                 {**RANGE, 'with_from': '2013-02-08', 'with_to': '2013-02-09'}],
    '/trend': [{**GOOD, 'item': 'LAX', 'points': '2'}, {**RANGE, 'item': 'LAX', 'window': '1h'}],
}
OF_AN_ITEM = ('/members', '/neighbours', '/trend')
INJECTIONS = [
    "' or '1'='1", "'; drop table board_windows; --", "') union select null, null --",
    '%27%20or%201', '$$; select pg_sleep(30); $$', "\\'; delete from board_windows; --",
    '{JFK}:flight', '*', '[a-z]*', '0\r\nFLUSHALL\r\n', '"); redis.call("FLUSHALL") --',
    "return redis.call('KEYS','*')", '%00', '\x00', '../../etc/passwd', "read_csv('/etc/passwd')",
    '{{7*7}}', '${jndi:ldap://x}', '<script>alert(1)', 'é' * 30, '\U0001f6eb', '1e999', '-1',
    '0x10', 'NaN', '99999999999999999999', 'true', '[]', '']


@pytest.fixture
def contents(flight_stores):
  """() -> what the stores hold, in short."""
  def read():
    with (redis.Redis.from_url(flight_stores.redis) as client,
          psycopg.connect(flight_stores.postgres) as connection):
      boards = connection.execute('select count(*), sum(events), max(updated_at) '
                                  'from board_windows').fetchone()
      return boards, sum(1 for key in client.scan_iter('topk:{*') if b':cache:' not in key)

  return read


def send(service, method, path, **kwargs):
  answer = service.request(method, path, **kwargs)
  assert answer.status_code < 500, (path, kwargs, answer.text)
  if answer.status_code >= 400:
    problem = answer.json()
    assert answer.headers['content-type'] == 'application/problem+json'
    assert problem['status'] == answer.status_code and problem['detail']
  return answer


@pytest.mark.slow
def test_every_parameter_takes_code_for_text(flight_service, contents):
  before = contents()
  tried = 0
  for rest, sets in ENDPOINTS.items():
    for params in sets:
      for name, payload in itertools.product(params, INJECTIONS):
        answer = send(flight_service, 'GET', BOARD + rest, params={**params, name: payload})
        tried += 1
        if name in ('tenant', 'window', 'path', 'ties') and payload != '':
          assert answer.status_code in (404, 422), (rest, name, payload, answer.text)
        if name == 'item' and answer.status_code == 200 and 'member' in answer.json():
          assert answer.json()['member']['upper'] == 0
        if answer.status_code == 422:
          assert answer.json()['field'] in params or answer.json()['field'] == 'to', (
              rest, name, payload, answer.text)
  for payload in INJECTIONS:
    path = '/v1/leaderboards/' + urllib.parse.quote(payload, safe='')
    answer = send(flight_service, 'GET', path, params=GOOD)
    assert answer.status_code in (404, 422), (payload, answer.text)
    answer = send(flight_service, 'POST', f'{BOARD}/members:batch', params=GOOD,
                  json={'items': [payload]})
    assert answer.status_code == 422 or answer.json()['members'][0]['upper'] == 0
  assert tried > 500
  assert contents() == before


def raw(service, *chunks):
  """Sends bytes; returns the status and the body of the answer."""
  url = service.base_url
  with socket.create_connection((url.host, url.port), 30) as line:
    for chunk in chunks:
      line.sendall(chunk)
    answer = http.client.HTTPResponse(line)
    answer.begin()
    return answer.status, json.loads(answer.read())


@pytest.mark.parametrize('name', ['tenant', 'item', 'window', 'at', 'cursor', 'k', 'unheard_of'])
def test_query_of_ten_megabytes_is_refused(flight_service, name):
  status, problem = raw(flight_service, f'GET {BOARD}?{name}='.encode(), b'x' * 10_000_000,
                        b' HTTP/1.1\r\nHost: x\r\n\r\n')
  assert (status, problem['status'], problem['field']) == (414, 414, 'query') and problem['remedy']
  assert len(problem['value']) < 500
  answer = send(flight_service, 'GET', BOARD, params={**GOOD, name: 'x' * 20_000})
  assert (answer.status_code, answer.json()['field']) == (414, 'query')


def test_other_endless_or_broken_requests_are_refused(flight_service):
  start = f'GET {BOARD} HTTP/1.1\r\nHost: x\r\n'.encode()
  for chunks, status, field in (
      ([b'GET /', b'x' * 1_000_000], 414, 'path'),
      ([b'GET /?' + b'x' * 100_000 + b' HTTP/1.1\r\nHost: x\r\n\r\n'], 414, 'query'),
      ([start, b'Cookie: ', b'x' * 1_000_000], 431, 'headers'),
      ([start, b'A: b\r\n' * 100_000], 431, 'headers'),
      ([b'GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n'], 400, 'path'),
      ([b'nonsense\r\n\r\n'], 400, 'path')):
    found, problem = raw(flight_service, *chunks)
    assert (found, problem['status'], problem['field']) == (status, status, field), problem
  assert flight_service.get('/v1/leaderboards/flight', params=GOOD).status_code == 200


def test_body_of_ten_megabytes_is_refused(flight_service):
  path = f'{BOARD}/members:batch'
  for content in (b'x' * 10_000_000, (b'x' * 100_000 for _ in range(100))):   # told, and in chunks
    answer = send(flight_service, 'POST', path, params=GOOD, content=content)
    assert (answer.status_code, answer.json()['field']) == (413, 'body'), answer.text
  for content, status in ((b'[' * 100_000, 400), (b'{"items": ["\\ud800"]}', 422), (b'', 422),
                          (b'{"items": [' + b'"a",' * 5000 + b'"a"]}', 422), (b'\xff\xfe', 422),
                          (b'{"items": ["a"], "items": [1]}', 422), (b'null', 422)):
    answer = send(flight_service, 'POST', path, params=GOOD, content=content,
                  headers={'Content-Type': 'application/json'})
    assert answer.status_code == status, (content[:40], answer.text)
    assert answer.json()['field'].split('.')[0] in ('body', 'items'), answer.text


@pytest.mark.parametrize('k', ['0', '-1', '1001', '1e3', '2.5', str(2**31), str(2**64), 'x' * 5000])
def test_absurd_numbers_name_their_field(flight_service, k):
  for rest, name in (('', 'k'), ('/neighbours', 'n'), ('/compare', 'k'), ('/trend', 'points')):
    item = {'item': 'LAX'} if rest in OF_AN_ITEM else {}
    answer = send(flight_service, 'GET', BOARD + rest, params={**GOOD, **item, name: k})
    assert (answer.status_code, answer.json()['field']) == (422, name), answer.text


@pytest.mark.parametrize('rest', [
    '', '/members', '/percentiles', '/distribution', '/compare', '/trend'])
def test_reversed_and_absurd_ranges_name_their_field(flight_service, rest):
  for start, end, field in (
      ('2013-02-10', '2013-02-09', 'to'), ('2013-02-10', '2013-02-10', 'to'),
      ('1999-12-31', '2013-02-10', 'from'), ('2013-02-09', '2100-01-02', 'to'),
      ('0001-01-01', '9999-12-31', 'from'), ('2013-02-30', '2013-03-01', 'from'),
      ('2013-02-09T25:00', '2013-03-01', 'from'), ('now-1d', 'now', 'from'),
      ('2013-02-09', '', 'to')):
    item = {'item': 'LAX'} if rest in OF_AN_ITEM else {}
    answer = send(flight_service, 'GET', BOARD + rest, params={
        'tenant': 'JFK', 'from': start, 'to': end, **item})
    assert (answer.status_code, answer.json()['field']) == (422, field), answer.text


def test_forged_cursors_are_refused(flight_service):
  for cursor in ('x', '=' * 30, 'A' * 2000, 'eyJhIjoxfQ', '../..', '%00', 'é'):
    answer = send(flight_service, 'GET', BOARD, params={'tenant': 'JFK', 'window': '1d',
                                                         'cursor': cursor})
    assert (answer.status_code, answer.json()['field']) == (422, 'cursor'), answer.text


def test_other_methods_and_paths_are_refused(flight_service):
  for method, path, status in (('DELETE', BOARD, 405), ('PUT', f'{BOARD}/members', 405),
                               ('GET', f'{BOARD}/members:batch', 405), ('GET', '/v1', 404),
                               ('GET', '/v1/leaderboards', 404), ('GET', '/.git/config', 404),
                               ('GET', '/page/../app.py', 404), ('GET', f'{BOARD}/x/y', 404)):
    assert send(flight_service, method, path).status_code == status, (method, path)
