"""PostgreSQL boards: newest only, the same whatever is repeated or re-ordered."""
import contextlib
import dataclasses
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

from leaderboard.io import postgresio


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
    assert connection.execute('select version from schema_version').fetchall() == [(1,)]


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
