"""topk-serve on the command line, and what it tells its operators."""
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys

import httpx
import pytest
import serving

from leaderboard.api.examples import LEADERBOARD
from leaderboard.api.settings import Settings, parse
from leaderboard.io import embedded, redisio
from leaderboard.io.flags import UsageError


def problems(*flags):
  with pytest.raises(UsageError) as caught:
    parse(flags)
  return caught.value.problems


def test_every_wrong_flag_is_told_at_once(tmp_path):
  found = problems('--port=99999', '--redis=http://x', '--postgres=postgresql://u:p@w@h/d',
                   f'--parquet={tmp_path}/none', '--cache=7x', '--exact_memory=lots', '--warm=/x',
                   '--admin_token=env:NOT_THERE')
  assert [problem.split(':')[0] for problem in found] == [
      '--port', '--parquet', '--redis', '--postgres', '--admin_token', '--cache',
      '--exact_memory', '--warm']
  assert not any('p@w' in problem for problem in found)


def test_a_store_must_be_named_and_remote_archives_are_refused():
  assert problems()[0].startswith('--redis, --postgres, --parquet: name at least one store')
  assert problems('--parquet=gs://bucket/x')[0].startswith('--parquet: exact answers need a local')


def test_references_are_resolved(tmp_path, monkeypatch):
  monkeypatch.setenv('BOARDS_DSN', 'postgresql://db/boards')
  (tmp_path / 'url').write_text('redis+cluster://cache:6379\n')
  settings = parse(['--postgres=env:BOARDS_DSN', f'--redis=file:{tmp_path / "url"}'])
  assert settings.postgres == 'postgresql://db/boards'
  assert settings.redis == 'redis+cluster://cache:6379'


