"""PostgreSQL boards: newest only, the same whatever is repeated or re-ordered."""
import contextlib
import dataclasses
import importlib.resources
import itertools
import pickle
import re
import threading
import uuid

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from leaderboard.io import postgresio, redisio
from leaderboard.transforms.revisions import Change


@pytest.fixture
def boards(postgres_dsn):
  client = postgresio.PostgresBoards(postgres_dsn)
  yield client
  client.close()


def read(boards, record):
  return boards.read_board(record.tenant_id, record.event_type, record.window_size,
                           record.window_start)


def test_board_reads_back_as_it_was_written(boards, postgres_dsn, make_record):
  record = make_record({'b': 2, 'a': 2, 'é😀 "\\': 1}, tau=3, rest_upper=4, epsilon=None,
                       delta=None, resolution='partial', summary=b'\0\xff')
  assert boards.apply([record]) == 1
  assert read(boards, record) == dataclasses.replace(record, summary=b'')
  with psycopg.connect(postgres_dsn) as connection:
    assert connection.execute('select summary from board_windows').fetchone() == (b'\0\xff',)


def test_every_order_of_revisions_in_one_batch_or_many_ends_in_the_newest(boards, make_record):
  history = [make_record({'a': 9}), make_record({'a': 1}, generation=1),
             make_record({'b': 2, 'c': 7}, generation=1), make_record({})]
  for turn, order in enumerate(itertools.permutations(history)):
    placed = [dataclasses.replace(record, tenant_id=f't{turn}') for record in order]
    if turn % 2:
      boards.apply(placed)
    else:
      for record in placed:
        boards.apply([record])
    newest = dataclasses.replace(history[2], tenant_id=f't{turn}')
    assert read(boards, newest) == newest
    assert boards.apply(placed) == 0


@settings(max_examples=25, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5), st.sampled_from('xy')),
                max_size=12))
def test_any_stream_of_revisions_leaves_the_newest_of_each_board(boards, make_record, history):
  run = uuid.uuid4().hex   # each example has boards of its own
  records = [make_record({'a': events, 'b': generation + 1}, generation=generation,
                         events=events, tenant_id=f'{tenant}{run}')
             for generation, events, tenant in history]
  boards.apply(records[::2])
  boards.apply(records[1::2])
  for tenant in 'xy':
    mine = [record for record in records if record.tenant_id == f'{tenant}{run}' and record.events]
    found = boards.read_board(f'{tenant}{run}', 'play', '1h', 1_356_998_400)
    assert (found and found.revision) == max((record.revision for record in mine), default=None)


def change(boards, record):
  return boards.read_change(record.tenant_id, record.event_type, record.window_size,
                            record.window_start)


def test_board_tells_what_its_newest_revision_changed(boards, make_record):
  history = [make_record({'a': 5, 'b': 4, 'gone': 1}), make_record({'a': 5, 'b': 6, 'new': 2}),
             make_record({'a': 5, 'b': 6, 'new': 9})]
  assert change(boards, history[0]) is None
  boards.apply(history[:1])
  assert change(boards, history[0]) == Change(1, 10, 3)
  boards.apply(history[1:2])
  assert change(boards, history[0]) == Change(2, 3, 3)
  assert [boards.apply([record]) for record in (history[1], history[0], make_record({}))] == [
      0, 0, 0]
  assert change(boards, history[0]) == Change(2, 3, 3)
  boards.apply(history)   # of a batch the newest record is the next revision
  assert change(boards, history[0]) == Change(3, 7, 3)


def test_board_of_an_older_release_tells_no_change_until_it_is_revised(
    boards, postgres_dsn, make_record):
  boards.apply([make_record({'a': 5})])
  with psycopg.connect(postgres_dsn) as connection:
    # As 002_revisions.sql leaves the boards that are there already.
    connection.execute('update board_windows set events_added = null, ranks_moved = null')
  assert change(boards, make_record({})) is None
  boards.apply([make_record({'a': 6})])
  assert change(boards, make_record({})) == Change(2, 1, 0)


