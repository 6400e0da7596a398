"""The account of a stream, asked for from outside."""
import json

import pytest
import redis

from leaderboard.pipelines import account, topk
from leaderboard.pipelines.checks import UsageError


@pytest.fixture
def streamed(sample_events, tmp_path, redis_url):
  topk.run([f'--input={sample_events}', '--windows=1h,1d', f'--data_dir={tmp_path}', '--streaming',
            f'--redis={redis_url}', '--replay_bytes=65536', '--out_of_orderness=1h'])
  return [f'--data_dir={tmp_path}', f'--redis={redis_url}', '--windows=1h,1d']


def test_account_of_a_stream_holds(streamed, tmp_path):
  report = account.run([*streamed, f'--report={tmp_path}/account.json'])
  assert report.balanced
  assert report.events_read == 6000
  assert report.events_too_late > 0
  assert json.loads((tmp_path / 'account.json').read_text())['balanced'] is True


@pytest.mark.slow
def test_account_shows_a_lost_board(streamed, redis_url, capsys):
  with redis.Redis.from_url(redis_url) as client:
    client.delete(next(client.scan_iter('topk:*:1h:*:board')))
  assert account.main(streamed) == 1
  out = capsys.readouterr().out
  assert '1 MISSING' in out and 'if it was stopped, run it again to finish' in out


def test_account_of_nothing_is_an_error(tmp_path, redis_url):
  with pytest.raises(UsageError, match='--rejects: .* no account of generation 3; .* --parquet'):
    account.run([f'--data_dir={tmp_path}', f'--redis={redis_url}', '--generation=3'])


def test_every_wrong_flag_is_named():
  with pytest.raises(UsageError) as error:
    account.run(['--windows=2m,5m', '--generation=x'])
  assert [problem.split(':')[0] for problem in error.value.problems] == [
      '--windows', '--generation']
