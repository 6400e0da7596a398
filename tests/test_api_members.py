"""Ranks and brackets of any item over HTTP, against a count of the sample's lines."""
import collections
import itertools
import random

import pytest
import serving
from randomboards import true_rank
from spilled import asked, sample_events, truth_of

from leaderboard.io.flags import moment

POLICIES = ('ordinal', 'dense', 'competition')


def some_boards(sizes, number, seed):
  truth = truth_of(sizes)
  return [(board, truth[board]) for board in random.Random(seed).sample(sorted(truth), number)]


def ask(service, board, what, **params):
  path, params = asked(board, **params)
  answer = service.get(f'{path}/{what}', params=params)
  assert answer.status_code == 200, answer.text
  return answer.json()


def batch(service, board, items, **params):
  path, params = asked(board, **params)
  answer = service.post(f'{path}/members:batch', params=params, json={'items': items})
  assert answer.status_code == 200, answer.text
  return answer.json()


def check(found, truth, ties):
  """Whether everything that is said of an item is so."""
  count, total = truth[found['item']], truth.total()
  assert found['count'] == found['lower'] <= count <= found['upper']
  assert found['share']['lower'] <= count / total <= found['share']['upper']
  if not count:
    return
  assert found['rank']['best'] <= true_rank(truth, found['item'], ties) <= found['rank']['worst']
  below = sum(other <= count for other in truth.values()) / len(truth)
  assert found['percentile']['lower'] <= below <= found['percentile']['upper']


@pytest.mark.parametrize('path', ['live', 'history', 'auto'])
def test_every_item_of_exact_boards_has_its_exact_rank(flight_service, path):
  for (board, truth), ties in itertools.product(some_boards(['1h', '1d'], 6, 1), POLICIES):
    answer = batch(flight_service, board, [*truth, 'never'], path=path, ties=ties)
    assert [found['item'] for found in answer['members']] == [*truth, 'never']
    assert answer['items'] == {'lower': len(truth), 'upper': len(truth)}
    for found in answer['members'][:-1]:
      check(found, truth, ties)
      assert found['listed'] and found['lower'] == found['upper']
      assert found['rank']['best'] == found['rank']['worst']
    never = answer['members'][-1]
    assert (never['rank'], never['upper'], never['listed'], never['percentile']) == (
        None, 0, False, None)


@pytest.mark.parametrize('path', ['live', 'history', 'auto'])
def test_brackets_of_boards_that_forgot_most_items_hold(spilled_service, path):
  wide = 0
  for (board, truth), ties in itertools.product(some_boards(['1h', '1d'], 12, 2), POLICIES):
    answer = batch(spilled_service, board, [*truth, 'never'], path=path, ties=ties)
    assert answer['items']['lower'] <= len(truth) <= answer['items']['upper']
    for found in answer['members']:
      check(found, truth, ties)
      wide += found['lower'] < found['upper']
  assert wide


def test_item_that_the_rows_do_not_list_is_asked_of_the_summary(spilled_service):
  board = ('JFK', 'aircraft', '1d', 1_360_368_000)
  truth = truth_of(['1d'])[board]
  path, params = asked(board, k=6)
  rows = [row['item'] for row in spilled_service.get(path, params=params).json()['rows']]
  tracked = [found['item'] for found in batch(spilled_service, board, list(truth))['members']
             if found['listed']]
  assert set(rows) < set(tracked) < set(truth)
  for item, answered_by in ((rows[0], 'live'), (next(iter(set(tracked) - set(rows))), 'history'),
                            (next(iter(set(truth) - set(tracked))), 'history')):
    found = ask(spilled_service, board, 'members', item=item)
    live = ask(spilled_service, board, 'members', item=item, path='live')
    assert (found['path'], found['member']['listed']) == (answered_by, item in tracked)
    assert (live['path'], live['member']['listed']) == ('live', item in rows)
    # The summary is never less sure than the rows that were taken from it.
    assert live['member']['lower'] <= found['member']['lower']
    assert found['member']['upper'] <= live['member']['upper']
    assert live['member']['rank']['best'] <= found['member']['rank']['best']
    assert found['member']['rank']['worst'] <= live['member']['rank']['worst']


@pytest.mark.parametrize('missing', ['redis', 'postgres'])
def test_brackets_hold_with_a_store_less(spilled_stores, missing):
  with serving.serving(serving.changed(spilled_stores, **{missing: None})) as service:
    for board, truth in some_boards(['1h', '1d'], 6, 9):
      answer = batch(service, board, [*truth, 'never'])
      assert answer['path'] == {'redis': 'history', 'postgres': 'live'}[missing]
      for found in answer['members']:
        check(found, truth, 'ordinal')


@pytest.mark.parametrize(('start', 'end', 'path'), [
    ('2013-02-09T03:00:00Z', '2013-02-10T15:00:00Z', 'history'),
    ('2013-02-09T03:17:11Z', '2013-02-10T14:41:59Z', 'exact')])
