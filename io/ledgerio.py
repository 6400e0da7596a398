"""The ledger: an account of every block that was read, kept beside the rejects.

`read = counted + rejected + too late` is proven from three places that know nothing of each
other: the accounts tell what was read and where it went, the reject files hold what was
refused, and the stores hold the boards.
"""
import bisect
import collections
import dataclasses
import sys
import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.io.filesystems import FileSystems
from apache_beam.metrics import Metrics

from leaderboard.io import parquetio
from leaderboard.io.rejectsio import REJECTS, TOO_LATE
from leaderboard.transforms.blocks import OriginRange
from leaderboard.transforms.countevents import Account, BoardCell

ACCOUNTS = 'accounts'
ACCOUNTS_WRITTEN = 'accounts_written'   # a counter, of attempts

# One row without a board says how many events were read; the others where they went.
ACCOUNT_SCHEMA = pa.schema([
    ('run', pa.string()), ('generation', pa.int32()), ('written_us', pa.int64()),
    ('source', pa.string()), ('partition', pa.int32()),
    ('start', pa.int64()), ('end', pa.int64()), ('tenant_id', pa.string()),
    ('event_type', pa.string()), ('window_start', pa.int64()), ('events', pa.int64())])


@dataclasses.dataclass
class WriteAccounts(beam.PTransform):
  """Writes one account file per block, named by its origin range: a replay replaces it.

  Args:
    root: folder on any Beam file system.
    run: name of this run, so that it can find its own accounts again.
    generation: of the boards that this run makes.
  Input: Account.
  """
  root: str
  run: str
  generation: int = 0

  def expand(self, accounts: beam.PCollection) -> beam.PCollection:
    return accounts | 'Write' >> beam.ParDo(
        _AccountsFn(FileSystems.join(self.root, ACCOUNTS), self.run, self.generation))


