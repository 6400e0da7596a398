"""Answers against the truth, where stores are untidy: windows that are missing, late or counted
anew, and boards that forgot most of their items."""
import collections
import itertools
import random

import flighttruth
import psycopg
import pytest
import serving
from spilled import SECS, asked, sample_events, truth_of

from leaderboard.api.settings import Settings
from leaderboard.io.flags import moment, utc
from leaderboard.io.postgresio import PostgresBoards
from leaderboard.transforms import HeavyHitters
from leaderboard.transforms.boards import parse_window_size
from leaderboard.transforms.ranking import rank_board

START = 1_356_998_400   # 2013-01-01
CELL, HOUR, DAY = 900, 3600, 86_400
LABELS = {'15m': CELL, '1h': HOUR, '1d': DAY}
DAYS = 2


class World:
  """A tenant's stored windows of three sizes, and what each holds: (generation, counts)."""

  def __init__(self, rng, tenant, client, items):
    self.rng, self.tenant, self.client = rng, tenant, client
    self.stored = {}
    self.cells = {}   # start -> counts, as they are now
    names = [f'i{number}' for number in range(items)]
    shares = [1 / (1 + place) for place in range(items)]
    self._draw = lambda: collections.Counter(
        rng.choices(names, shares, k=rng.choice([1, 3, 20])))
    for start in range(START, START + DAYS * DAY, CELL):
      if rng.random() < .7:
        self.cells[start] = self._draw()
    self.store(LABELS, START, START + DAYS * DAY, 0)
    for _ in range(rng.randint(0, 4)):
      rng.choice([self._late, self._backfill])()

  def store(self, labels, low, high, generation):
    """Writes the windows of [low, high), as they are now."""
    records = []
    for label in labels:
      secs = LABELS[label]
      for start in range(low, high, secs):
        counts = self.counts(start, start + secs)
        if not counts:
          continue
        summary = HeavyHitters(candidates=8, depth=2, width=16)
        summary.update(counts)
        records.append(rank_board((self.tenant, 'play', start), parse_window_size(label),
                                  summary.to_bytes(), 6, generation))
        old = self.stored.get((label, start))
        if old is None or (generation, counts.total()) > (old[0], old[1].total()):
          self.stored[label, start] = generation, counts
    # Windows that overlap those of the fixed sizes and must never be taken for them.
    if generation == 0 and low == START:
      summary = HeavyHitters(candidates=8, depth=2, width=16)
      summary.add('sliding')
      records += [rank_board((self.tenant, 'play', start), parse_window_size('1h/15m'),
                             summary.to_bytes(), 6, 9) for start in range(low, high, CELL)]
    self.client.apply(records)

  def counts(self, low, high):
    return sum((self.cells.get(start, collections.Counter())
                for start in range(low, high, CELL)), collections.Counter())

  def _late(self):
    """Events that have reached some sizes, and the others not yet."""
    start = self.rng.randrange(START, START + DAYS * DAY, HOUR)
    generation = max((self.stored[key][0] for key in self.stored
                      if key[1] <= start < key[1] + LABELS[key[0]]), default=0)
    for cell in range(start, start + HOUR, CELL):
      self.cells[cell] = self.cells.get(cell, collections.Counter()) + self._draw()
    self.store(['15m', '1h'], start, start + HOUR, generation)

  def _backfill(self):
    """Hours that are counted anew, and hold something else then."""
    start = self.rng.randrange(START, START + DAYS * DAY, HOUR)
    end = min(start + self.rng.randint(1, 30) * HOUR, START + DAYS * DAY)
    generation = 1 + max(found[0] for found in self.stored.values())
    for cell in range(start, end, CELL):
      self.cells[cell] = self._draw()
    self.store(['15m', '1h'], start, end, generation)
    if self.rng.random() < .5:   # and the days, all of whose hours are then of one generation
      low, high = start - start % DAY, end + -end % DAY
      self.store(LABELS, low, high, generation + 1)

  def drop(self, execute):
    """Some windows are lost."""
    for label, start in list(self.stored):
      if self.rng.random() < .15:
        del self.stored[label, start]
        execute('delete from board_windows where tenant_id = %s and window_size = %s '
                'and window_start = to_timestamp(%s)', [self.tenant, label, start])

  def chosen(self, low, high):
    """The stored windows that make up a range: of every cell the coarsest one inside the range
    that its own parts have not overtaken."""
    found, cell = {}, low
    while cell < high:
      for label, secs in reversed(LABELS.items()):
        start = cell - cell % secs
        if low <= start and start + secs <= high and self._stands(label, start):
          found[label, start] = self.stored[label, start][1]
          cell = start + secs
          break
      else:
        cell += CELL
    return found

  def _stands(self, label, start):
    if (label, start) not in self.stored:
      return False
    finer = {'1d': '1h', '1h': '15m', '15m': None}[label]
    parts = [self.stored[finer, part] for part in range(start, start + LABELS[label], LABELS[finer])
             if (finer, part) in self.stored] if finer else []
    generation, counts = self.stored[label, start]
    return not parts or (max(found[0] for found in parts), sum(
        found[1].total() for found in parts)) <= (generation, counts.total())


