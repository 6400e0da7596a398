"""Hot boards: which deltas take the detour. That answers stay the same is the scenarios' test."""
import pytest
from apache_beam.pvalue import TaggedOutput

from leaderboard.transforms import hotkeys
from leaderboard.transforms.boards import parse_window_size
from leaderboard.transforms.parameters import Parameters

HOT = ('acme', 'play', 60)
COLD = ('acme', 'play', 120)


def routed(route, boards):
  return [output for board in boards for output in route.process((board, b'delta'))]


def test_a_board_is_spread_once_it_is_busy():
  outputs = routed(hotkeys._RouteFn(shards=3, hot_deltas=2), [HOT, COLD, HOT, HOT, HOT, HOT, COLD])
  cold = [output for output in outputs if not isinstance(output, TaggedOutput)]
  assert cold == [(HOT, b'delta'), (COLD, b'delta'), (HOT, b'delta'), (COLD, b'delta')]
  shards = [output.value[0] for output in outputs if isinstance(output, TaggedOutput)]
  assert [shard[0] for shard in shards] == [2, 0, 1]
  assert {shard[1:] for shard in shards} == {HOT}


def test_a_board_that_is_busy_in_the_long_run_alone_is_not_spread():
  route, outputs = hotkeys._RouteFn(shards=3, hot_deltas=2), []
  for _ in range(5):
    route.start_bundle()
    outputs += routed(route, [HOT, HOT])
  assert outputs == [(HOT, b'delta')] * 10


def test_every_board_is_spread_when_asked():
  outputs = routed(hotkeys._RouteFn(shards=2, hot_deltas=0), [HOT, COLD])
  assert all(isinstance(output, TaggedOutput) for output in outputs)


def test_what_is_remembered_is_bounded(monkeypatch):
  monkeypatch.setattr(hotkeys, '_REMEMBERED_BOARDS', 10)
  route = hotkeys._RouteFn(shards=2, hot_deltas=1)
  routed(route, [('acme', 'play', start) for start in range(100)])
  assert len(route._seen) <= 11


def test_no_shards_is_refused():
  with pytest.raises(ValueError, match='shards must be at least 1, got 0'):
    hotkeys.SpreadHotKeys(parse_window_size('1m'), Parameters(), shards=0)