class _AccountsFn(beam.DoFn):

  def __init__(self, folder: str, run: str, generation: int) -> None:
    self._folder = folder
    self._run = run
    self._generation = generation
    self._written = Metrics.counter('WriteAccounts', ACCOUNTS_WRITTEN)

  def process(self, account: Account) -> None:
    rows = [(None, None, None, account.read)] + [
        (*board, events) for board, events in account.counted]
    tenants, types, starts, events = zip(*rows, strict=True)
    n = len(rows)
    origin = account.origin
    parquetio.write_table(
        pa.table([[self._run] * n, [self._generation] * n, [time.time_ns() // 1000] * n,
                  [origin.source] * n, [origin.partition] * n,
                  [origin.start] * n, [origin.end] * n, tenants, types, starts, events],
                 schema=ACCOUNT_SCHEMA),
        self._folder, parquetio.origin_name(origin))
    self._written.inc()


@dataclasses.dataclass
class Load:
  """What one run read: the account of its input.

  Attributes:
    origins: names of its origin ranges.
    sources: the files (or topics) it read.
    read: events.
    counted: events that went to each board of the base window.
    generation: of the boards it made.
    written_us: when the last of its accounts was written, epoch microseconds.
  """
  origins: set[str] = dataclasses.field(default_factory=set)
  sources: set[str] = dataclasses.field(default_factory=set)
  read: int = 0
  counted: collections.Counter[BoardCell] = dataclasses.field(default_factory=collections.Counter)
  generation: int = 0
  written_us: int = 0

  def add(self, block: '_Block') -> None:
    self.generation = block.generation
    self.written_us = max(self.written_us, block.written_us)
    self.origins.add(block.name)
    self.sources.add(block.origin.source)
    self.read += block.read
    self.counted.update(block.counted)


class RunLoads(NamedTuple):
  """What one run read, beside what the others did.

  Attributes:
    load: of the run.
    shared: how many of its ranges another run accounts for, which read the same at the same time.
    others: what else is in the ledger, a load for each run.
  """
  load: Load
  shared: int
  others: list[Load]


@dataclasses.dataclass
class _Block:
  """One account file: what became of one origin range."""
  name: str
  run: str
  generation: int
  written_us: int
  origin: OriginRange
  read: int
  counted: dict[BoardCell, int]


class Ledger:
  """Reads and mends the ledger under one root."""

  def __init__(self, root: str) -> None:
    self._root = root

  def loads(self, since_secs: float = 0) -> dict[str, Load]:
    """Every run in the ledger, as far as it was written since a moment (epoch seconds)."""
    loads: dict[str, Load] = collections.defaultdict(Load)
    for block in self._blocks(since_secs):
      loads[block.run].add(block)
    return dict(loads)

  def of_run(self, run: str, generation: int, sources: Iterable[str], since_secs: float
             ) -> RunLoads:
    """What a run read.

    Two runs of the same input write accounts of the same names, and the later ones stand. A range
    that a run lacks is that of another, if that one wrote it since this one started.

    Args:
      sources: the files (or topics) that it was to read, as far as they are known.
      since_secs: when it started, epoch seconds.
    """
    blocks = list(self._blocks())
    load = Load()
    loads: dict[str, Load] = collections.defaultdict(Load)
    read: dict[tuple[str, int], list[tuple[int, int]]] = collections.defaultdict(list)
    for block in blocks:
      if block.run == run:
        load.add(block)
        read[block.origin[:2]].append((block.origin.start, block.origin.end))
    known = {*sources, *load.sources}
    shared = 0
    for block in sorted(blocks, key=lambda block: block.written_us, reverse=True):
      if block.run == run:
        continue
      ranges = read[block.origin[:2]]
      if (block.origin.source in known and block.written_us >= since_secs * 1_000_000
          and not any(start < block.origin.end and block.origin.start < end
                      for start, end in ranges)):
        ranges.append((block.origin.start, block.origin.end))
        load.add(block)
        shared += 1
      else:
        loads[block.run].add(block)
    load.generation = generation
    return RunLoads(load, shared, list(loads.values()))

  def whole(self, generation: int = 0) -> Load:
    """What all runs of a generation read together, every event once.

    A restarted stream cuts its blocks elsewhere than before. A range that newer ones cover has
    been read again, and what they say of it holds.
    """
    whole = Load(generation=generation)
    for block in _newest(block for block in self._blocks() if block.generation == generation):
      whole.add(block)
    return whole

  def refused(self, folder: str, origins: Iterable[str]) -> pa.Table:
    """The refused events of these origin ranges, each origin once."""
    names = set(origins)
    tables = [table for path, table in self._tables(folder) if _stem(path) in names]
    if not tables:
      return pa.table({'reason': pa.array([], pa.string())})
    return parquetio.distinct_origins(pa.concat_tables(tables))

  def reasons(self, origins: Iterable[str]) -> dict[str, int]:
    """How many events were rejected for each reason, most frequent first."""
    counts = pc.value_counts(self.refused(REJECTS, origins)['reason'])
    tally = {entry['values']: entry['counts'] for entry in counts.to_pylist()}
    return dict(sorted(tally.items(), key=lambda entry: (-entry[1], entry[0])))

  def supersede(self, found: RunLoads, archive: str | None) -> int:
    """Takes out what a run has made obsolete; returns how many origin ranges that were.

    Obsolete are ranges of this run's own sources that this run no longer found, and earlier
    loads of exactly the same events from other files: the same events on every board, the
    same rejects, and, where there is an archive, the same archived events to the last field.
    Anything less than proven equal is left alone, and so is what was written later: of two runs
    at once one goes, never both.
    """
    mine = found.load
    obsolete: set[str] = set()
    for load in found.others:
      if load.written_us < mine.written_us and (
          load.sources <= mine.sources or self._same(load, mine, archive)):
        obsolete |= load.origins - mine.origins
    self._remove(obsolete, archive)
    return len(obsolete)

  def _same(self, old: Load, new: Load, archive: str | None) -> bool:
    if old.sources & new.sources or (old.read, old.counted) != (new.read, new.counted):
      return False
    for folder in (REJECTS, TOO_LATE):
      if _bag(self.refused(folder, old.origins)) != _bag(self.refused(folder, new.origins)):
        return False
    return archive is None or _same_events(archive, old.origins, new.origins)

  def _remove(self, origins: set[str], archive: str | None) -> None:
    if not origins:
      return
    if archive is not None:
      _remove_archived(archive, origins)
    # The account goes last: a run that stops half-way finds it again and goes on.
    for folder in (REJECTS, TOO_LATE, ACCOUNTS):
      parquetio.delete_files([FileSystems.join(self._root, folder, f'{name}.parquet')
                              for name in sorted(origins)])

  def _blocks(self, since_secs: float = 0) -> Iterator[_Block]:
    for path, table in self._tables(ACCOUNTS, since_secs):
      columns = table.to_pydict()
      read, counted = 0, {}
      for *board, events in zip(columns['tenant_id'], columns['event_type'],
                                columns['window_start'], columns['events'], strict=True):
        if board[0] is None:
          read = events
        else:
          counted[tuple(board)] = events
      first = {name: values[0] for name, values in columns.items()}
      yield _Block(
          name=_stem(path), run=first['run'], generation=first['generation'],
          # The accounts of earlier releases do not tell; they are the oldest.
          written_us=first.get('written_us', 0), read=read, counted=counted,
          origin=OriginRange(*(first[name] for name in OriginRange._fields)))

  def _tables(self, folder: str, since_secs: float = 0) -> Iterable[tuple[str, pa.Table]]:
    return parquetio.read_tables(FileSystems.join(self._root, folder, '*.parquet'), since_secs)


def _newest(blocks: Iterable[_Block]) -> Iterator[_Block]:
  """Those blocks that newer ones of the same partition do not cover."""
  partitions: dict[tuple[str, int], list[_Block]] = collections.defaultdict(list)
  for block in blocks:
    partitions[block.origin[:2]].append(block)
  for found in partitions.values():
    covered: list[tuple[int, int]] = []   # disjoint, in order, with gaps between them
    for block in sorted(found, key=lambda block: (block.written_us, block.name), reverse=True):
      start, end = block.origin.start, block.origin.end
      first = bisect.bisect_right(covered, (start, sys.maxsize)) - 1
      if first >= 0 and covered[first][1] >= end:
        continue
      yield block
      # From here on this range, and those that it touches, are one.
      if first < 0 or covered[first][1] < start:
        first += 1
      last = first
      while last < len(covered) and covered[last][0] <= end:
        start, end = min(start, covered[last][0]), max(end, covered[last][1])
        last += 1
      covered[first:last] = [(start, end)]


def _same_events(archive: str, old: set[str], new: set[str]) -> bool:
  """Whether two sets of origin ranges hold the same bag of events, compared day by day so
  that no more than one folder is in memory."""
  folders: dict[str, tuple[list[str], list[str]]] = collections.defaultdict(lambda: ([], []))
  for path in parquetio.archive_files(archive):
    for side, origins in enumerate((old, new)):
      if _stem(path) in origins or _merged(path):
        folders[path.rsplit('/', 1)[0]][side].append(path)
  return all(_file_bag(left, old) == _file_bag(right, new) for left, right in folders.values())


def _file_bag(paths: list[str], origins: set[str]) -> collections.Counter[tuple]:
  """The events of these origins in some files, each once."""
  tables = [table.filter(pa.array(parquetio.rows_of(table, origins)))
            for path in paths for _, table in parquetio.read_tables(path)]
  return _bag(parquetio.distinct_origins(pa.concat_tables(tables))) if tables else (
      collections.Counter())


def _remove_archived(archive: str, origins: set[str]) -> None:
  """Takes the events of these origins out of the archive; a merged file keeps the others."""
  gone = []
  for path in parquetio.archive_files(archive):
    if _stem(path) in origins:
      gone.append(path)
    elif _merged(path):
      ((_, table),) = parquetio.read_tables(path)
      obsolete = parquetio.rows_of(table, origins)
      if obsolete.all():
        gone.append(path)
      elif obsolete.any():
        parquetio.write_table(table.filter(pa.array(~obsolete)), path.rsplit('/', 1)[0],
                              _stem(path))
  parquetio.delete_files(gone)


def _merged(path: str) -> bool:
  """Whether a compaction has put the events of many origins into the file."""
  return _stem(path).startswith('merged-')


def _bag(table: pa.Table) -> collections.Counter[tuple]:
  """The rows, wherever they stand."""
  kept = table.drop_columns([name for name in parquetio.ORIGIN if name in table.column_names])
  return collections.Counter(zip(*(kept[name].to_pylist() for name in kept.column_names),
                                 strict=True))


def _stem(path: str) -> str:
  return path.rsplit('/', 1)[-1].removesuffix('.parquet')
