"""An answer and a refusal as OpenAPI shows them."""

LEADERBOARD = {
    'tenant': 'JFK', 'event_type': 'flight', 'window': '1d', 'from': '2013-07-01T00:00:00Z',
    'to': '2013-07-02T00:00:00Z', 'path': 'live', 'degraded': None,
    'revision': {'generation': 0, 'events': 290}, 'final': True,
    'coverage': {'complete': True, 'windows': [{'size': '1d', 'count': 1}], 'missing': [],
                 'missing_windows': 0},
    'k': 2, 'events': 290, 'total': 290, 'tau': 0, 'rest_upper': 0, 'resolution': 'exact',
    'epsilon': 0.0, 'delta': 0.0, 'certified_prefix': 60,
    'compared_with': {'from': '2013-06-30T00:00:00Z', 'to': '2013-07-01T00:00:00Z',
                      'complete': True},
    'rows': [
        {'rank': 1, 'item': 'LAX', 'count': 33, 'lower': 33, 'upper': 33, 'certified': True,
         'share': 0.113793, 'previous_rank': 1, 'movement': 0},
        {'rank': 2, 'item': 'SFO', 'count': 22, 'lower': 22, 'upper': 22, 'certified': True,
         'share': 0.075862, 'previous_rank': 3, 'movement': 1}],
    'next': None, 'previous': None, 'moved': False, 'as_of': '2013-07-02T01:00:00.250Z',
    'age_secs': 0.25}

PROBLEM = {
    'type': 'urn:topk-leaderboard:bad_parameter', 'title': 'Unprocessable Content', 'status': 422,
    'detail': 'to: must be later than from=2013-07-02', 'field': 'to', 'value': '2013-07-01',
    'remedy': 'turn them round'}