@contextlib.contextmanager
def running(tmp_path, *flags):
  """(process, URL) of a service on a free port."""
  with subprocess.Popen(
      [sys.executable, '-m', 'leaderboard.api.serve', '--port=0', f'--data_dir={tmp_path}', *flags],
      stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
    try:
      line = process.stdout.readline()
      url = re.fullmatch(r'serving (http://127\.0\.0\.1:\d+/)\n', line)
      assert url, (line, process.stderr.read())
      yield process, url[1]
    finally:
      process.kill()


@pytest.mark.slow
@pytest.mark.parametrize('signal_', [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_it_and_its_servers(servers_folder, signal_):
  with embedded.start_redis(servers_folder), embedded.start_postgres(servers_folder):
    pass   # as a job left them
  with running(servers_folder, '--redis=embedded', '--postgres=embedded') as (process, url):
    ready = httpx.get(f'{url}readyz')
    assert ready.json() == {'status': 'ok', 'stores': {'redis': 'ok', 'postgres': 'ok'}}
    assert httpx.get(f'{url}v1/event_types').json() == {'boards': []}
    process.send_signal(signal_)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, '', '')
  pid_files = list(servers_folder.rglob('postmaster.pid'))
  assert pid_files == []


@pytest.mark.slow
def test_it_starts_while_its_stores_are_away_and_says_so(tmp_path):
  with socket.create_server(('127.0.0.1', 0)) as closed:
    port = closed.getsockname()[1]
  with running(tmp_path, f'--redis=redis://:pass@127.0.0.1:{port}/0',
               f'--postgres=postgresql://u:pass@127.0.0.1:{port}/x') as (process, url):
    ready = httpx.get(f'{url}readyz')
    assert ready.status_code == 503
    assert set(ready.json()['stores']) == {'redis', 'postgres'}
    assert httpx.get(f'{url}healthz').json() == {'status': 'ok'}
    answer = httpx.get(f'{url}v1/leaderboards/play?tenant=acme')
    assert (answer.status_code, answer.headers['retry-after']) == (503, '1')
    assert 'Redis is out of reach' in answer.json()['detail']
    assert httpx.get(f'{url}v1/tenants').status_code == 503
    metrics = httpx.get(f'{url}metrics').text
    assert 'topk_store_up{store="redis"} 0.0' in metrics
    process.terminate()
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert 'pass' not in err + metrics + answer.text + ready.text
    assert 'Redis is out of reach' in err and 'Traceback' not in err


@pytest.mark.slow
def test_taken_port_and_unreadable_flag_end_with_one_line(tmp_path):
  with socket.create_server(('127.0.0.1', 0)) as taken:
    port = taken.getsockname()[1]
    for flags, word in (([f'--port={port}', '--redis=redis://x'], 'name another'),
                        (['--redis=redis://x', '--prot=1'], '--prot')):
      done = subprocess.run([sys.executable, '-m', 'leaderboard.api.serve', *flags],
                            capture_output=True, text=True, timeout=60, check=False)
      assert done.returncode == 2
      assert word in done.stderr and len(done.stderr.splitlines()) == 1


def test_listing_of_redis_alone(redis_url, make_record):
  boards = redisio.RedisBoards(redis_url)
  boards.apply([make_record({'a': 1}), make_record({'a': 1}, tenant_id='x:y/%', event_type='p}q'),
                make_record({'a': 1}, window_size='1d')])
  boards.close()
  with serving.serving(Settings(redis=redis_url)) as client:
    start = '2013-01-01T00:00:00Z'
    assert client.get('/v1/event_types').json() == {'boards': [
        {'tenant': 'acme', 'event_type': 'play', 'windows': [
            {'size': '1h', 'oldest': start, 'newest': start},
            {'size': '1d', 'oldest': start, 'newest': start}]},
        {'tenant': 'x:y/%', 'event_type': 'p}q', 'windows': [
            {'size': '1h', 'oldest': start, 'newest': start}]}]}
    assert client.get('/v1/tenants').json() == {'tenants': ['acme', 'x:y/%']}
    board = client.get('/v1/leaderboards/p}q', params={'tenant': 'x:y/%', 'window': '1h'}).json()
    assert board['rows'][0]['item'] == 'a'


def test_listing_of_postgres_tells_the_oldest_too(flight_service):
  listed = flight_service.get('/v1/event_types', params={'tenant': 'JFK'}).json()['boards']
  assert {board['event_type'] for board in listed} == {'flight', 'aircraft', 'route_carrier'}
  assert {board['tenant'] for board in listed} == {'JFK'}
  days = {window['size']: window for window in listed[0]['windows']}['1d']
  assert days == {'size': '1d', 'oldest': '2013-02-08T00:00:00Z', 'newest': '2013-02-11T00:00:00Z'}


def test_pages_of_other_origins_read_where_they_may(flight_stores):
  origin = {'Origin': 'https://app.example.com'}
  with serving.serving(serving.changed(
      flight_stores, cors_origins=('https://app.example.com',))) as client:
    allowed = client.get('/healthz', headers=origin).headers
    assert allowed['access-control-allow-origin'] == 'https://app.example.com'
    asked = client.options('/v1/leaderboards/flight', headers={
        **origin, 'Access-Control-Request-Method': 'GET',
        'Access-Control-Request-Headers': 'If-None-Match'})
    assert asked.status_code == 200
    other = client.get('/healthz', headers={'Origin': 'https://evil.example.com'})
    assert 'access-control-allow-origin' not in other.headers


def test_warm_answers_are_made_before_anyone_asks(flight_stores):
  path = '/v1/leaderboards/flight?tenant=JFK&from=2013-02-08&to=2013-02-11'
  with serving.serving(serving.changed(flight_stores, warm=(path,))) as client:
    serving.eventually(lambda: 'topk_answers_total{degraded="no",path="history"}' in client.get(
        '/metrics').text)
    client.get(path)
    assert 'cache="summaries",result="hit"' in client.get('/metrics').text or (
        'cache="boards",result="hit"' in client.get('/metrics').text)


def test_openapi_has_examples_and_describes_refusals(flight_service):
  described = flight_service.get('/openapi.json').json()
  operation = described['paths']['/v1/leaderboards/{event_type}']['get']
  example = operation['responses']['200']['content']['application/json']['example']
  answer = flight_service.get('/v1/leaderboards/flight?tenant=JFK&window=1d').json()
  # OpenAPI is told without nulls.
  assert set(example) <= set(answer) and list(LEADERBOARD) == list(answer)
  assert list(LEADERBOARD['rows'][0]) == list(answer['rows'][0])
  problem = operation['responses']['422']['content']['application/problem+json']['example']
  refused = flight_service.get('/v1/leaderboards/flight?k=0').json()
  assert list(problem) == list(refused)
  assert all(parameter.get('description') for parameter in operation['parameters'])
  assert os.path.commonprefix(list(described['paths'])) == '/'
