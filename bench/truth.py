"""The true counts of an input, counted once by DuckDB and kept beside it, and what they say of an
answer."""
import dataclasses
import functools
import uuid

import contestants
import duckdb
import inputs


class WrongAnswer(Exception):
  """A contestant's answer is not true."""


@functools.cache
def of(events: inputs.Events) -> 'Truth':
  """The true counts of an input, which exists; both kinds of file hold the same events."""
  path = events.make()
  kept = dataclasses.replace(events, kind='json').path.with_suffix('.counts.parquet')
  if not kept.exists():
    source = f"read_json('{path}', format='newline_delimited')" if events.kind == 'json' else \
        f"read_parquet('{path}')"
    part = kept.with_name(f'.{uuid.uuid4().hex}.part')
    duckdb.execute(f"""copy (
        select tenant_id, event_type, timestamp // 60000 * 60 as start, item_id, count(*) as n
        from {source} group by all order by 1, 2, 3, n desc) to '{part}' (format parquet)""")
    part.rename(kept)
  return Truth(str(kept))


class Truth:
  """The true counts."""

  def __init__(self, path):
    self._counts = duckdb.connect().from_parquet(path)
    self.totals = {row[:3]: int(row[3]) for row in self._counts.aggregate(
        'tenant_id, event_type, start, sum(n)').fetchall()}
    tops = self._counts.aggregate(
        f'tenant_id, event_type, start, max(n, {contestants.K})').fetchall()
    self._tops = {row[:3]: row[3] for row in tops}

  def _of(self, board, items):
    found = dict(self._counts.filter(
        f"tenant_id = '{board[0]}' and event_type = '{board[1]}' and start = {board[2]}")
        .select('item_id, n').fetchall())
    return {item: found.get(item, 0) for item in items}

  def check_answer(self, name, answer):
    """Exact answers: all totals, and the heaviest items with their counts (ties any way).

    Args:
      answer: [tenant, type, start, total, {item: count}] of every board.

    Raises:
      WrongAnswer: says where.
    """
    totals = {tuple(row[:3]): row[3] for row in answer}
    if totals != self.totals:
      raise WrongAnswer(f'{name}: the boards or their totals are wrong')
    for tenant, kind, start, _, items in answer:
      board = tenant, kind, start
      if sorted(items.values(), reverse=True) != sorted(self._tops[board], reverse=True):
        raise WrongAnswer(f'{name}: the top {contestants.K} of {board} are others')
    board, items = max(((tuple(row[:3]), row[4]) for row in answer),
                       key=lambda found: self.totals[found[0]])
    if self._of(board, items) != items:
      raise WrongAnswer(f'{name}: counts of {board} are wrong')

  def check_boards(self, name, store):
    """Boards in a store: all totals, every bracket true, every certified row in the true top,
    and what is called exact exact.

    Raises:
      WrongAnswer: says where.
    """
    for board, total in self.totals.items():
      tenant, kind, start = board
      record = store.read_board(tenant, kind, '1m', start)
      if record is None or (record.events, record.total) != (total, total):
        raise WrongAnswer(f'{name}: the total of {board} is wrong')
      true = self._of(board, [row.item for row in record.rows])
      for row in record.rows:
        if not row.count <= true[row.item] <= row.upper:
          raise WrongAnswer(f'{name}: {row} of {board} is {true[row.item]} in truth')
      counts = [row.count for row in record.rows]
      if record.resolution in ('exact', 'resolved') and min(self._tops[board]) > min(
          true.values()):
        raise WrongAnswer(f'{name}: {board} is called {record.resolution} and lacks rows')
      if record.resolution == 'exact' and counts != sorted(self._tops[board], reverse=True):
        raise WrongAnswer(f'{name}: {board} is called exact and is not')