def test_schema_of_the_first_release_is_brought_up_to_date_with_its_boards(
    empty_dsn, make_record):
  first = importlib.resources.files('leaderboard.io').joinpath('sql/001_boards.sql')
  record = make_record({'a': 5})
  with psycopg.connect(empty_dsn) as connection:
    connection.execute('create table schema_version '
                       '(version int primary key, applied_at timestamptz default now())')
    connection.execute('insert into schema_version (version) values (1)')
    connection.execute(first.read_text('utf-8'))
    connection.execute('create table board_windows_2013_01 partition of board_windows '
                       "for values from ('2013-01-01 00:00:00+00') to ('2013-02-01 00:00:00+00')")
    connection.execute(
        "insert into board_windows values ('acme', 'play', '1h', to_timestamp(1356998400), "
        "to_timestamp(1357002000), 0, 5, 5, 0, 0, 0, 0, 'exact', '[[\"a\", 5, 5]]', '')")
    connection.execute("insert into job_state values ('job', to_timestamp(7))")
  boards = postgresio.PostgresBoards(empty_dsn)
  with pytest.raises(postgresio.PostgresUnavailable, match='lacks the current schema'):
    change(boards, record)
  postgresio.migrate(empty_dsn)
  assert (read(boards, record), change(boards, record)) == (record, None)
  assert boards.final_until() == 7
  boards.apply([make_record({'a': 6, 'b': 1})])
  assert change(boards, record) == Change(2, 2, 1)
  boards.close()


_COUNTS = st.one_of(st.integers(1, 4), st.integers(2**53, 2**53 + 3))


@settings(max_examples=60, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(
    st.dictionaries(st.sampled_from(['a', 'b', 'c', 'é', '😀', '"\\']), _COUNTS, max_size=6),
    st.booleans(), st.integers(0, 2**61)), max_size=6))
def test_both_stores_tell_the_same_change(boards, redis_url, make_record, history):
  name = uuid.uuid4().hex   # each example has a board of its own
  in_redis = redisio.RedisBoards(redis_url)
  before, generation, told = None, 0, None
  for counts, recomputed, events in history:
    generation += recomputed
    record = make_record(counts, tenant_id=name, generation=generation, events=events)
    in_redis.apply([record])
    boards.apply([record])
    if events and (before is None or before.revision < record.revision):
      ranks = {row.item: rank for rank, row in enumerate(before.rows)} if before else {}
      same = before and before.generation == generation
      told = Change(told.revisions + 1 if told else 1, events - (before.events if same else 0),
                    sum(ranks.get(row.item) != rank for rank, row in enumerate(record.rows)))
      before = record
    assert change(in_redis, record) == change(boards, record) == told
  in_redis.close()


@pytest.mark.parametrize('order', list(itertools.permutations(
    [(100, 10), (100, 30), (200, 20)])))
def test_older_watermark_never_wins_and_a_repeated_one_changes_nothing(
    boards, postgres_dsn, order):
  for watermark, lateness in (*order, *order):
    boards.publish_watermark('live:eu é', watermark, lateness)
  with psycopg.connect(postgres_dsn) as connection:
    assert connection.execute('select job, extract(epoch from watermark)::int, '
                              'allowed_lateness_secs from job_state').fetchall() == [
                                  ('live:eu é', 200, 20)]
  assert boards.final_until() == 180


def test_of_one_watermark_the_longer_lateness_stands(boards):
  for lateness in (10, 30, 20):
    boards.publish_watermark('job', 100, lateness)
  assert boards.final_until() == 70


def test_boards_are_final_until_the_slowest_job_that_told_a_watermark(boards, postgres_dsn):
  with psycopg.connect(postgres_dsn) as connection:
    connection.execute("insert into job_state (job) values ('silent')")
  assert boards.final_until() is None
  boards.publish_watermark('a', 1000, 0)
  assert boards.final_until() == 1000
  boards.publish_watermark('b', 1010, 20)
  assert boards.final_until() == 990
  boards.publish_watermark('b', 1030, 20)
  assert boards.final_until() == 1000


