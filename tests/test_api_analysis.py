"""Percentiles, distributions, comparisons and trends over HTTP, against a count of the sample."""
import collections
import itertools

import pytest
from randomboards import true_rank
from spilled import SECS, truth_of
from test_api_distribution import true_holding, true_percentile
from test_api_members import ask, some_boards

from leaderboard.io.flags import moment, utc

DAY = 1_360_368_000   # 2013-02-09, of which the sample has all flights


@pytest.fixture(params=['flight_service', 'spilled_service'])
def service(request):
  """One that knows every count, and one that has forgotten most."""
  return request.getfixturevalue(request.param)


def check_spread(spread, truth):
  """Whether all bounds of a distribution hold."""
  weights = sorted(truth.values(), reverse=True)
  found = [(found_bin['items'], sum(found_bin['at_least'] <= weight < found_bin['below']
                                    for weight in weights)) for found_bin in spread['histogram']]
  assert spread['histogram'][-1]['below'] > weights[0]
  for head in spread['heads']:
    held = sum(weights[:head['k']])
    found += [(head['weight'], held), (head['share'], held / truth.total())]
  found += [(held['items'], true_holding(weights, held['share'])) for held in spread['holding']]
  found.append((spread['items'], len(truth)))
  assert spread['total'] == truth.total()
  for bounds, value in found:
    assert bounds['lower'] <= value <= bounds['upper'], (bounds, value)
  return all(bounds['lower'] == bounds['upper'] for bounds, value in found
             if isinstance(value, int))


def test_distribution_holds_the_truth_and_is_exact_where_the_board_is(service, request):
  closed = [check_spread(ask(service, board, 'distribution'), truth)
            for board, truth in some_boards(['1h', '1d'], 10, 7)]
  assert any(closed)
  assert all(closed) == ('flight_service' in request.fixturenames)


def test_percentiles_hold_the_truth(service):
  percents = ['0.5', '10', '50', '90', '99.9', '100']
  for board, truth in some_boards(['1h', '1d'], 10, 8):
    answer = ask(service, board, 'percentiles', p=percents)
    assert [found['percent'] for found in answer['percentiles']] == [*map(float, percents)]
    for found in answer['percentiles']:
      true = true_percentile(list(truth.values()), found['percent'])
      assert found['lower'] <= true <= found['upper']
      if answer['items']['lower'] == answer['items']['upper']:
        assert found['lower'] == found['upper'] or answer['path'] == 'history'
  assert len(ask(service, board, 'percentiles')['percentiles']) == 4


def check_changes(changes, now, before, ties):
  for change in changes:
    item = change['item']
    for place, truth in ((change['now'], now), (change['before'], before)):
      assert place['lower'] <= truth[item] <= place['upper']
      share = truth[item] / truth.total()
      assert place['share']['lower'] <= share <= place['share']['upper']
    by = now[item] - before[item]
    assert change['by']['lower'] <= by <= change['by']['upper']
    assert change['direction'] in (
        'unproven', 'up' if by > 0 else 'down' if by < 0 else 'same')
    share_by = now[item] / now.total() - before[item] / before.total()
    assert change['share_by']['lower'] - 1e-12 <= share_by <= change['share_by']['upper'] + 1e-12
    if now[item] and before[item]:
      gained = true_rank(before, item, ties) - true_rank(now, item, ties)
      assert change['ranks_gained']['lower'] <= gained <= change['ranks_gained']['upper']


@pytest.mark.parametrize('ties', ['ordinal', 'competition'])
def test_window_is_compared_with_the_one_before_or_another(service, ties):
  truth = truth_of(['1d', '1h'])
  for kind, (size, start) in itertools.product(
      ('flight', 'aircraft'), (('1d', DAY), ('1h', DAY + 39 * 3600))):
    for params, other in (({}, start - SECS[size]), ({'with_at': utc(start + SECS[size] + 60)},
                                                     start + SECS[size])):
      board = ('JFK', kind, size, start)
      answer = ask(service, board, 'compare', k=7, ties=ties, **params)
      assert (answer['now']['from'], answer['before']['from']) == (utc(start), utc(other))
      now, before = truth[board], truth['JFK', kind, size, other]
      check_changes(answer['changes'], now, before, ties)
      leaders = sorted(now, key=lambda item: (-now[item], item))[:7]
      if answer['now']['path'] == 'live':
        assert [change['item'] for change in answer['changes'][:7]] == leaders


