"""Ranges: which windows are merged, what has been overtaken, what is kept, and what is exact."""
import dataclasses
import itertools
import shutil
import time

import flighttruth
import psycopg
import pytest
import redis
import serving
from hypothesis import given
from hypothesis import strategies as st

from leaderboard.api.boards import Question
from leaderboard.api.settings import Settings
from leaderboard.api.tiling import Stored, blocks, choose, merge_order
from leaderboard.io.flags import utc
from leaderboard.io.parquetio import archive_files
from leaderboard.io.postgresio import PostgresBoards
from leaderboard.transforms.boards import parse_window_size
from leaderboard.transforms.heavyhitters import HeavyHitters
from leaderboard.transforms.ranking import rank_board

DAY, HOUR = 86_400, 3600
START = 1_356_998_400   # 2013-01-01, a Tuesday


@st.composite
def windows_in_gaps(draw):
  """(stored windows of one size, by start; gaps that hold each of them)."""
  edges = sorted(draw(st.sets(st.integers(0, 60), min_size=2, max_size=8)))
  gaps = list(itertools.pairwise(edges))[::2]
  found = []
  for low, high in gaps:
    for _ in range(draw(st.integers(0, 4))):
      start = draw(st.integers(low, high - 1))
      end = draw(st.integers(start + 1, high))
      parts = draw(st.sampled_from([None, (0, 5), (0, 6), (1, 1)]))
      found.append(Stored('x', start, end, (0, 5), parts=parts))
  return sorted(found, key=lambda window: window.start), gaps


@given(windows_in_gaps())
def test_chosen_windows_and_what_they_leave_cover_the_gaps_once(case):
  windows, gaps = case
  taken, left = choose(windows, gaps)
  spans = sorted([(tile.start, tile.end) for tile in taken] + left)
  covered = [second for start, end in spans for second in range(start, end)]
  assert covered == [second for start, end in gaps for second in range(start, end)]
  assert all(tile.parts is None or tile.parts <= tile.revision for tile in taken)
  assert set(taken) <= set(windows)


def test_sliding_windows_and_those_of_other_programs_are_no_tiles():
  assert merge_order(['1h_every_1m', '90m', 'top', '1h', '1w', '5m']) == [
      ('1w', '90m'), ('90m', '5m'), ('1h', '5m'), ('5m', None)]


def test_blocks_are_days_and_thirty_days():
  hours = [Stored('1h', START + hour * HOUR, START + (hour + 1) * HOUR, (0, 1))
           for hour in range(20, 55)]
  assert [len(group) for group in blocks(hours, 5)] == [1, 1, 1, 1, 24, 7]


@pytest.fixture
def write(postgres_dsn):
  """(label, start, {item: count}, generation) -> a stored board; a time zone for its end."""
  client = PostgresBoards(postgres_dsn)

  def stored(label, start, counts, generation=0, zone='UTC'):
    summary = HeavyHitters()
    summary.update(counts)
    size = parse_window_size(label.replace('_every_', '/'), zone)
    client.apply([rank_board(('acme', 'play', start), size, summary.to_bytes(), 1000, generation)])

  yield stored
  client.close()


@pytest.fixture
def service(postgres_dsn):
  with serving.serving(Settings(postgres=postgres_dsn, admin_token='test')) as client:
    yield client


def ask(client, start, end, status=200, **more):
  """What is stored now: an answer of a moment ago would be allowed."""
  client.post('/v1/caches:flush', headers={'Authorization': 'Bearer test'}).raise_for_status()
  answer = client.get('/v1/leaderboards/play', params={
      'tenant': 'acme', 'from': utc(start), 'to': utc(end), 'k': 100, **more})
  assert answer.status_code == status, answer.text
  return answer.json()


def counts(board):
  return {row['item']: row['count'] for row in board['rows']}


def sizes(board):
  return {window['size']: window['count'] for window in board['coverage']['windows']}


def test_windows_that_their_parts_have_overtaken_are_left(write, service):
  for hour in range(24):
    write('1h', START + hour * HOUR, {'a': 2, f'h{hour}': 1})
  write('1d', START, {'a': 48, **{f'h{hour}': 1 for hour in range(24)}})
  board = ask(service, START, START + DAY)
  assert sizes(board) == {'1d': 1} and counts(board)['a'] == 48
  # A late event came to an hour, and has not reached the day yet.
  write('1h', START, {'a': 3, 'h0': 1})
  board = ask(service, START, START + DAY)
  assert sizes(board) == {'1h': 24} and counts(board)['a'] == 49
  # The day was counted anew, with less.
  write('1d', START, {'a': 40}, generation=1)
  board = ask(service, START, START + DAY)
  assert sizes(board) == {'1d': 1} and counts(board) == {'a': 40}
  assert board['revision'] == {'generation': 1, 'events': 40}
  # An hour was counted anew: its day holds what is no more.
  write('1h', START, {'z': 1}, generation=2)
  board = ask(service, START, START + DAY)
  assert sizes(board) == {'1h': 24} and counts(board)['z'] == 1 and counts(board)['a'] == 46
  assert board['revision']['generation'] == 2