def test_integers_beyond_bigint_and_windows_of_all_centuries(boards, make_record):
  records = [make_record({'a': 2**63 - 1}, total=2**70, events=5, window_start=start)
             for start in (946_684_800, 1_719_792_000, 4_102_441_200)]
  assert boards.apply(records) == 3
  assert [read(boards, record) for record in records] == records


def test_hypertable_takes_the_place_of_partitions_where_timescaledb_is(
    empty_dsn, make_record, tmp_path_factory):
  # No TimescaleDB can be had here: a stand-in extension records the call and changes nothing.
  share = tmp_path_factory.mktemp('share')
  (share / 'extension').mkdir()
  (share / 'extension' / 'timescaledb.control').write_text("default_version = '0'\n")
  (share / 'extension' / 'timescaledb--0.sql').write_text(
      'create table calls (relation regclass, dimension name, every interval);\n'
      'create function create_hypertable(relation regclass, dimension name, '
      'chunk_time_interval interval) returns void language sql as '
      '$$ insert into calls values (relation, dimension, chunk_time_interval) $$;\n')
  for folder in (share, *share.parents):   # the server runs as a user of its own
    with contextlib.suppress(PermissionError):
      folder.chmod(folder.stat().st_mode | 0o055)
  with psycopg.connect(empty_dsn) as connection:
    connection.execute(sql.SQL('set extension_control_path = {}').format(str(share)))
    connection.execute('create extension timescaledb')
  postgresio.migrate(empty_dsn)
  boards = postgresio.PostgresBoards(empty_dsn)
  record = make_record({'a': 3})
  assert [boards.apply([record]), boards.apply([record])] == [1, 0]
  assert read(boards, record) == record
  boards.close()
  with psycopg.connect(empty_dsn) as connection:
    assert connection.execute('select relation::text, dimension, every::text from calls'
                              ).fetchall() == [('board_windows', 'window_start', '1 mon')]
    assert connection.execute("select relname from pg_class where relname like 'board_windows%' "
                              "and relkind in ('r', 'p')").fetchall() == [('board_windows',)]


def test_revisions_of_stored_boards_only(boards, make_record):
  boards.apply([make_record({'a': 3}, window_start=start) for start in (0, 3600, 7200)])
  asked = [('acme', 'play', 3600), ('acme', 'play', 7200), ('acme', 'play', 10800)]
  assert boards.revisions('1h', asked) == {asked[0]: (0, 3), asked[1]: (0, 3)}
  assert boards.revisions('1d', asked) == {}


