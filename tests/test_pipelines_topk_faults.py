"""The main job under faults: stopped, killed, its store gone; run again, it ends the same."""
import gzip
import json
import pathlib
import signal
import subprocess
import sys
import time

import pytest
import redis

from leaderboard.io import embedded
from leaderboard.io.parquetio import archive_files
from leaderboard.io.redisio import RedisBoards
from leaderboard.pipelines import topk

SAMPLE = pathlib.Path(__file__).parent / 'data' / 'flights-sample.jsonl.gz'
COPIES = 40
BOARD = ('EWR', 'flight', '1d', 1_360_368_000)


@pytest.fixture(scope='module')
def large_input(tmp_path_factory):
  path = tmp_path_factory.mktemp('input') / 'events.jsonl'
  path.write_bytes(gzip.decompress(SAMPLE.read_bytes()) * COPIES)
  return path


def flags(source, tmp_path, *more):
  return [f'--input={source}', '--windows=1m,1h,1d', f'--data_dir={tmp_path}',
          f'--parquet={tmp_path / "parquet"}', *more]


def wait_for_first_account(tmp_path, alive):
  deadline = time.monotonic() + 60
  while not list((tmp_path / 'parquet' / 'accounts').glob('*.parquet')):
    assert alive() and time.monotonic() < deadline
    time.sleep(0.01)


def check_whole(tmp_path, url):
  boards = RedisBoards(url)
  assert boards.read_board(*BOARD).events == 82 * COPIES
  boards.close()
  assert not list(tmp_path.rglob('*.part'))
  assert len({path.rsplit('/', 1)[1] for path in archive_files(str(tmp_path / 'parquet'))}) == 1


@pytest.mark.slow
@pytest.mark.parametrize(('stop', 'code'), [(signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_stopped_job_run_again_ends_whole(large_input, tmp_path, stop, code):
  command = [sys.executable, '-m', 'leaderboard.pipelines.topk',
             *flags(large_input, tmp_path, '--redis=embedded')]
  job = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
  wait_for_first_account(tmp_path, lambda: job.poll() is None)
  job.send_signal(stop)
  error = job.communicate(timeout=60)[1]
  assert job.returncode == code
  if stop == signal.SIGTERM:
    assert error.splitlines()[-1] == 'topk: stopped by SIGTERM; run it again to finish'
  subprocess.run(command, check=True, capture_output=True, timeout=120)
  with embedded.start_redis(tmp_path) as server:
    check_whole(tmp_path, server.url)


@pytest.mark.slow
def test_redis_that_dies_fails_the_job_by_name_and_running_again_mends_it(
    large_input, tmp_path):
  server = embedded.start_redis(tmp_path / 'server')
  with redis.Redis.from_url(server.url) as client:
    pid = client.info('server')['process_id']
  command = [sys.executable, '-m', 'leaderboard.pipelines.topk',
             *flags(large_input, tmp_path, f'--redis={server.url}')]
  job = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
  wait_for_first_account(tmp_path, lambda: job.poll() is None)
  subprocess.run(['kill', '-9', str(pid)], check=True)
  error = job.communicate(timeout=60)[1]
  assert job.returncode == 1
  assert error.splitlines()[-1].startswith(
      f'topk: the job failed: Redis at {server.url} stays away')
  with embedded.start_redis(tmp_path / 'server') as again:
    assert topk.main(flags(large_input, tmp_path, f'--redis={again.url}')) == 0
    check_whole(tmp_path, again.url)


@pytest.mark.slow
def test_two_copies_of_a_job_at_once_end_as_one(large_input, tmp_path, redis_url):
  reports = [tmp_path / 'first.json', tmp_path / 'second.json']
  jobs = [subprocess.Popen(
      [sys.executable, '-m', 'leaderboard.pipelines.topk',
       *flags(large_input, tmp_path, f'--redis={redis_url}', f'--report={report}')],
      stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for report in reports]
  ended = [(*job.communicate(timeout=120), job.returncode) for job in jobs]
  for (out, err, code), path in zip(ended, reports, strict=True):
    report = json.loads(path.read_text())
    assert (code, report['balanced'], report['events_read']) == (0, True, 6000 * COPIES), out + err
    assert (report['events_counted'], report['accounts_lost']) == (3459 * COPIES, False)
    # The one that ended first may have been alone with its accounts.
    assert ('another run of the same input' in out) == bool(report['ranges_of_another_run'])
    assert f'read      {6000 * COPIES:>13,} events' in out
  assert topk.main(flags(large_input, tmp_path, f'--redis={redis_url}')) == 0
  check_whole(tmp_path, redis_url)