def test_sliding_windows_are_never_merged(write, service):
  write('1h', START, {'a': 2})
  write('1h_every_30m', START - 1800, {'a': 7})
  write('1h_every_30m', START, {'a': 9})
  board = ask(service, START, START + HOUR)
  assert counts(board) == {'a': 2} and sizes(board) == {'1h': 1}


def test_days_of_another_time_zone_are_taken_for_what_they_are(write, service):
  for hour in range(-1, 48):
    write('1h', START + hour * HOUR, {f'h{hour}': 1})
  write('1d', START - HOUR, {f'h{hour}': 1 for hour in range(-1, 23)}, zone='Europe/Berlin')
  board = ask(service, START, START + DAY)
  assert counts(board) == {f'h{hour}': 1 for hour in range(24)}
  assert sizes(board) == {'1h': 24}
  board = ask(service, START - HOUR, START + DAY)
  assert counts(board) == {f'h{hour}': 1 for hour in range(-1, 24)}
  assert sizes(board) == {'1d': 1, '1h': 1}


def test_range_to_now_ends_with_the_newest_window(write, service):
  now = int(time.time())
  write('1h', now - now % HOUR, {'a': 3})
  board = service.get('/v1/leaderboards/play', params={
      'tenant': 'acme', 'from': utc(now - now % HOUR), 'to': 'now'})
  if board.status_code == 422:   # asked in the first second of an hour
    return
  assert counts(board.json()) == {'a': 3}
  assert board.json()['to'] > utc(now)


def test_range_to_now_is_another_question_than_one_to_this_second():
  asked = Question.of('play', 'acme', None, from_='2013-01-01', to='now')
  assert asked.key != dataclasses.replace(asked, to_now=False).key


def test_range_is_compared_with_closed_time_and_new_is_what_that_time_disproves(
    write, service, postgres_dsn):
  for hour, counts_ in enumerate([{'a': 5}, {'a': 4, 'b': 3}, {'b': 9}, {'a': 2, 'c': 1}]):
    write('1h', START + hour * HOUR, counts_)
  client = PostgresBoards(postgres_dsn)
  client.publish_watermark('job', START + HOUR, 0)
  where = START + 2 * HOUR, START + 4 * HOUR
  assert ask(service, *where, movement='true')['compared_with'] is None   # it may still change
  client.publish_watermark('job', START + 2 * HOUR, 0)
  client.close()
  board = ask(service, *where, movement='true')
  assert board['compared_with'] == {
      'from': utc(START), 'to': utc(START + 2 * HOUR), 'complete': True}
  assert [(row['item'], row['previous_rank'], row['movement']) for row in board['rows']] == [
      ('b', 2, 1), ('a', 1, -1), ('c', None, 'new')]
  # Half of the time before is not stored: c may have been there.
  with psycopg.connect(postgres_dsn) as connection:
    connection.execute('delete from board_windows where window_start = to_timestamp(%s)', [START])
  board = ask(service, *where, movement='true')
  assert board['compared_with']['complete'] is False
  assert [(row['item'], row['previous_rank'], row['movement']) for row in board['rows']] == [
      ('b', 2, 1), ('a', 1, -1), ('c', None, None)]


def test_summaries_of_other_parameters_are_refused_in_words(write, service, postgres_dsn):
  write('1h', START, {'a': 1})
  summary = HeavyHitters(candidates=64, width=64)
  summary.update({'b': 2})
  client = PostgresBoards(postgres_dsn)
  client.apply([rank_board(('acme', 'play', START + HOUR), parse_window_size('1h'),
                           summary.to_bytes(), 10, 0)])
  client.close()
  problem = ask(service, START, START + 2 * HOUR, 422)
  assert 'parameters' in problem['detail']



def test_merged_spilled_boards_bracket_every_count(postgres_dsn, service):
  client = PostgresBoards(postgres_dsn)
  true = {}
  for day in range(6):
    summary = HeavyHitters()
    day_counts = {f'i{(day * 7919 + place) % 30_000:05}': 1 + 20_000 // (place + 1)
                  for place in range(12_000)}
    summary.update(day_counts)
    for item, count in day_counts.items():
      true[item] = true.get(item, 0) + count
    client.apply([rank_board(('acme', 'play', START + day * DAY), parse_window_size('1d'),
                             summary.to_bytes(), 1000, 0)])
  client.close()
  board = ask(service, START, START + 6 * DAY)
  assert board['total'] == sum(true.values()) and board['resolution'] != 'exact'
  ranked = sorted(true, key=lambda item: (-true[item], item))
  listed = {row['item'] for row in board['rows']}
  for row in board['rows']:
    assert row['lower'] <= true[row['item']] <= row['upper']
    if row['certified']:
      assert true[row['item']] >= true[ranked[99]]
  assert sum(row['certified'] for row in board['rows']) > 50
  assert max(true[item] for item in true if item not in listed) <= max(
      board['rest_upper'], *(row['upper'] for row in board['rows']))


