"""The benchmark of streams: its account can fail, and it tells waits as they are."""
import pathlib

import numpy as np
import pytest
import redis
from servers import workers

BENCH = pathlib.Path(__file__).parent.parent / 'bench'


@pytest.fixture
def speed(monkeypatch):
  monkeypatch.syspath_prepend(str(BENCH))
  import stream_speed
  return stream_speed


class Changes:
  """Boards as Redis would have told them."""

  def __init__(self, boards):
    self.boards = {key: (np.array(moments), np.array(events))
                   for key, (moments, events) in boards.items()}


def test_wait_of_an_event_ends_with_the_first_revision_that_has_it(speed):
  # Ten events of the first board, two in each tick of 100 ms; another phase goes on from there.
  moments = np.arange(60_000, 60_500, 100)
  sent = np.zeros((5, len(speed.stream_load.BOARDS)), np.int64)
  sent[:, 0] = 2
  changes = Changes({(0, 60): ([60_300, 61_000, 62_000], [4, 10, 13])})
  (waits, weights), (later, heavy) = speed.waits_of(
      changes, [(moments, sent), (moments[:2] + 1000, sent[:2])])
  told = waits[weights > 0].tolist()
  assert told == [0.3, 0.2, 0.8, 0.7, 0.6]
  assert speed.percentile(waits, weights, 50) == 0.6
  assert speed.percentile(waits, weights, 99) == 0.8
  # Events 11 and 12 stood there a second later; 14 never came.
  assert later[heavy > 0].tolist() == [1.0, np.inf]


@pytest.mark.filterwarnings('ignore::pytest.PytestUnhandledThreadExceptionWarning')
@pytest.mark.slow
def test_smallest_run_counts_every_event_and_an_account_that_is_wrong_is_told(
    speed, broker, flink_cluster, redis_url, tmp_path, monkeypatch):
  monkeypatch.setattr(speed, 'WARM_UP_SECS', 2)
  args = speed.arguments(['--events=40000', '--minutes=2', '--loads=0.5', '--secs=3', '--early=1s'])
  checked = []
  check = speed.check
  monkeypatch.setattr(speed, 'check', lambda url, folder, produced: checked.append(
      (check(url, folder, produced), check(url, folder, np.roll(produced, 1)))) or checked[-1][0])
  with workers.WorkerPool() as pool:
    rate = speed.measure_rate(args, broker, flink_cluster, pool, redis_url, tmp_path / 'full')
    assert checked == [(True, False)] and rate['right']
    with redis.Redis.from_url(redis_url) as client:
      client.flushall()
    rows, whole = speed.measure_latency(
        args, broker, flink_cluster, pool, redis_url, tmp_path / 'live', 2000)
  assert whole and [row['seen'] for row in rows] == [1.0]