def test_writers_at_once_on_new_months_do_not_hinder_each_other(postgres_dsn, make_record):
  months = [60 * 86_400 * n for n in range(12)]
  errors = []

  def write(turn):
    client = postgresio.PostgresBoards(postgres_dsn)
    try:
      for events in range(1, 6):
        client.apply([make_record({'a': events}, window_start=start)
                      for start in (months if turn % 2 else months[::-1])])
    except psycopg.Error as error:
      errors.append(error)
    finally:
      client.close()

  threads = [threading.Thread(target=write, args=[turn]) for turn in range(4)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert errors == []
  client = postgresio.PostgresBoards(postgres_dsn)
  assert {client.read_board('acme', 'play', '1h', start).events for start in months} == {5}
  client.close()


def test_migrations_run_once_however_many_start_them(empty_dsn):
  threads = [threading.Thread(target=postgresio.migrate, args=[empty_dsn]) for _ in range(4)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  postgresio.migrate(empty_dsn)
  with psycopg.connect(empty_dsn) as connection:
    assert connection.execute('select version from schema_version').fetchall() == [
        (1,), (2,), (3,), (4,)]


def test_leaderboard_view_slices_the_classic_sizes(boards, postgres_dsn, make_record):
  boards.apply([make_record({f'i{n:02}': 100 - n for n in range(60)})])
  with psycopg.connect(postgres_dsn) as connection:
    rows = connection.execute('select event_type, time_window, k_value, rankings from leaderboard '
                              'order by k_value').fetchall()
  assert [(row[:3], len(row[3])) for row in rows] == [
      (('play', '1h', 10), 10), (('play', '1h', 50), 50), (('play', '1h', 100), 60)]
  assert rows[0][3][1] == {'rank': 2, 'item': 'i01', 'count': 99, 'upper': 99}


def test_lost_connection_is_taken_up_again(boards, postgres_dsn, make_record):
  boards.apply([make_record({'a': 1})])
  with psycopg.connect(postgres_dsn, autocommit=True) as connection:
    connection.execute('select pg_terminate_backend(pid) from pg_stat_activity '
                       'where datname = current_database() and pid <> pg_backend_pid()')
  assert boards.apply([make_record({'a': 2})]) == 1
  with psycopg.connect(postgres_dsn, autocommit=True) as connection:
    connection.execute('select pg_terminate_backend(pid) from pg_stat_activity '
                       'where datname = current_database() and pid <> pg_backend_pid()')
  boards.publish_watermark('job', 100, 0)
  assert boards.final_until() == 100


@pytest.mark.parametrize(('dsn', 'problem'), [
    ('postgresql://user:secret@127.0.0.1:1/boards',
     'cannot use PostgreSQL at 127.0.0.1:1/boards: .*refused'),
    ('what is this', 'cannot use PostgreSQL at the given address'),
    ('postgresql://user:se/cret@127.0.0.1:1/boards', 'the given address: .*percent-encoded'),
    ('postgresql://user:secret@cret@127.0.0.1:1/boards', 'the given address: .*percent-encoded'),
    ("host=127.0.0.1 port=1 password='secret", 'the given address: .*percent-encoded'),
])
def test_unreachable_server_is_named_in_one_line_without_its_password(dsn, problem):
  with pytest.raises(postgresio.PostgresUnavailable, match=problem) as caught:
    postgresio.check(dsn)
  assert not re.search(r'secret|cret@|se/|user:se', str(caught.value))
  assert '\n' not in str(caught.value)


def test_bundle_that_was_cut_off_midway_and_is_retried_leaves_the_same(postgres_dsn, make_record):
  records = [make_record({'a': n + 1}, window_start=3600 * n) for n in range(40)]
  cut = postgresio._WriteFn(postgres_dsn)
  cut.setup()
  cut._boards.apply(records[:25])   # this much was flushed when its worker died
  cut.teardown()
  retried = pickle.loads(pickle.dumps(postgresio._WriteFn(postgres_dsn)))
  retried.setup()
  retried.start_bundle()
  for record in reversed(records):
    retried.process(record)
  retried.finish_bundle()
  assert [read(retried._boards, record) for record in records] == records
  retried.teardown()


def test_new_month_waits_for_no_one_who_reads_or_writes(boards, postgres_dsn, make_record):
  boards.apply([make_record({'a': 1})])
  with psycopg.connect(postgres_dsn) as busy:   # a transaction that stays open
    busy.execute("update board_windows set updated_at = now()")
    patient = psycopg.connect(postgres_dsn, autocommit=True)
    patient.execute("set lock_timeout = '2s'")
    other = postgresio.PostgresBoards(postgres_dsn)
    other._connection = patient
    assert other.apply([make_record({'a': 1}, window_start=1_400_000_400)]) == 1
    other.close()


def test_next_month_has_its_partition_before_its_first_board(boards, postgres_dsn, make_record):
  boards.apply([make_record({'a': 1}, window_start=1_358_553_600)])   # 19 January 2013
  with psycopg.connect(postgres_dsn) as connection:
    names = connection.execute("select relname from pg_class where relname like "
                               "'board\\_windows\\_2%' and relkind = 'r' order by 1").fetchall()
  assert names == [('board_windows_2013_01',), ('board_windows_2013_02',)]