def check(answer, true, k):
  """Whether what an answer says is so; `true` are the counts of what it covers."""
  assert answer['total'] == answer['events'] == true.total()
  rows = answer['rows']
  assert [row['rank'] for row in rows] == list(range(1, len(rows) + 1))
  assert rows == sorted(rows, key=lambda row: (-row['lower'], row['item']))
  ranked = sorted(true, key=lambda item: (-true[item], item))
  least = true[ranked[min(k, len(true)) - 1]]
  for row in rows:
    assert row['lower'] <= true[row['item']] <= row['upper'], row
    assert not row['certified'] or true[row['item']] >= least, row
  if answer['resolution'] == 'exact':
    assert [row['item'] for row in rows] == ranked[:len(rows)]
    assert all(row['lower'] == row['upper'] for row in rows)
    assert len(rows) == min(k, len(true)) or answer['rest_upper']
  prefix = answer['certified_prefix']
  assert all(true[row['item']] == true[item] for row, item in zip(
      rows[:prefix], ranked[:prefix], strict=False))


@pytest.mark.parametrize('whole', [True, False])
def test_ranges_of_untidy_windows_hold_the_truth(postgres_dsn, whole):
  client = PostgresBoards(postgres_dsn)
  rng = random.Random(9 + whole)
  spilled, missing, sizes = 0, 0, collections.Counter()

  with serving.serving(Settings(postgres=postgres_dsn)) as service, psycopg.connect(
      postgres_dsn, autocommit=True) as connection:
    for number in range(8):
      world = World(rng, f'w{number}', client, (40, 100, 12)[number % 3])
      if not whole:
        world.drop(connection.execute)
      for _ in range(12):
        low, high = sorted(rng.sample(range(START, START + DAYS * DAY + 1, rng.choice(
            [CELL, HOUR])), 2))
        k = rng.choice([1, 3, 10, 1000])
        tiles = world.chosen(low, high)
        answer = service.get('/v1/leaderboards/play', params={
            'tenant': world.tenant, 'from': utc(low), 'to': utc(high), 'k': k})
        if not tiles:
          assert answer.status_code == 404
          continue
        answer = answer.json()
        true = sum(tiles.values(), collections.Counter())
        if whole:
          assert true == world.counts(low, high)
        assert (answer['from'], answer['to']) == (utc(low), utc(high))
        check(answer, true, k)
        windows = collections.Counter(label for label, _ in tiles)
        assert {each['size']: each['count'] for each in answer['coverage']['windows']} == windows
        covered = {cell for label, start in tiles
                   for cell in range(start, start + LABELS[label], CELL)}
        gone = {cell for gap in answer['coverage']['missing'] for cell in range(
            moment(gap['from'], 'UTC'), moment(gap['to'], 'UTC'), CELL)}
        assert gone == set(range(low, high, CELL)) - covered
        assert answer['coverage']['complete'] == (not gone)
        kept = {row['item'] for row in service.get('/v1/leaderboards/play', params={
            'tenant': world.tenant, 'from': utc(low), 'to': utc(high), 'k': 1000}).json()['rows']}
        assert max((count for item, count in true.items() if item not in kept),
                   default=0) <= answer['rest_upper']
        spilled += answer['resolution'] != 'exact'
        missing += bool(gone)
        sizes += windows
        odd = service.get('/v1/leaderboards/play', params={
            'tenant': world.tenant, 'from': utc(low), 'to': utc(high - 1)})
        assert (odd.status_code, odd.json().get('field')) == (422, 'to'), odd.text
  client.close()
  assert spilled > 30 and missing and len(sizes) == 3