@pytest.mark.parametrize('service', ['flight_service', 'spilled_service'])
def test_ranges_with_any_edges_hold_the_truth(request, service, start, end, path):
  service = request.getfixturevalue(service)
  for kind in ('flight', 'aircraft'):
    truth = collections.Counter(
        item for tenant, event_type, secs, item in sample_events()
        if (tenant, event_type) == ('LGA', kind)
        and moment(start, 'UTC') <= secs < moment(end, 'UTC'))
    answer = service.post(f'/v1/leaderboards/{kind}/members:batch', json={'items': [*truth, 'no']},
                          params={'tenant': 'LGA', 'from': start, 'to': end}).json()
    assert (answer['path'], answer['from'], answer['to']) == (path, start, end), answer
    assert answer['total'] == truth.total()
    assert answer['items']['lower'] <= len(truth) <= answer['items']['upper']
    for found in answer['members']:
      check(found, truth, 'ordinal')
      assert path == 'history' or found['lower'] == found['upper']


@pytest.mark.parametrize('n', [1, 3, 100])
def test_neighbours_are_the_rows_above_and_below(flight_service, n):
  (board, truth), = some_boards(['1d'], 1, 4)
  ranked = sorted(truth, key=lambda item: (-truth[item], item))
  for place, item in enumerate(ranked):
    answer = ask(flight_service, board, 'neighbours', item=item, n=n)
    assert [found['item'] for found in (*answer['above'], answer['member'], *answer['below'])] == (
        ranked[max(place - n, 0):place + n + 1])
    assert [found['rank']['best'] for found in answer['above']] == list(
        range(max(place - n, 0) + 1, place + 1))
  last = ask(flight_service, board, 'neighbours', item='never', n=n)
  assert [found['item'] for found in last['above']] == ranked[-n:]
  assert (last['below'], last['member']['rank']) == ([], None)


def test_item_may_hold_any_characters(flight_service):
  (board, _), = some_boards(['1d'], 1, 5)
  for item in ('a/b', '?&=#%', '../..', "'; drop table board_windows; --", 'é日本🛫', ' ', '{}:*'):
    assert ask(flight_service, board, 'members', item=item)['member']['item'] == item


def test_tied_places_of_an_answer_agree_with_its_leaderboard(flight_service):
  for board, _ in some_boards(['1d'], 3, 6):
    path, params = asked(board, k=100)
    rows = flight_service.get(path, params=params).json()['rows']
    members = batch(flight_service, board, [row['item'] for row in rows])['members']
    assert [(found['rank']['best'], found['rank']['worst'], found['count'], found['upper'])
            for found in members] == [
                (row['rank'], row['rank'], row['count'], row['upper']) for row in rows]


@pytest.mark.parametrize(('what', 'params', 'field'), [
    ('members', {}, 'item'),
    ('members', {'item': ''}, 'item'),
    ('members', {'item': 'x' * 513}, 'item'),
    ('members', {'item': 'é' * 300}, 'item'),
    ('members', {'item': 'a\x00b'}, 'item'),
    ('members', {'item': 'a', 'ties': 'fair'}, 'ties'),
    ('members', {'item': 'a', 'path': 'nowhere'}, 'path'),
    ('members', {'item': 'a', 'window': '1x'}, 'window'),
    ('members', {'item': 'a', 'at': 'soon'}, 'at'),
    ('members', {'item': 'a', 'tenant': 'x' * 65}, 'tenant'),
    ('members', {'item': 'a', 'from': '2013-02-10', 'to': '2013-02-09'}, 'to'),
    ('members', {'item': 'a', 'from': '2013-02-10'}, 'to'),
    ('neighbours', {'item': 'a', 'n': 0}, 'n'),
    ('neighbours', {'item': 'a', 'n': 101}, 'n'),
    ('neighbours', {'item': 'a', 'n': '1e3'}, 'n')])
def test_mistake_is_named(flight_service, what, params, field):
  answer = flight_service.get(f'/v1/leaderboards/flight/{what}', params=params)
  problem = answer.json()
  assert (answer.status_code, problem['field']) == (422, field), answer.text
  assert answer.headers['content-type'] == 'application/problem+json'
  assert problem['detail'] and problem['remedy'] != ''


@pytest.mark.parametrize(('body', 'field'), [
    ({}, 'items'), ({'items': []}, 'items'), ({'items': ['a'] * 1001}, 'items'),
    ({'items': ['a', 'b\x01']}, 'items.1'), ({'items': ['é' * 300]}, 'items.0'),
    ({'items': [1]}, 'items.0'), ({'items': 'a'}, 'items')])
def test_mistake_in_a_batch_is_named(flight_service, body, field):
  answer = flight_service.post('/v1/leaderboards/flight/members:batch', json=body)
  assert (answer.status_code, answer.json()['field']) == (422, field), answer.text


def test_board_that_is_not_there_is_not_found(flight_service):
  answer = flight_service.get('/v1/leaderboards/nothing/members', params={'item': 'a'})
  assert (answer.status_code, answer.json()['type']) == (404, 'urn:topk-leaderboard:no_board')
