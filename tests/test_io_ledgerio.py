"""The ledger: what all runs read together, however restarts cut it."""
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from leaderboard.io import ledgerio, parquetio
from leaderboard.io.ledgerio import Ledger
from leaderboard.io.rejectsio import TOO_LATE, _RejectsFn
from leaderboard.pipelines.report import Run, run_account
from leaderboard.transforms.blocks import OriginRange
from leaderboard.transforms.boards import parse_window_size
from leaderboard.transforms.countevents import Account, RefusedBlock
from leaderboard.transforms.events import Refused

BOARD = ('acme', 'play', 0)
SIZES = [parse_window_size('1h')]


@pytest.fixture
def write(tmp_path, monkeypatch):
  """(run, start, end, too late offsets) writes the account of a range, one event an offset; every
  call is a second after the one before."""
  clock = iter(range(1, 10**6))
  monkeypatch.setattr(ledgerio.time, 'time_ns', lambda: next(clock) * 10**9)

  def account(run, start, end, late=(), partition=0):
    origin = OriginRange('kafka://t', partition, start, end)
    ledgerio._AccountsFn(str(tmp_path / 'accounts'), run, 0).process(
        Account(origin, end - start, [(BOARD, end - start - len(late))]))
    _RejectsFn(str(tmp_path / TOO_LATE)).process(RefusedBlock(origin, [
        Refused('too_late', 'timestamp', b'{}', *origin[:2], offset) for offset in late]))
    return parquetio.origin_name(origin)

  return account


def test_ranges_read_again_count_once(write, tmp_path):
  write('first', 0, 100)
  covered = write('first', 100, 200, late=[150])
  write('first', 200, 210, late=[205])
  write('second', 100, 150)
  kept = write('second', 150, 230, late=[205])
  write('second', 100, 150, partition=1)
  ledger = Ledger(str(tmp_path))
  whole = ledger.whole()
  assert whole.read == 230 + 50
  assert whole.counted[BOARD] == 230 + 50 - 1
  assert kept in whole.origins and covered not in whole.origins
  assert ledger.refused(TOO_LATE, whole.origins)['offset'].to_pylist() == [205]
  assert ledger.whole(generation=1).read == 0


def test_an_event_refused_twice_is_one(write, tmp_path):
  names = [write('first', 0, 100, late=[3, 50, 99]), write('second', 50, 150, late=[50, 99, 120])]
  refused = Ledger(str(tmp_path)).refused(TOO_LATE, names)
  assert sorted(refused['offset'].to_pylist()) == [3, 50, 99, 120]


@pytest.mark.parametrize('seed', range(5))
def test_any_number_of_restarts_reads_every_event_once(write, tmp_path, seed):
  chance = random.Random(seed)
  end, cuts = 0, [0]
  for run in range(8):
    place = chance.choice([cut for cut in cuts if cut <= end])   # a restart goes back to a cut
    cuts = [cut for cut in cuts if cut <= place]
    goal = max(end, place) + chance.randrange(1, 30)
    while place < goal:
      following = place + chance.randrange(1, 10)
      write(f'run {run}', place, following)
      place = following
      cuts.append(place)
    end = max(end, place)
  assert Ledger(str(tmp_path)).whole().read == end


def test_two_runs_at_once_both_tell_the_whole_input_and_take_nothing_from_each_other(
    write, tmp_path):
  for start in (0, 100, 200):
    write('first', start, start + 100)
  write('second', 100, 200)
  written = write('second', 0, 100)
  ledger = Ledger(str(tmp_path))
  for run, shared in (('first', 2), ('second', 1)):
    found = ledger.of_run(run, 0, ['kafka://t'], since_secs=1)
    assert (found.load.read, found.shared, found.others) == (300, shared, [])
    assert ledger.supersede(found, None) == 0
  # A run that came after both has not read what they wrote.
  write('third', 0, 100)
  later = ledger.of_run('third', 0, ['kafka://t'], since_secs=6)
  assert (later.load.read, later.shared, len(later.others)) == (100, 0, 2)
  assert written in later.load.origins and ledger.supersede(later, None) == 2


def test_a_run_without_accounts_of_its_own_tells_those_of_its_sources(write, tmp_path):
  for start in (0, 100):
    write('first', start, start + 100)
    write('second', start, start + 100)
  ledger = Ledger(str(tmp_path))
  told = run_account(Run('first', 0, frozenset(['kafka://t']), 1), True, ledger, {}, SIZES)
  assert (told.events_read, told.shared, told.lost, told.balanced) == (200, 2, False, True)
  # Of sources that no one knew before, nothing is left to tell.
  told = run_account(Run('first', 0, started_secs=1), True, ledger, {}, SIZES)
  assert (told.events_read, told.lost, told.balanced) == (0, True, False)
  assert 'has replaced the accounts of this run' in told.as_text()
  told = run_account(Run('empty', 0), False, ledger, {}, SIZES)   # as of empty input
  assert (told.events_read, told.lost, told.balanced) == (0, False, True)


def test_of_two_loads_of_the_same_events_the_earlier_goes_whoever_asks(write, tmp_path):
  write('first', 0, 100)
  write('second', 0, 100, partition=1)
  for path in (tmp_path / 'accounts').iterdir():   # the same events, from files of other names
    table = pq.read_table(path, partitioning=None)
    name = f'file-{table["partition"][0]}'
    pq.write_table(table.set_column(
        table.column_names.index('source'), 'source', pa.array([name] * len(table))), path)
  ledger = Ledger(str(tmp_path))
  assert ledger.supersede(ledger.of_run('first', 0, [], 0), None) == 0
  assert ledger.supersede(ledger.of_run('second', 0, [], 0), None) == 1
  assert list(ledger.loads()) == ['second']
