"""Any range as one board: the stored summaries of the windows that make it up, merged.

A merged summary is kept under a digest of the windows and revisions that it was made of: in this
process, in Redis for other processes, and in PostgreSQL by days and by thirty days, which ranges
that overlap have in common. Whatever changes in the history changes the digest, so that nothing
that is kept can be out of date.
"""
import asyncio
import hashlib
import time
from collections.abc import Coroutine, Sequence
from typing import Any

from redis.client import NEVER_DECODE

from leaderboard.api.answers import HISTORY, Board, Coverage
from leaderboard.api.caches import Cache, Stamp
from leaderboard.api.history import DOWN, HistoryBoards, Plan
from leaderboard.api.live import DOWN as LIVE_DOWN
from leaderboard.api.live import LiveBoards
from leaderboard.api.merging import Unmergeable, merge
from leaderboard.api.metrics import Metrics
from leaderboard.api.singleflight import SingleFlight
from leaderboard.api.tiling import Span, Stored, blocks
from leaderboard.transforms.heavyhitters import HeavyHitters

# More take longer than anyone waits, and rolling them up is cheap: pipelines.rollup.
MOST_WINDOWS = 10_000
_SHOWN_GAPS = 100
# What costs less is not worth a place in another store.
_WORTH_SECS = 0.02
_BLOCK_WINDOWS = 8
_BLOCKS_FROM_WINDOWS = 64
_FETCH_WINDOWS = 500
_SUMMARIES, _SUMMARIES_BYTES = 1_000, 256 << 20


class OddEdges(Exception):
  """The stored windows do not begin or end where the range does.

  Attributes:
    edges: name of the edge (`from`, `to`) -> the nearest moments before and after it at which a
      stored window does, epoch seconds; None where no window size has a fixed length.
  """

  def __init__(self, edges: dict[str, tuple[int, int] | None]) -> None:
    super().__init__(f'{", ".join(edges)} is no edge of a stored window')
    self.edges = edges


class TooManyWindows(Exception):
  """The range is made of more windows than are merged for an answer."""


def odd_edges(plan: Plan, from_secs: int, to_secs: int) -> dict[str, tuple[int, int] | None]:
  """The edges of a range that lie inside a window of the finest size: see OddEdges."""
  grid = plan.grid_secs
  odd = {}
  for name, edge, touches in (('from', from_secs, lambda gap: gap[0] == from_secs),
                              ('to', to_secs, lambda gap: gap[1] == to_secs)):
    if any(map(touches, plan.missing)) and (grid is None or edge % grid):
      odd[name] = None if grid is None else (edge - edge % grid, edge - edge % grid + grid)
  return odd


