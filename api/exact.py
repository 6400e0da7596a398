"""Exact boards from the archive, held against what the stored boards have counted."""
import asyncio
import dataclasses
import functools
import hashlib
import itertools
import time

import numpy as np

from leaderboard.api.answers import EXACT, Board, Coverage
from leaderboard.api.archive import Archive, ArchiveDown, Counts
from leaderboard.api.brackets import Brackets
from leaderboard.api.caches import Cache, Stamp
from leaderboard.api.history import DOWN, HistoryBoards, Plan
from leaderboard.api.metrics import Metrics
from leaderboard.api.singleflight import SingleFlight
from leaderboard.api.tiling import Span

_KEPT = 200
_DAY_SECS = 86_400


class ExactBoards:
  """Counts ranges in the archive.

  An answer is exact when the archive has all events that the stored boards have counted in the
  windows around the range. What it lacks widens every upper bound: it may have been any item's.

  Args:
    archive: all events.
    history: what was counted; None where no one knows.
    metrics: where cache hits are counted.
  """

  def __init__(self, archive: Archive, history: HistoryBoards | None, metrics: Metrics) -> None:
    self._archive = archive
    self._history = history
    self._metrics = metrics
    # By the files and the revisions of the boards: what is kept cannot be out of date.
    self._counted: Cache[Counts] = Cache(None, _KEPT)
    self._flights: SingleFlight[Counts] = SingleFlight(3600)

  def flush(self) -> None:
    self._counted.clear()

  async def board(self, tenant_id: str, event_type: str, from_secs: int, to_secs: int,
                  window: str | None, items: tuple[str, ...] = ()) -> Board | None:
    """The board of a range; None where there are neither events nor boards.

    Args:
      window: label of the window size that the range is; None for another range.
      items: to be known though they are not among the heaviest, which are listed.

    Raises:
      ArchiveDown: it cannot be read in time.
    """
    read_at = time.time()
    asked = from_secs, to_secs
    plan, until = None, None
    unchecked: str | None = 'no PostgreSQL tells whether the archive is complete'
    if self._history:
      try:
        until = await self._history.final_until()
        plan = await self._around(tenant_id, event_type, asked)
        unchecked = None if plan else 'no stored boards tell whether the archive is complete'
      except DOWN as error:
        unchecked = f'whether the archive is complete is not known: {error}'
    grid = plan.grid_secs if plan and plan.grid_secs else _DAY_SECS
    around = (asked if plan is None else
              (from_secs - from_secs % grid, to_secs + -to_secs % grid))
    counts = await self._count(tenant_id, event_type, asked, around, grid, items)
    if not counts.steps and not (plan and plan.tiles):
      return None
    lacking = 0 if plan is None else _lacking(plan, counts.steps)
    board = Board(
        tenant_id=tenant_id, event_type=event_type, window=window, from_secs=from_secs,
        to_secs=to_secs, generation=max((tile.revision[0] for tile in plan.tiles), default=0)
        if plan else 0, events=counts.events, total=counts.total, tau=counts.brackets.rest_upper,
        epsilon=0.0, delta=0.0, exact=not counts.brackets.rest_upper, brackets=counts.brackets,
        path=EXACT, read_at=read_at, final=None if until is None else to_secs <= until,
        coverage=Coverage(complete=plan is not None and not lacking), degraded=unchecked)
    return _widened(board, lacking) if lacking else board

  async def _around(self, tenant_id: str, event_type: str, asked: Span) -> Plan | None:
    """What is stored of the whole windows that hold the range; None where that cannot be told."""
    assert self._history
    plan = await self._history.plan(tenant_id, event_type, *asked)
    grid = plan.grid_secs
    if grid is None:
      return None
    start, end = asked[0] - asked[0] % grid, asked[1] + -asked[1] % grid
    if (start, end) != asked:
      plan = await self._history.plan(tenant_id, event_type, start, end)
    return plan

  async def _count(self, tenant_id: str, event_type: str, asked: Span, around: Span,
                   grid_secs: int, items: tuple[str, ...]) -> Counts:
    for attempt in (1, 2):
      files = await asyncio.to_thread(self._archive.files, tenant_id, event_type, *around)
      try:
        print_ = await asyncio.to_thread(self._archive.fingerprint, files)
      except FileNotFoundError:   # compacted in between
        continue
      key = hashlib.sha256(
          f'{tenant_id}\0{event_type}\0{asked}{around}{grid_secs}{sorted(items)}'.encode()
          + print_).digest()
      found = self._counted.get(key)
      self._metrics.cache('exact', found is not None)
      if found is not None:
        return found
      try:
        found = await self._flights.do(key, functools.partial(
            self._archive.count, files, tenant_id, event_type, asked, around, grid_secs, items))
      except ArchiveDown:
        if attempt == 2 or files == await asyncio.to_thread(
            self._archive.files, tenant_id, event_type, *around):
          raise
        continue
      self._counted.put(key, found, Stamp(0, (), 0))
      return found
    raise ArchiveDown('the archive changes faster than it is read')


def _lacking(plan: Plan, steps: dict[int, int]) -> int:
  """The weight that stored windows have counted and the archive does not hold. Of each window by
  itself: what one lacks is not made up by what another has more."""
  times = np.array(sorted(steps), np.int64)
  sums = [0, *itertools.accumulate(steps[step] for step in times.tolist())]
  lacking = 0
  for tile in plan.tiles:
    first, last = np.searchsorted(times, (tile.start, tile.end)).tolist()
    lacking += max(tile.total - (sums[last] - sums[first]), 0)
  return lacking


def _widened(board: Board, lacking: int) -> Board:
  """The board where so much weight is in no file of the archive."""
  brackets, known = board.brackets, board.brackets.unlisted
  return dataclasses.replace(
      board, exact=False, tau=board.tau + lacking, total=board.total + lacking,
      epsilon=None, delta=None,
      degraded=f'the archive lacks events with a weight of {lacking} that the boards have counted',
      brackets=Brackets(brackets.items, brackets.lowers,
                        np.asarray(brackets.uppers) + lacking, brackets.rest_upper + lacking,
                        brackets.total + lacking,
                        known and (lambda item: (known(item)[0], known(item)[1] + lacking)),
                        # It lies somewhere in the windows around: of it the range may have none.
                        unsure=lacking))
