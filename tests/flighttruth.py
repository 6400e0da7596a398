"""What the boards of the sample must say, by queries of DuckDB over its events alone."""
import datetime
import functools

import duckdb
from serving import SAMPLE


@functools.cache
def _events():
  connection = duckdb.connect()
  connection.execute(
      f"create table events as select tenant_id, event_type, timestamp as at_ms, item_id from "
      f"read_json('{SAMPLE}', format='newline_delimited') where timestamp is not null "
      f'and item_id is not null')
  return connection


@functools.cache
def ranking(tenant, event_type, from_secs, to_secs):
  """[(item, count)] of a range, in rank order."""
  return _events().cursor().execute(
      'select item_id, count(*) as n from events where tenant_id = ? and event_type = ? '
      'and at_ms >= ? and at_ms < ? group by 1 order by n desc, item_id',
      [tenant, event_type, from_secs * 1000, to_secs * 1000]).fetchall()


def check(board, from_secs=None, to_secs=None):
  """Asserts that an answer says about its range what the events say: exactly what it lists, and
  bounds that hold for all else."""
  from_secs = epoch(board['from']) if from_secs is None else from_secs
  to_secs = epoch(board['to']) if to_secs is None else to_secs
  true = ranking(board['tenant'], board['event_type'], from_secs, to_secs)
  counts = dict(true)
  assert board['events'] == board['total'] == sum(counts.values())
  listed = {row['item'] for row in board['rows']}
  for row in board['rows']:
    assert row['lower'] <= counts[row['item']] <= row['upper']
    assert row['count'] == row['lower']
  assert max((count for item, count in true if item not in listed), default=0) <= max(
      [board['rest_upper'], *(row['upper'] for row in board['rows'])])
  if board['resolution'] == 'exact':
    rows = [(row['item'], row['count']) for row in board['rows']]
    first = board['rows'][0]['rank'] - 1 if board['rows'] else 0
    assert rows == true[first:first + len(rows)]
    assert all(row['certified'] and row['lower'] == row['upper'] for row in board['rows'])


def epoch(text):
  """Epoch seconds of a moment of an answer."""
  return int(datetime.datetime.fromisoformat(text.replace('Z', '+00:00')).timestamp())
