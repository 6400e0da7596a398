"""The window sets of the main job: what its flags take, and the same boards bounded or endless."""
import pytest
import redis
from conftest import SAMPLE

from leaderboard.io.redisio import RedisBoards
from leaderboard.pipelines import topk

REPLAY = ['--streaming', '--allowed_lateness=2d', '--hot_key_shards=0']


def boards_of(url, tmp_path, *flags):
  """{(tenant, type, size, start): rows} of everything that a run leaves in Redis."""
  with redis.Redis.from_url(url, decode_responses=True) as client:
    client.flushall()
    report = topk.run([f'--input={SAMPLE}', f'--redis={url}', f'--data_dir={tmp_path}', *flags])
    assert report.balanced
    keys = [key.split(':') for key in client.scan_iter('topk:*:board')]
  store = RedisBoards(url)
  found = {}
  for _, tenant, kind, label, start, _ in keys:
    board = tenant.lstrip('{'), kind.rstrip('}'), label, int(start)
    found[board] = {row.item: row.count for row in store.read_board(*board).rows}
  store.close()
  return found


@pytest.mark.slow
def test_replay_leaves_the_sliding_boards_and_weeks_of_the_bounded_job(redis_url, tmp_path):
  flags = ['--windows=1h,1d,1w', '--sliding=6h/1h,2d/1d']
  bounded = boards_of(redis_url, tmp_path / 'bounded', *flags)
  endless = boards_of(redis_url, tmp_path / 'endless', *flags, *REPLAY)
  assert {label for _, _, label, _ in bounded} == {
      '1h', '1d', '1w', '6h_every_1h', '2d_every_1d'}
  assert endless == bounded


@pytest.mark.parametrize(('flags', 'problem'), [
    (['--windows=1h,1w,1mo', '--streaming'], '--windows: 1mo of UTC has no windows of fixed'),
    (['--windows=1h,1d', '--time_zone=Asia/Kolkata'], '--windows: each window size must nest'),
    (['--time_zone=IST'], "--time_zone: 'IST' is no time zone"),
    (['--windows=1mo'], '--windows: the finest window size must have a fixed length'),
    (['--windows=1h,1h/1m'], '--windows: a sliding size goes into --sliding'),
    (['--windows=5m,1h', '--sliding=1h/1m'], '--sliding: 1h_every_1m is made of windows of its'),
    (['--allowed_lateness=1mo'], '--allowed_lateness: must be a whole number and one of s, m')])
def test_mistakes_are_told_in_one_line(flags, problem, capsys, tmp_path):
  assert topk.main([f'--input={SAMPLE}', f'--data_dir={tmp_path}', *flags]) == 2
  error = capsys.readouterr().err
  assert error.startswith(f'topk: {problem}') and error.count('\n') == 1


@pytest.mark.slow
def test_prism_leaves_the_sliding_boards_of_the_bounded_job(redis_url, tmp_path, prism_flags):
  flags = ['--windows=1h,1d', '--sliding=6h/1h']
  bounded = boards_of(redis_url, tmp_path / 'bounded', *flags)
  assert boards_of(redis_url, tmp_path / 'prism', *flags, *REPLAY, *prism_flags) == bounded


@pytest.mark.slow
def test_flink_leaves_the_sliding_boards_of_the_bounded_job(redis_url, tmp_path, flink_cluster):
  flags = ['--windows=1h,1d', '--sliding=6h/1h']
  bounded = boards_of(redis_url, tmp_path / 'bounded', *flags)
  assert boards_of(redis_url, tmp_path / 'flink', *flags, *REPLAY, *flink_cluster.flags()
                   ) == bounded
