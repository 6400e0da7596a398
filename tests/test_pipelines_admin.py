"""What looks after the stores, on real ones."""
import psycopg
import pytest

from leaderboard.io.postgresio import PostgresBoards
from leaderboard.io.redisio import RedisBoards
from leaderboard.pipelines import admin
from leaderboard.pipelines.checks import UsageError


def test_migrate_makes_the_schema_and_says_so(empty_dsn, capsys):
  assert admin.main(['migrate', f'--postgres={empty_dsn}']) == 0
  assert capsys.readouterr().out == 'postgres  schema 4, no partition yet, or a hypertable\n'


def test_status_tells_boards_partitions_and_jobs(postgres_dsn, redis_url, make_record, capsys):
  for store in (PostgresBoards(postgres_dsn), RedisBoards(redis_url)):
    store.apply([make_record({'a': 2}), make_record({'b': 3}, window_start=1_359_590_400)])
    store.publish_watermark('topk', 1_356_998_400, 3600)
    store.close()
  admin.run(['status', f'--postgres={postgres_dsn}', f'--redis={redis_url}'])
  lines = capsys.readouterr().out.splitlines()
  assert lines[:3] == [
      'postgres  schema 4, 2 monthly partitions from 2013-01 to 2013-02',
      '  1h                      2 boards of              5 events, until 2013-01-31T01:00:00Z',
      '  job topk: watermark 2013-01-01T00:00:00Z, final until 2012-12-31T23:00:00Z']
  assert lines[3].startswith('redis     10 keys in ') and lines[4:] == lines[2:3]


def test_forgotten_job_holds_nothing_back(postgres_dsn, redis_url, capsys):
  stores = PostgresBoards(postgres_dsn), RedisBoards(redis_url)
  for store in stores:
    store.publish_watermark('old', 1000, 0)
    store.publish_watermark('new', 2000, 0)
    assert store.final_until() == 1000
  flags = [f'--postgres={postgres_dsn}', f'--redis={redis_url}']
  assert admin.main(['forget', 'old', *flags]) == 0
  assert capsys.readouterr().out == 'old is forgotten in postgres and redis\n'
  assert [store.final_until() for store in stores] == [2000, 2000]
  assert admin.main(['forget', 'old', *flags]) == 2
  assert capsys.readouterr().err == "admin: job: no store knows 'old'; status lists the jobs\n"
  for store in stores:
    store.close()


def test_prune_deletes_what_is_past_its_retention_and_nothing_else(postgres_dsn, make_record):
  writer = PostgresBoards(postgres_dsn)
  writer.apply([make_record({'a': 1}), make_record({'a': 1}, event_type='kept'),
                make_record({'a': 1}, tenant_id='other'),
                make_record({'a': 1}, window_start=4_000_000_000 - 4_000_000_000 % 3600)])
  with psycopg.connect(postgres_dsn) as connection:
    connection.execute("insert into event_types (tenant_id, event_type, retention_days) values "
                       "('acme', 'play', 30), ('acme', 'kept', null)")
  assert admin.run(['prune', f'--postgres={postgres_dsn}']).lines == ['1 boards are deleted']
  assert len(list(writer.scan([], None, None))) == 3
  writer.close()


@pytest.mark.parametrize(('flags', 'problem'), [
    (['mend'], "invalid choice: 'mend'"), (['status'], '--postgres: is required, or --redis'),
    (['migrate', '--redis=redis://x'], '--postgres: is required for migrate'),
    (['forget', '--redis=redis://x'], 'job: goes with forget; got forget without it'),
    (['status', 'topk', '--redis=redis://x'], 'job: goes with forget; got status topk'),
])
def test_wrong_flags_are_named(flags, problem):
  with pytest.raises(UsageError, match=problem):
    admin.parse(flags)
