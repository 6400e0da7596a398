"""The ledger: what all runs read together, however restarts cut it."""
import random

import pytest

from leaderboard.io import ledgerio, parquetio
from leaderboard.io.ledgerio import Ledger
from leaderboard.io.rejectsio import TOO_LATE, _RejectsFn
from leaderboard.transforms.blocks import OriginRange
from leaderboard.transforms.countevents import Account, RefusedBlock
from leaderboard.transforms.events import Refused

BOARD = ('acme', 'play', 0)


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
