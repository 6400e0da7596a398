"""Redis, emptied or left alone for a while, is whole again after a repair."""
import pytest
import redis

from leaderboard.io import redisio
from leaderboard.io.postgresio import PostgresBoards
from leaderboard.io.redisio import RedisBoards
from leaderboard.pipelines import account, repair, topk
from leaderboard.pipelines.checks import UsageError
from leaderboard.pipelines.jobs import parse


@pytest.fixture
def stores(redis_url, postgres_dsn):
  return [f'--redis={redis_url}', f'--postgres={postgres_dsn}']


@pytest.fixture
def streamed(sample_events, tmp_path, stores):
  topk.run([f'--input={sample_events}', '--windows=1h,1d', f'--data_dir={tmp_path}', '--streaming',
            '--out_of_orderness=30h', *stores])
  return stores


def held(url):
  """Every key in Redis but the streams of changes, whose entries tell the time."""
  found = {}
  with redis.Redis.from_url(url, decode_responses=True) as client:
    for key in client.scan_iter(count=10_000):
      if key.endswith(':changes'):
        continue
      kind = client.type(key)
      found[key] = {'hash': client.hgetall, 'string': client.get, 'set': client.smembers,
                    'zset': lambda key: client.zrange(key, 0, -1, withscores=True)}[kind](key)
  return found


@pytest.mark.slow
def test_emptied_redis_is_key_by_key_what_it_was(streamed, redis_url, tmp_path, capsys):
  before = held(redis_url)
  with redis.Redis.from_url(redis_url) as client:
    client.flushall()
  report = repair.run(streamed)
  # What a revision changed is told by a store that saw the one before.
  ignored = ('revisions', 'events_added', 'ranks_moved')
  assert {key: {name: text for name, text in value.items() if name not in ignored}
          if isinstance(value, dict) else value for key, value in held(redis_url).items()} == {
              key: {name: text for name, text in value.items() if name not in ignored}
              if isinstance(value, dict) else value for key, value in before.items()}
  assert report.missing == report.boards > 100 and report.jobs == 1
  assert f'{report.boards:,} boards in PostgreSQL: {report.boards:,} written' in (
      capsys.readouterr().out)
  assert account.run(['--windows=1h,1d', f'--data_dir={tmp_path}', *streamed]).balanced
  again = repair.run(streamed)
  assert (again.missing, again.newer) == (0, 0)


def test_newer_boards_of_a_live_job_stay(stores, redis_url, postgres_dsn, make_record):
  writer, live = PostgresBoards(postgres_dsn), RedisBoards(redis_url)
  writer.apply([make_record({'a': 1}, summary=b'x'), make_record({'b': 5}, tenant_id='other')])
  live.apply([make_record({'a': 7})])
  report = repair.run(stores)
  assert (report.boards, report.missing, report.newer) == (2, 1, 1)
  assert live.read_board('acme', 'play', '1h', 1_356_998_400).events == 7
  assert live.read_board('other', 'play', '1h', 1_356_998_400).events == 5
  writer.close()
  live.close()


def test_dry_run_tells_and_writes_nothing(stores, redis_url, postgres_dsn, make_record):
  writer = PostgresBoards(postgres_dsn)
  writer.apply([make_record({'a': 1})])
  writer.publish_watermark('topk', 1000, 0)
  writer.close()
  assert repair.main([*stores, '--dry_run']) == 1
  assert held(redis_url) == {}


def test_part_of_the_boards_tells_nothing_as_final(stores, redis_url, postgres_dsn, make_record):
  writer = PostgresBoards(postgres_dsn)
  writer.apply([make_record({'a': 1}), make_record({'a': 1}, window_size='1d')])
  writer.publish_watermark('topk', 2_000_000_000, 0)
  writer.close()
  reader = RedisBoards(redis_url)
  assert repair.run([*stores, '--windows=1h', '--from=2013-01-01', '--to=2013-01-02']).boards == 1
  assert reader.final_until() is None
  assert repair.run([*stores, '--redis_ttl=1h=100s']).jobs == 1
  assert reader.final_until() == 2_000_000_000
  reader.close()


@pytest.mark.slow
def test_job_without_redis_goes_on_and_is_repaired(
    sample_events, tmp_path, redis_url, postgres_dsn, monkeypatch):
  monkeypatch.setattr(redisio, '_SKIP_PATIENCE_SECS', 0.1)
  flags = [f'--input={sample_events}', '--windows=1h,1d', f'--data_dir={tmp_path}', '--streaming',
           '--out_of_orderness=30h', f'--postgres={postgres_dsn}', '--on_redis_failure=skip',
           f'--redis={redis_url}']
  apply = RedisBoards.apply

  def away(boards, records):
    boards._client.connection_pool.disconnect()
    boards._client.connection_pool.connection_kwargs['port'] = 1
    return apply(boards, records)

  monkeypatch.setattr(RedisBoards, 'apply', away)
  assert topk.main(flags) == 1   # the account says what Redis lacks
  monkeypatch.setattr(RedisBoards, 'apply', apply)
  reader = RedisBoards(redis_url)
  assert reader.final_until() is None
  stores = [f'--redis={redis_url}', f'--postgres={postgres_dsn}']
  assert repair.run(stores).missing > 100
  assert account.run(['--windows=1h,1d', f'--data_dir={tmp_path}', *stores]).balanced
  assert reader.final_until() is not None
  reader.close()


@pytest.mark.parametrize(('flags', 'problem'), [
    ([], '--redis: is required'), (['--redis=redis://x'], '--postgres: is required'),
    (['--redis=redis://x', '--postgres=y', '--from=soon'], '--from: must be a date or time'),
    (['--redis=redis://x', '--postgres=y', '--redis_ttl=1h'], '--redis_ttl: must be SIZE=DURATION'),
])
def test_wrong_flags_are_named(flags, problem):
  with pytest.raises(UsageError, match=problem):
    repair.parse(flags)


@pytest.mark.parametrize(('flags', 'problem'), [
    (['--on_redis_failure=skip', '--redis=redis://x'], '--on_redis_failure: skip needs --redis, '),
    (['--on_redis_failure=wait'], '--on_redis_failure: must be one of fail, skip'),
    (['--redis_ttl=1m=soon'], '--redis_ttl: .*soon'),
])
def test_wrong_flags_of_the_job_are_named(flags, problem, sample_events, tmp_path):
  with pytest.raises(UsageError, match=problem):
    parse([f'--input={sample_events}', f'--data_dir={tmp_path}', *flags], 'test')
