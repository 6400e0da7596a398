"""Redis boards: whole, newest, and the same whatever is repeated or re-ordered."""
import itertools
import os
import pickle
import signal
import threading
import time

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from servers import rediscluster

from leaderboard.io import embedded, redisio, retry
from leaderboard.transforms.revisions import Change

SETTINGS = settings(max_examples=40, deadline=None,
                    suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def boards(redis_url):
  client = redisio.RedisBoards(redis_url)
  yield client
  client.close()


@pytest.fixture
def raw(redis_url):
  with redis.Redis.from_url(redis_url, decode_responses=True) as client:
    yield client


def read(boards, record):
  return boards.read_board(record.tenant_id, record.event_type, record.window_size,
                           record.window_start)


def test_board_reads_back_as_it_was_written(boards, make_record):
  record = make_record({'b': 2, 'a': 2, 'c': 9, 'é😀 "': 1}, tau=3, rest_upper=4,
                       epsilon=0.001, delta=0.02, resolution='partial')
  assert boards.apply([record]) == ['applied']
  assert read(boards, record) == record


def test_equal_revision_is_done_older_is_refused_and_empty_is_ignored(boards, make_record):
  record = make_record({'a': 5})
  assert boards.apply([record, record, make_record({'a': 4}), make_record({})]) == [
      'applied', 'done', 'older', 'empty']
  assert read(boards, record) == record


def test_generation_outranks_events(boards, make_record):
  recomputed = make_record({'a': 2}, generation=1)
  assert boards.apply([make_record({'a': 5}), recomputed, make_record({'a': 9})]) == [
      'applied', 'applied', 'older']
  assert read(boards, recomputed) == recomputed


def test_every_order_of_revisions_ends_in_the_newest(boards, raw, make_record):
  history = [make_record({'a': 1}), make_record({'a': 1, 'b': 2}), make_record({'b': 2, 'c': 7})]
  for order in itertools.permutations(history):
    raw.flushall()
    boards.apply(order)
    assert read(boards, history[0]) == history[-1]
    assert raw.zrange('topk:{acme:play}:1h:1356998400:ranks', 0, -1, withscores=True) == [
        ('c', -7.0), ('b', -2.0)]


@SETTINGS
@given(st.lists(st.dictionaries(st.sampled_from('abcdef'), st.integers(1, 5), min_size=1),
                max_size=8))
def test_any_stream_of_revisions_leaves_exactly_the_newest_board(
    redis_url, make_record, history):
  with redis.Redis.from_url(redis_url) as raw:
    raw.flushall()
  boards = redisio.RedisBoards(redis_url)
  records = [make_record(counts) for counts in history]
  boards.apply(records)
  boards.close()
  if records:
    # Of equal revisions the first stays.
    newest = max(records, key=lambda record: record.events)
    assert read(boards, newest) == newest


def test_only_changed_members_are_written_and_the_change_is_told(boards, raw, make_record):
  boards.apply([make_record({'a': 5, 'b': 4, 'gone': 1})])
  boards.apply([make_record({'a': 5, 'b': 6, 'new': 2})])
  (_, first), (_, second) = raw.xrange('topk:{acme:play}:1h:changes')
  assert first['events_added'] == '10' and first['rows_changed'] == '3'
  assert second == {'start': '1356998400', 'generation': '0', 'events': '13',
                    'revisions': '2', 'events_added': '3', 'ranks_moved': '3',
                    'rows_changed': '2', 'rows_removed': '1'}


def change(boards, record):
  return boards.read_change(record.tenant_id, record.event_type, record.window_size,
                            record.window_start)


def test_board_tells_what_its_newest_revision_changed(boards, make_record):
  history = [make_record({'a': 5, 'b': 4, 'gone': 1}), make_record({'a': 5, 'b': 6, 'new': 2}),
             make_record({'a': 5, 'b': 6, 'new': 9})]
  assert change(boards, history[0]) is None
  boards.apply(history[:2])
  assert change(boards, history[0]) == Change(2, 3, 3)
  assert boards.apply([history[1], history[0], make_record({})]) == ['done', 'older', 'empty']
  assert change(boards, history[0]) == Change(2, 3, 3)
  boards.apply(history[2:])
  assert change(boards, history[0]) == Change(3, 7, 3)


def test_new_generation_adds_all_its_events(boards, make_record):
  boards.apply([make_record({'a': 5, 'b': 4}), make_record({'a': 5, 'b': 6}, generation=1)])
  assert change(boards, make_record({})) == Change(2, 11, 2)


def test_board_of_an_older_release_tells_no_change_until_it_is_revised(boards, raw, make_record):
  boards.apply([make_record({'a': 5})])
  raw.hdel('topk:{acme:play}:1h:1356998400:board', 'revisions', 'events_added', 'ranks_moved')
  assert change(boards, make_record({})) is None
  boards.apply([make_record({'a': 6})])
  assert change(boards, make_record({})) == Change(2, 1, 0)


def test_changes_beyond_two_to_the_53_are_exact(boards, make_record):
  big = 2**53
  # As doubles all four counts are equal.
  first = make_record({'d': big + 1, 'a': big}, events=big)
  boards.apply([first, make_record({'d': big + 1, 'a': big}, events=2 * big + 1)])
  assert change(boards, first) == Change(2, big + 1, 0)
  boards.apply([make_record({'d': big + 1, 'a': big + 1}, events=3 * big)])
  assert change(boards, first) == Change(3, big - 1, 2)


@pytest.mark.parametrize('order', list(itertools.permutations(
    [(100, 10), (100, 30), (200, 20)])))
def test_older_watermark_never_wins_and_a_repeated_one_changes_nothing(boards, raw, order):
  for watermark, lateness in (*order, *order):
    boards.publish_watermark('live:eu é', watermark, lateness)
  assert raw.hgetall('topk:jobs:live%3Aeu%20%C3%A9') == {
      'watermark_secs': '200', 'allowed_lateness_secs': '20'}
  assert boards.final_until() == 180


def test_of_one_watermark_the_longer_lateness_stands(boards):
  for lateness in (10, 30, 20):
    boards.publish_watermark('job', 100, lateness)
  assert boards.final_until() == 70


def test_boards_are_final_until_the_slowest_job(boards):
  assert boards.final_until() is None
  boards.publish_watermark('a', 1000, 0)
  assert boards.final_until() == 1000
  boards.publish_watermark('b', 1010, 20)
  assert boards.final_until() == 990
  boards.publish_watermark('b', 1030, 20)
  assert boards.final_until() == 1000


def test_server_that_stays_away_is_named_when_a_watermark_is_published(monkeypatch):
  monkeypatch.setattr(retry, 'PATIENCE_SECS', 0.1)
  boards = redisio.RedisBoards('redis://:secret@127.0.0.1:1/0')
  with pytest.raises(redisio.RedisUnavailable, match=r'\*\*\*@127.0.0.1:1/0 stays away'):
    boards.publish_watermark('job', 1, 0)
  boards.close()


def test_integers_beyond_two_to_the_53_stay_exact_and_ordered(boards, make_record):
  big = 2**53
  record = make_record({'a': big, 'b': big + 1, 'c': 2**60 + 1}, events=big + 1)
  assert boards.apply([record, make_record({'a': 1}, events=big)]) == ['applied', 'older']
  assert read(boards, record) == record
  assert [row.item for row in read(boards, record).rows] == ['c', 'b', 'a']
  boards.apply([make_record({'a': 1}, events=big + 3)])
  assert read(boards, record).events == big + 3


def test_a_thousand_rows(boards, make_record):
  record = make_record({f'item-{i}': i + 1 for i in range(5000)})
  boards.apply([record])
  assert read(boards, record) == record
  smaller = make_record({'x': record.events + 1})
  boards.apply([smaller])
  assert read(boards, smaller) == smaller


@pytest.mark.parametrize('name', ['a:b', '{x}', '%7B', 'with space', 'ünï😀', '*?[a]', '"\\'])
def test_odd_names_have_boards_of_their_own(boards, make_record, name):
  mine, other = make_record({'a': 1}, tenant_id=name), make_record({'b': 2}, event_type=name)
  boards.apply([mine, other])
  assert (read(boards, mine), read(boards, other)) == (mine, other)


def test_latest_moves_forward_only(boards, raw, make_record):
  for start in (7200, 3600, 10800, 0):
    boards.apply([make_record({'a': 1}, window_start=start)])
  assert raw.get('topk:{acme:play}:1h:latest') == '10800'


def test_expiry_counts_from_the_write_and_only_where_asked(redis_url, raw, make_record):
  boards = redisio.RedisBoards(redis_url, {'1h': 100})
  boards.apply([make_record({'a': 1}), make_record({'a': 1}, window_size='1d')])
  boards.close()
  lives = {key: raw.ttl(f'topk:{{acme:play}}:{key}') for key in (
      '1h:1356998400:board', '1h:1356998400:rows', '1h:1356998400:ranks', '1d:1356998400:board')}
  assert lives.pop('1d:1356998400:board') == -1
  assert all(90 < ttl <= 100 for ttl in lives.values())


def test_later_writer_without_expiry_keeps_the_board(redis_url, raw, boards, make_record):
  short = redisio.RedisBoards(redis_url, {'1h': 100})
  short.apply([make_record({'a': 1})])
  short.close()
  boards.apply([make_record({'a': 2})])
  assert {raw.ttl(f'topk:{{acme:play}}:1h:1356998400:{key}')
          for key in ('board', 'rows', 'ranks')} == {-1}


def test_writes_what_was_cut_off_when_the_server_was_killed(tmp_path, make_record, monkeypatch):
  monkeypatch.setattr(retry, 'PATIENCE_SECS', 1)
  records = [make_record({f'i{n}': n + 1, 'b': 1}, window_start=3600 * n) for n in range(600)]
  with embedded.start_redis(tmp_path) as server:
    writer = pickle.loads(pickle.dumps(redisio._WriteFn(server.url, None)))
    writer.setup()
    writer.start_bundle()
    for record in records:   # flushes 500 of them
      writer.process(record)
    with redis.Redis.from_url(server.url) as client:
      os.kill(client.info('server')['process_id'], signal.SIGKILL)
    with pytest.raises(redisio.RedisUnavailable, match='stays away'):
      writer.finish_bundle()
    writer.teardown()
  with embedded.start_redis(tmp_path) as server:
    retried = redisio._WriteFn(server.url, None)
    retried.setup()
    retried.start_bundle()
    for record in reversed(records):
      retried.process(record)
    retried.finish_bundle()
    assert [read(retried._boards, record) for record in records] == records
    retried.teardown()


def test_reader_never_sees_half_a_board_or_an_older_one(redis_url, make_record):
  writer, reader = redisio.RedisBoards(redis_url), redisio.RedisBoards(redis_url)
  # Of revision n each of the n items counts n: any mixture of revisions shows.
  history = [make_record({f'i{i}': n for i in range(n)}, events=n) for n in range(1, 200)]
  seen = []
  done = threading.Event()

  def watch():
    while not done.is_set():
      board = read(reader, history[0])
      if board:
        seen.append(board)

  watcher = threading.Thread(target=watch)
  watcher.start()
  for record in history:
    writer.apply([record])
  done.set()
  watcher.join()
  assert len(seen) > 10
  for board in seen:
    assert board == history[board.events - 1]
  assert [board.events for board in seen] == sorted(board.events for board in seen)


def test_two_writers_at_once_end_in_the_newest(redis_url, boards, make_record):
  history = [make_record({'a': n, f'b{n % 7}': 1}) for n in range(1, 150)]
  writers = [redisio.RedisBoards(redis_url) for _ in range(2)]
  threads = [threading.Thread(target=lambda w=writer, h=part: [w.apply([r]) for r in h])
             for writer, part in zip(writers, (history, history[::-1]), strict=True)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert read(boards, history[0]) == history[-1]


@pytest.mark.parametrize(('url', 'problem'), [
    ('redis://:secret@127.0.0.1:1/0', r'cannot use Redis at redis://\*\*\*@127.0.0.1:1/0'),
    ('http://somewhere', 'http://somewhere is no Redis URL'),
    ('redis://:secret/secret@127.0.0.1:1/0', r'redis://\*\*\*@127.0.0.1:1/0 is no Redis URL'),
    ('redis://127.0.0.1:1/0?password=secret', r'redis://127.0.0.1:1/0\?password=\*\*\*: '),
])
def test_unreachable_server_is_named_in_one_line_without_its_password(url, problem):
  with pytest.raises(redisio.RedisUnavailable, match=problem) as caught:
    redisio.check(url)
  assert 'secret' not in str(caught.value) and '\n' not in str(caught.value)


@pytest.mark.slow
def test_cluster_holds_every_board_and_watermark(tmp_path, make_record):
  with rediscluster.RedisCluster(tmp_path) as cluster:
    redisio.check(cluster.url)
    boards = redisio.RedisBoards(cluster.url)
    records = [make_record({f'i{n}': n + 1, 'b': 1}, tenant_id=f't{n}') for n in range(50)]
    assert boards.apply(records) == ['applied'] * 50
    assert boards.apply(reversed(records)) == ['done'] * 50
    # A node that has been replaced knows no script.
    boards._client.script_flush()
    assert boards.apply(records[:3]) == ['done'] * 3
    assert [read(boards, record) for record in records] == records
    assert len(boards.revisions('1h', [(f't{n}', 'play', records[0].window_start)
                                       for n in range(50)])) == 50
    boards.publish_watermark('a', 1000, 10)
    boards.publish_watermark('b', 900, 0)
    assert boards.final_until() == 900
    assert boards.read_change('t7', 'play', '1h', records[0].window_start).revisions == 1
    boards.close()


def test_user_needs_few_commands(redis_url, raw, make_record):
  raw.execute_command('ACL', 'SETUSER', 'writer', 'reset', 'on', '>pw', '~topk:*', '&topk:*',
                      *redisio.ACL_COMMANDS)
  url = redis_url.replace('//', '//writer:pw@')
  boards = redisio.RedisBoards(url, {'1h': 60})
  record = make_record({'a': 1})
  redisio.check(url)
  raw.script_flush()
  assert boards.apply([record, make_record({'a': 2})]) == ['applied', 'applied']
  boards.publish_watermark('job', 5, 0)
  assert (boards.final_until(), read(boards, record).events) == (5, 2)
  boards.close()
  raw.execute_command('ACL', 'SETUSER', 'writer', '-evalsha')
  boards = redisio.RedisBoards(url)
  with pytest.raises(redisio.RedisUnavailable, match='refuses: .*permission'):
    boards.apply([record])
  boards.close()
  raw.execute_command('ACL', 'DELUSER', 'writer')


def test_server_that_is_full_says_what_to_do(redis_url, raw, make_record):
  boards = redisio.RedisBoards(redis_url)
  raw.config_set('maxmemory', '1mb')
  try:
    with pytest.raises(redisio.RedisUnavailable, match='is full: .*--redis_ttl'):
      boards.apply([make_record({'a': 1})])
  finally:
    raw.config_set('maxmemory', '0')
  assert boards.apply([make_record({'a': 1})]) == ['applied']
  boards.close()


def test_job_that_skips_goes_on_without_redis_and_comes_back(tmp_path, make_record, monkeypatch):
  monkeypatch.setattr(redisio, '_SKIP_PATIENCE_SECS', 0.2)
  monkeypatch.setattr(redisio, '_SKIP_SECS', 0.5)
  with embedded.start_redis(tmp_path) as server:
    url = server.url
    writer = redisio._SkipFn(url, None)
    writer.setup()
    writer.write([make_record({'a': 1})])
  started = time.monotonic()
  for count in range(2, 300):   # away: the first waits, the others do not
    writer.write([make_record({'a': count})])
  assert time.monotonic() - started < 3
  port = url.split(':')[-1].split('/')[0]
  (tmp_path / 'redis' / 'port').unlink()
  monkeypatch.setattr(embedded, '_free_port', lambda: int(port))
  with embedded.start_redis(tmp_path):
    record, deadline = make_record({'a': 300}), time.monotonic() + 10
    while read(writer._boards, record).events != 300:
      writer.write([record])
      assert time.monotonic() < deadline
  writer.teardown()