def cached(client, name):
  found = {}
  for line in client.get('/metrics').text.splitlines():
    if line.startswith(f'topk_cache_requests_total{{cache="{name}"'):
      found[line.split('result="')[1].split('"')[0]] = float(line.split()[-1])
  return found


def test_costly_merges_are_kept_for_other_processes_and_never_out_of_date(
    write, postgres_dsn, redis_url, monkeypatch):
  monkeypatch.setattr('leaderboard.api.ranges._WORTH_SECS', 0)
  for hour in range(80):
    write('1h', START + hour * HOUR, {'a': 2, f'h{hour}': 1})
  both = Settings(postgres=postgres_dsn, redis=redis_url, admin_token='test')
  end = START + 80 * HOUR
  with serving.serving(both) as client:
    first = ask(client, START, end)
    assert cached(client, 'shared') == {'miss': 1} and cached(client, 'rollups') == {'miss': 4}
    serving.eventually(lambda: count(postgres_dsn) == 4)
    with redis.Redis.from_url(redis_url) as store:
      serving.eventually(lambda: store.keys('topk:cache:*'))
      assert 0 < store.ttl(store.keys('topk:cache:*')[0]) <= 300
  with serving.serving(both) as client:
    assert ask(client, START, end)['rows'] == first['rows']
    assert cached(client, 'shared') == {'hit': 1}
    # Another range has the whole days in common.
    board = ask(client, START, end - HOUR)
    assert counts(board) == {**{f'h{hour}': 1 for hour in range(79)}, 'a': 158}
    assert cached(client, 'rollups') == {'hit': 3}
  with serving.serving(serving.changed(both, shared_cache_secs=0)) as client:
    write('1h', START + 30 * HOUR, {'a': 3, 'h30': 1})
    board = ask(client, START, end)
    assert counts(board)['a'] == 161
    assert cached(client, 'rollups')['miss'] >= 1 and cached(client, 'shared') == {}
    with psycopg.connect(postgres_dsn) as connection:   # what is kept is lost: nothing is wrong
      connection.execute('truncate merged_ranges')
    assert counts(ask(client, START, end - 2 * HOUR))['a'] == 157
    with psycopg.connect(postgres_dsn) as connection:
      connection.execute('drop table merged_ranges')
    assert counts(ask(client, START, end - 3 * HOUR))['a'] == 155


def count(dsn):
  with psycopg.connect(dsn) as connection:
    return connection.execute('select count(*) from merged_ranges').fetchone()[0]


def newer(client, where, than):
  """The answer, if it was read later than another one."""
  found = client.get('/v1/leaderboards/flight', params=where).json()
  return found if found['as_of'] > than['as_of'] else None


@pytest.mark.slow
def test_what_the_archive_lacks_widens_the_bounds(flight_stores, tmp_path):
  root = tmp_path / 'parquet'
  shutil.copytree(flight_stores.parquet, root)
  settings = serving.changed(flight_stores, parquet=str(root))
  where = {'tenant': 'JFK', 'from': '2013-02-08', 'to': '2013-02-11T00:00:01Z', 'k': '100',
           'path': 'exact'}
  with serving.serving(settings) as client:
    whole = client.get('/v1/leaderboards/flight', params=where).json()
    assert whole['coverage']['complete'] and whole['resolution'] == 'exact'
    flighttruth.check(whole)
    (lost,) = [path for path in archive_files(str(root))
               if '/tenant=JFK/type=flight/date=2013-02-09/' in path]
    # The same event in another file is the same event.
    shutil.copy(lost, lost.replace('.parquet', 'x.parquet'))
    again = serving.eventually(lambda: newer(client, where, whole))
    assert again['rows'] == whole['rows']
    for path in (lost, lost.replace('.parquet', 'x.parquet')):
      shutil.move(path, tmp_path)
    serving.eventually(lambda: not client.get(
        '/v1/leaderboards/flight', params=where).json()['coverage']['complete'])
    part = client.get('/v1/leaderboards/flight', params=where).json()
    assert part['resolution'] != 'exact' and 'lacks events with a weight of 96' in part['degraded']
    true = dict(flighttruth.ranking('JFK', 'flight', *(map(
        flighttruth.epoch, (where['from'] + 'T00:00:00Z', where['to'])))))
    for row in part['rows']:
      assert row['lower'] <= true[row['item']] <= row['upper'] == row['lower'] + 96
    assert max(true.values()) <= max(row['upper'] for row in part['rows'])
