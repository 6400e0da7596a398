"""Leaderboards over HTTP: every answer is that of an independent query."""


def test_board_of_a_day_has_its_rows(flight_service):
  answer = flight_service.get('/v1/leaderboards/flight', params={
      'tenant': 'JFK', 'window': '1d', 'at': '2013-02-09', 'k': 5})
  assert answer.status_code == 200, answer.text
  board = answer.json()
  assert [row['rank'] for row in board['rows']] == [1, 2, 3, 4, 5]
  assert board['path'] == 'live'
  assert board['from'] == '2013-02-09T00:00:00Z'