def coverage_of(plan: Plan) -> Coverage:
  """What an answer from these windows says about itself."""
  counts: dict[str, int] = {}
  for tile in plan.tiles:
    counts[tile.size] = counts.get(tile.size, 0) + 1
  grid = plan.grid_secs
  missing = sum((end - start) // grid if grid else 1 for start, end in plan.missing)
  return Coverage(tuple(counts.items()), tuple(plan.missing[:_SHOWN_GAPS]), missing,
                  not plan.missing)


class Ranges:
  """Merges the history.

  Args:
    history: where the summaries are.
    live: where merged ones are shared; None for nowhere.
    shared_secs: how long there; 0 for not at all.
    rollup_secs: how long merged days and months stay in PostgreSQL; 0 for not at all.
    metrics: where hits are counted.
  """

  def __init__(self, history: HistoryBoards, live: LiveBoards | None, shared_secs: int,
               rollup_secs: int, metrics: Metrics) -> None:
    self._history = history
    self._live = live if shared_secs else None
    self._shared_secs = shared_secs
    self._rollup_secs = rollup_secs
    self._metrics = metrics
    self._merged: Cache[HeavyHitters] = Cache(None, _SUMMARIES, _SUMMARIES_BYTES, _bytes_of)
    self._flights: SingleFlight[HeavyHitters] = SingleFlight(60)
    self._later: set[asyncio.Task[None]] = set()

  def flush(self) -> None:
    self._merged.clear()

  async def close(self) -> None:
    """Ends what is still being kept."""
    for task in self._later:
      task.cancel()
    await asyncio.gather(*self._later, return_exceptions=True)

  async def board(self, tenant_id: str, event_type: str, from_secs: int, to_secs: int,
                  window: str | None, to_now: bool = False) -> Board | None:
    """The board of a range; None where nothing of it is stored.

    Args:
      window: label of the window size that the range is; None for another range.
      to_now: whether the range ends with the newest event: then with the window that holds
        `to_secs`.

    Raises:
      StoreDown: PostgreSQL is out of reach.
      OddEdges, TooManyWindows, Unmergeable: it cannot be made of stored windows.
    """
    # In this order: a board that is read after it became final has all its events.
    until = await self._history.final_until()
    for attempt in (1, 2, 3):
      read_at = time.time()
      plan = await self._history.plan(tenant_id, event_type, from_secs, to_secs)
      if to_now and plan.grid_secs and to_secs % plan.grid_secs:
        to_secs += -to_secs % plan.grid_secs
        plan = await self._history.plan(tenant_id, event_type, from_secs, to_secs)
      if odd := odd_edges(plan, from_secs, to_secs):
        raise OddEdges(odd)
      if len(plan.tiles) > MOST_WINDOWS:
        raise TooManyWindows(f'{len(plan.tiles)} windows')
      if not plan.tiles:
        return None
      try:
        summary = await self._summary(tenant_id, event_type, plan.tiles)
      except _Moved:
        if attempt == 3:
          raise Unmergeable('windows change faster than they are read') from None
        continue
      return Board.of_summary(
          summary, max(tile.revision[0] for tile in plan.tiles), tenant_id=tenant_id,
          event_type=event_type, window=window, from_secs=from_secs, to_secs=to_secs,
          path=HISTORY, read_at=read_at, final=None if until is None else to_secs <= until,
          coverage=coverage_of(plan))
    return None

  async def _summary(self, tenant_id: str, event_type: str, tiles: list[Stored]) -> HeavyHitters:
    digest = digest_of(tenant_id, event_type, tiles)
    found = self._merged.get(digest)
    self._metrics.cache('summaries', found is not None)
    if found is not None:
      return found
    return await self._flights.do(
        digest, lambda: self._load(tenant_id, event_type, tiles, digest))

  async def _load(self, tenant_id: str, event_type: str, tiles: list[Stored], digest: bytes
                  ) -> HeavyHitters:
    summary = await self._shared(digest) if len(tiles) > 1 else None
    if summary is None:
      began = time.monotonic()
      summary = await self._merge(tenant_id, event_type, tiles)
      self._metrics.merged.observe(time.monotonic() - began)
      if self._live and len(tiles) > 1 and time.monotonic() - began > _WORTH_SECS:
        self._soon(self._share(digest, summary))
    self._merged.put(digest, summary, Stamp(0, (), 0))
    return summary

  async def _merge(self, tenant_id: str, event_type: str, tiles: list[Stored]) -> HeavyHitters:
    """The summary of windows, by way of the blocks that are kept merged."""
    if self._rollup_secs and len(tiles) >= _BLOCKS_FROM_WINDOWS:
      groups = blocks(tiles, _BLOCK_WINDOWS)
    else:
      groups = [[tile] for tile in tiles]
    kept = await self._kept(tenant_id, event_type, [group for group in groups if len(group) > 1])
    parts = list(kept.values())
    missing = [group for group in groups if _span(group) not in kept]
    alone = [group[0] for group in missing if len(group) == 1]
    for first in range(0, len(alone), _FETCH_WINDOWS):
      parts += await self._fetch(tenant_id, event_type, alone[first:first + _FETCH_WINDOWS])
      if first + _FETCH_WINDOWS < len(alone):
        parts = [await asyncio.to_thread(_merged_bytes, parts)]
    together: list[list[Stored]] = [group for group in missing if len(group) > 1]
    for group in together:
      merged = await asyncio.to_thread(
          _merged_bytes, await self._fetch(tenant_id, event_type, group))
      parts.append(merged)
      self._soon(self._keep(tenant_id, event_type, group, merged))
    return await asyncio.to_thread(merge, parts)

  async def _fetch(self, tenant_id: str, event_type: str, tiles: list[Stored]) -> list[bytes]:
    found = await self._history.summaries(tenant_id, event_type, tiles)
    read = {(tile.size, tile.start): tile for tile, _ in found}
    if any(tile.revision != getattr(read.get((tile.size, tile.start)), 'revision', None)
           for tile in tiles):
      raise _Moved
    return [summary for _, summary in found]

  async def _shared(self, digest: bytes) -> HeavyHitters | None:
    """What another process has left in Redis."""
    if self._live is None:
      return None
    client = self._live.client
    try:
      encoded = await self._live.call(
          lambda: client.execute_command('GET', _key(digest), **{NEVER_DECODE: []}))
    except LIVE_DOWN:
      encoded = None
    self._metrics.cache('shared', encoded is not None)
    if encoded is None:
      return None
    try:
      return await asyncio.to_thread(merge, [encoded])
    except Unmergeable:   # by another release, or damaged
      return None

  async def _share(self, digest: bytes, summary: HeavyHitters) -> None:
    assert self._live
    client = self._live.client
    encoded = await asyncio.to_thread(summary.to_bytes)
    await self._live.call(lambda: client.set(_key(digest), encoded, ex=self._shared_secs))

  async def _kept(self, tenant_id: str, event_type: str, groups: list[list[Stored]]
                  ) -> dict[Span, bytes]:
    if not groups:
      return {}
    try:
      kept = await self._history.kept(
          tenant_id, event_type,
          [(_span(group), digest_of(tenant_id, event_type, group)) for group in groups],
          self._rollup_secs)
    except DOWN:   # an older schema, or a standby, which cannot have them
      kept = {}
    for group in groups:
      self._metrics.cache('rollups', _span(group) in kept)
    return kept

  async def _keep(self, tenant_id: str, event_type: str, group: list[Stored], merged: bytes
                  ) -> None:
    await self._history.keep(tenant_id, event_type, _span(group),
                             digest_of(tenant_id, event_type, group), merged)

  def _soon(self, work: Coroutine[Any, Any, None]) -> None:
    """Does something that no answer waits for; where it fails, it will be done another time."""
    async def run() -> None:
      try:
        await work
      except (*DOWN, *LIVE_DOWN):
        self._metrics.unkept.inc()

    task = asyncio.create_task(run())
    self._later.add(task)
    task.add_done_callback(self._later.discard)


class _Moved(Exception):
  """A window has changed since it was planned to be read."""


def digest_of(tenant_id: str, event_type: str, tiles: Sequence[Stored]) -> bytes:
  """Stands for the merge of these windows at these revisions."""
  text = '\0'.join([tenant_id, event_type, *(
      f'{tile.size} {tile.start} {tile.end} {tile.revision[0]} {tile.revision[1]}'
      for tile in tiles)])
  return hashlib.sha256(text.encode()).digest()


def _span(group: Sequence[Stored]) -> Span:
  return group[0].start, group[-1].end


def _key(digest: bytes) -> str:
  return f'topk:cache:{digest.hex()}'


def _merged_bytes(parts: Sequence[bytes]) -> bytes:
  return merge(parts).to_bytes()


def _bytes_of(summary: HeavyHitters) -> int:
  items, _, _ = summary.ranking()
  parameters = summary.parameters
  table = 0 if summary.exact else 8 * parameters.depth * parameters.width
  return 1_000 + 150 * len(items) + table