def test_rest_upper_bounds_what_is_not_kept(spilled_service):
  open_ = 0
  truth = {board: counts for board, counts in truth_of(SECS).items() if len(counts) > 8}
  for board, path in itertools.product(random.Random(4).sample(sorted(truth), 20),
                                       ['live', 'history', 'exact']):
    url, params = asked(board, path=path)
    few, all_ = (spilled_service.get(url, params=params | {'k': k}).json() for k in (1, 1000))
    true = truth[board]
    # By the history, a page beyond the kept rows is of the whole summary.
    assert few['rest_upper'] == all_['rest_upper'] or path == 'history'
    kept = {row['item'] for row in all_['rows']}
    assert max((true[item] for item in true if item not in kept), default=0) <= all_['rest_upper']
    check(few, true, 1)
    check(all_, true, 1000)
    open_ += all_['rest_upper'] > 0
  assert open_ > 20


def test_movement_of_a_range_is_told_against_the_time_just_before(flight_service):
  moved = collections.Counter()
  for path, start, end in (('auto', '2013-02-09T12:00:00Z', '2013-02-10T09:00:00Z'),
                           ('exact', '2013-02-09T12:00:00Z', '2013-02-10T09:00:00Z'),
                           ('auto', '2013-02-10T01:02:03Z', '2013-02-10T20:01:00Z')):
    where = {'tenant': 'JFK', 'from': start, 'to': end, 'path': path, 'k': 25}
    silent = flight_service.get('/v1/leaderboards/flight', params=where).json()
    assert silent['compared_with'] is None
    assert {(row['previous_rank'], row['movement']) for row in silent['rows']} == {(None, None)}
    board = flight_service.get('/v1/leaderboards/flight', params=where | {'movement': True}).json()
    low, high = flighttruth.epoch(start), flighttruth.epoch(end)
    against = board['compared_with']
    assert (against['from'], against['to']) == (utc(2 * low - high), start)
    before = [item for item, _ in flighttruth.ranking('JFK', 'flight', 2 * low - high, low)]
    for row in board['rows']:
      rank = before.index(row['item']) + 1 if row['item'] in before else None
      assert row['previous_rank'] == rank
      # Where windows of the time before are missing, no one knows what was in them.
      assert row['movement'] == (rank - row['rank'] if rank else
                                 'new' if against['complete'] else None)
      moved[type(row['movement'])] += 1
  assert moved[int] > 20


def test_exact_window_tells_movement_as_the_others_do(flight_service):
  where = {'tenant': 'JFK', 'window': '1d', 'at': '2013-02-10', 'k': 30}
  exact, live = (flight_service.get('/v1/leaderboards/flight', params=where | {'path': path}).json()
                 for path in ('exact', 'live'))
  assert exact['path'] == 'exact' and exact['compared_with'] == live['compared_with']
  assert exact['rows'] == live['rows']


def test_exact_answers_know_items_beyond_those_they_list(flight_stores, monkeypatch):
  monkeypatch.setattr('leaderboard.api.archive._LISTED', 5)
  start, end = '2013-02-09T03:17:11Z', '2013-02-10T14:41:59Z'
  true = collections.Counter(
      item for tenant, kind, secs, item in sample_events()
      if (tenant, kind) == ('LGA', 'aircraft')
      and moment(start, 'UTC') <= secs < moment(end, 'UTC'))
  ranked = sorted(true, key=lambda item: (-true[item], item))
  with serving.serving(flight_stores) as client:
    where = {'tenant': 'LGA', 'from': start, 'to': end}
    answer = client.post('/v1/leaderboards/aircraft/members:batch', params=where,
                         json={'items': [*ranked, 'never']}).json()
    assert answer['path'] == 'exact' and answer['total'] == true.total()
    for found in answer['members']:
      assert found['lower'] == found['upper'] == true[found['item']], found
      assert found['listed'] == (found['item'] in ranked[:5])
    for rank, found in enumerate(answer['members'][:-1], 1):
      assert found['rank']['best'] <= rank <= found['rank']['worst']
    assert answer['members'][-1]['rank'] is None
    one = client.get('/v1/leaderboards/aircraft/members', params=where | {
        'item': ranked[20]}).json()['member']
    assert one['lower'] == one['upper'] == true[ranked[20]]