def test_trend_has_the_item_in_every_window(service):
  truth = truth_of(['1h'])
  start, end = DAY - 6 * 3600, DAY + 30 * 3600
  for kind, ties in itertools.product(('flight', 'aircraft'), ('ordinal', 'dense')):
    day = collections.Counter()
    for board, counts in truth.items():
      if board[:2] == ('EWR', kind):
        day.update(counts)
    ranked = [item for item, _ in day.most_common()]
    for item in (ranked[0], ranked[len(ranked) // 2], ranked[-1], 'never'):
      answer = service.get(f'/v1/leaderboards/{kind}/trend', params={
          'tenant': 'EWR', 'item': item, 'window': '1h', 'from': utc(start), 'to': utc(end),
          'ties': ties})
      assert answer.status_code == 200, answer.text
      points = answer.json()['points']
      assert [point['from'] for point in points] == [*map(utc, range(start, end, 3600))]
      for point in points:
        counts = truth.get(('EWR', kind, '1h', moment(point['from'], 'UTC')))
        assert point['stored'] == (counts is not None)
        if counts is None:
          assert {point[name] for name in ('rank', 'count', 'upper', 'total')} == {None}
          continue
        assert point['lower'] <= counts[item] <= point['upper']
        assert point['total'] == counts.total()
        if counts[item]:
          assert point['rank']['best'] <= true_rank(counts, item, ties) <= point['rank']['worst']


def test_trend_of_the_last_windows(flight_service):
  path = '/v1/leaderboards/flight/trend'
  def starts(**params):
    answer = flight_service.get(path, params={'tenant': 'JFK', 'item': 'LAX', **params})
    assert answer.status_code == 200, answer.text
    return [point['from'] for point in answer.json()['points']]

  assert starts(at='2013-02-10T15:30Z', points=3) == [
      '2013-02-10T13:00:00Z', '2013-02-10T14:00:00Z', '2013-02-10T15:00:00Z']
  newest = max(start for tenant, kind, _, start in truth_of(['1d'])
               if (tenant, kind) == ('JFK', 'flight'))
  assert starts(window='1d', points=2) == [utc(newest - 86_400), utc(newest)]
  assert len(starts()) == 24
  assert starts(window='1w', at='2013-02-09', points=2) == [
      '2013-01-28T00:00:00Z', '2013-02-04T00:00:00Z']


@pytest.mark.parametrize(('what', 'params', 'field'), [
    ('percentiles', {'p': 'half'}, 'p'), ('percentiles', {'p': '0'}, 'p'),
    ('percentiles', {'p': '100.1'}, 'p'), ('percentiles', {'p': '1e-9'}, 'p'),
    ('percentiles', {'p': '5' * 30}, 'p'), ('percentiles', {'p': ['1'] * 101}, 'p'),
    ('percentiles', {'p': '1/3'}, 'p'), ('percentiles', {'p': '.'}, 'p'),
    ('compare', {'k': 101}, 'k'), ('compare', {'with_at': 'then'}, 'with_at'),
    ('compare', {'with_from': '2013-02-09', 'with_to': '2013-02-10'}, 'with_from'),
    ('compare', {'from': '2013-02-09', 'to': '2013-02-10', 'with_at': '2013-02-01'}, 'with_at'),
    ('compare', {'from': '2013-02-09', 'to': '2013-02-10', 'with_to': '2013-02-01'}, 'with_from'),
    ('compare', {'from': '2013-02-09', 'to': '2013-02-10', 'with_from': '2013-02-02',
                 'with_to': '2013-02-02'}, 'with_to'),
    ('trend', {}, 'item'), ('trend', {'item': 'a', 'points': 1001}, 'points'),
    ('trend', {'item': 'a', 'points': 5, 'from': '2013-02-09', 'to': '2013-02-10'}, 'points'),
    ('trend', {'item': 'a', 'from': '2013-02-09'}, 'to'),
    ('trend', {'item': 'a', 'from': '2013-02-09', 'to': '2013-02-09'}, 'to'),
    ('trend', {'item': 'a', 'from': '2000-01-01', 'to': '2100-01-01', 'window': '1s'}, 'to'),
    ('trend', {'item': 'a', 'from': '2013-02-09T00:10', 'to': '2013-02-09T00:20'}, 'to'),
    ('trend', {'item': 'a', 'path': 'exact'}, 'path'),
    ('distribution', {'window': '25h/'}, 'window')])
def test_mistake_is_named(flight_service, what, params, field):
  answer = flight_service.get(f'/v1/leaderboards/flight/{what}', params={'tenant': 'JFK', **params})
  problem = answer.json()
  assert (answer.status_code, problem['field']) == (422, field), answer.text
  assert problem['detail']


def test_trend_of_nothing_is_not_found(flight_service):
  for params in ({'tenant': 'JFK', 'at': '2012-02-09'}, {'at': '2013-02-09'},
                 {'tenant': 'JFK', 'window': '1mo', 'at': '2000-02-09'}):
    answer = flight_service.get('/v1/leaderboards/flight/trend', params={'item': 'LAX', **params})
    assert (answer.status_code, answer.json()['type']) == (404, 'urn:topk-leaderboard:no_board')


def test_nothing_to_compare_with_is_told(flight_service):
  answer = flight_service.get('/v1/leaderboards/flight/compare', params={
      'tenant': 'JFK', 'window': '1d', 'at': '2013-02-09', 'with_at': '2012-02-09'})
  assert (answer.status_code, answer.json()['field']) == (404, 'with_at'), answer.text
  assert answer.json()['detail'].startswith('nothing to compare with')
