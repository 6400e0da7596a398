"""Exact answers from the archive: every event of a time, counted once."""
import asyncio
import datetime
import hashlib
import pathlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import duckdb
import numpy as np

from leaderboard.api.brackets import Brackets
from leaderboard.io.parquetio import folder_name

_UTC = datetime.timezone.utc
_AT_ONCE = 2
# Items that are listed; of all others the heaviest is told.
_LISTED = 10_000
# An event that a replay archived again is in the same folder, and has the same origin.
_COUNTS = """
with found as materialized (
  select distinct on (source, partition, "offset") item_id, weight, "timestamp",
    "timestamp" >= make_timestamp_ms($from) and "timestamp" < make_timestamp_ms($to) as asked
  from read_parquet($files, union_by_name = true, hive_partitioning = false)
  where tenant_id = $tenant and event_type = $type
    and "timestamp" >= make_timestamp_ms($low) and "timestamp" < make_timestamp_ms($high)),
counted as materialized (
  select item_id, sum(weight) as weight, count(*) as events from found where asked group by 1)
select
  (select coalesce(sum(weight), 0)::hugeint from counted),
  (select coalesce(sum(events), 0)::bigint from counted),
  (select list((item_id, weight::bigint) order by weight desc, item_id) from (
    select * from counted order by weight desc, item_id limit $listed)),
  (select list((item_id, weight::bigint)) from counted
   where item_id in (select unnest($items::varchar[]))),
  (select list((step, weight)) from (
    select epoch_ms("timestamp") // $step_ms as step, sum(weight)::hugeint as weight
    from found group by 1))"""


class Counts(NamedTuple):
  """Exact counts of a range, and what lies in each step of time around it.

  Attributes:
    brackets: the items; every bound is exact, and so is the one of all that are not listed.
    events, total: of the range.
    steps: start of a step (epoch seconds) -> weight of its events.
  """
  brackets: Brackets
  events: int
  total: int
  steps: dict[int, int]


class ArchiveDown(Exception):
  """The archive cannot answer; the message says why, without paths."""


class Archive:
  """Counts archived events.

  Args:
    root: folder that the job writes.
    secs: how long a question may take.
    memory, threads: what all questions together may take, as DuckDB has it.
  """

  def __init__(self, root: str, secs: float, memory: str, threads: int) -> None:
    self._root = pathlib.Path(root)
    self._secs = secs
    self._engine = duckdb.connect(config={'memory_limit': memory, 'threads': threads})
    self._room = asyncio.Semaphore(_AT_ONCE)

  def close(self) -> None:
    self._engine.close()

  def files(self, tenant_id: str, event_type: str, from_secs: int, to_secs: int) -> list[str]:
    """The files that may hold events of [from, to), in order."""
    folder = (self._root / 'events' / folder_name('tenant', tenant_id)
              / folder_name('type', event_type))
    first, last = (datetime.datetime.fromtimestamp(secs, _UTC).date().isoformat()
                   for secs in (from_secs, to_secs - 1))
    return sorted(str(file) for day in _subfolders(folder)
                  if first <= day.name.removeprefix('date=') <= last
                  for file in day.glob('*.parquet') if not file.name.startswith('.'))

  def fingerprint(self, files: list[str]) -> bytes:
    """Of these files as they are now; other content has another one."""
    digest = hashlib.sha256()
    for file in files:
      found = pathlib.Path(file).stat()
      digest.update(f'{file}\0{found.st_size}\0{found.st_mtime_ns}\n'.encode())
    return digest.digest()

  async def count(self, files: list[str], tenant_id: str, event_type: str,
                  asked: tuple[int, int], around: tuple[int, int], step_secs: int,
                  items: Sequence[str] = ()) -> Counts:
    """Counts the events of a range, and by steps those of the whole windows around it; both are
    [start, end) in epoch seconds.

    Args:
      items: whose counts are told though they are not among those that are listed.

    Raises:
      ArchiveDown: it takes too long, or files are unreadable.
    """
    if not files:
      return Counts(Brackets.of_rows([], 0, 0), 0, 0, {})
    async with self._room:
      cursor = self._engine.cursor()
      work = asyncio.ensure_future(asyncio.to_thread(
          _count, cursor, files, tenant_id, event_type, asked, around, step_secs, items))
      try:
        return await asyncio.wait_for(asyncio.shield(work), self._secs)
      except asyncio.TimeoutError:
        raise ArchiveDown(f'the archive takes longer than {self._secs:g} s') from None
      except (duckdb.Error, OSError) as error:
        raise ArchiveDown(f'the archive cannot be read: {type(error).__name__}') from error
      finally:
        if not work.done():
          cursor.interrupt()
          await asyncio.wait([work])
          work.exception()
        cursor.close()


def _subfolders(folder: pathlib.Path) -> Iterator[pathlib.Path]:
  try:
    yield from folder.iterdir()
  except FileNotFoundError:
    return


def _count(cursor: duckdb.DuckDBPyConnection, files: list[str], tenant_id: str, event_type: str,
           asked: tuple[int, int], around: tuple[int, int], step_secs: int,
           wanted: Sequence[str]) -> Counts:
  asked_for = set(wanted)
  moments = zip(('from', 'to', 'low', 'high'), (*asked, *around), strict=True)
  found = cursor.execute(_COUNTS, {
      **{name: secs * 1000 for name, secs in moments}, 'files': files, 'tenant': tenant_id,
      'type': event_type, 'listed': _LISTED + 1, 'items': list(wanted),
      'step_ms': step_secs * 1000}).fetchone()
  assert found
  total, events, rows, known, steps = found
  items = [item for item, _ in rows or ()]
  counts = np.fromiter((count for _, count in rows or ()), np.int64, len(items))
  rest_upper = int(counts[_LISTED]) if len(items) > _LISTED else 0
  weights = dict(known or ())

  def unlisted(item: str) -> tuple[int, int]:
    weight = weights.get(item, 0)
    return weight, weight if item in asked_for else rest_upper

  brackets = Brackets(items[:_LISTED], counts[:_LISTED], counts[:_LISTED], rest_upper, int(total),
                      unlisted if asked_for else None)
  return Counts(brackets, events, int(total),
                {int(step) * step_secs: int(weight) for step, weight in steps or ()})
