"""Everything that a counter tells of a block, with and without compiled code."""
from typing import Any, NamedTuple

import pytest

from leaderboard.transforms import compiled
from leaderboard.transforms.heavyhitters import HeavyHitters


class Outcome(NamedTuple):
  """What has no order is sorted.

  Attributes:
    boards: (tenant, type, start) -> events, twice; total weight; item -> its bounds.
    times: of every message, None of other blocks.
    kept: schema and rows; None where no event is kept.
  """
  read: int
  boards: dict
  rejects: list
  too_late: list
  latest_ms: int | None
  latest_secs: int | None
  times: list | None
  kept: Any


def outcome(counter, block):
  counted = counter.count(block)
  boards = {}
  for cell in counted.cells:
    summary = HeavyHitters.from_bytes(cell.delta)
    assert cell[:3] not in boards
    boards[cell[:3]] = (cell.events, summary.events, summary.total, {
        row.item: (row.lower, row.upper) for row in summary.top(10**6)})
  times = counter.event_times(block).tolist() if block.offsets is not None else None
  kept = (counted.kept.schema, counted.kept.to_pylist()) if counted.kept else None
  return Outcome(counted.read, boards, sorted(counted.rejects), sorted(counted.too_late),
                 counted.latest_ms, counter.latest_secs(block), times, kept)


def check_same_outcome(counter, block):
  """The same with compiled code as without; what it is."""
  found = outcome(counter, block)
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(compiled, 'library', lambda: None)
    expected = outcome(counter, block)
  for mine, true in zip(found, expected, strict=True):
    assert mine == true
  return found
