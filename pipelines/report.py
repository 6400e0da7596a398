"""The closing account of a job, read back from the stores, and its progress while it runs."""
import collections
import dataclasses
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from apache_beam.metrics.metric import MetricsFilter

from leaderboard.io.ledgerio import ACCOUNTS_WRITTEN, Ledger, Load, RunLoads
from leaderboard.io.rejectsio import TOO_LATE
from leaderboard.transforms.boards import WindowSize
from leaderboard.transforms.countevents import BoardCell

Revision = tuple[int, int]


class Store(Protocol):
  """What the account asks of a store."""

  def revisions(self, window_size: str, boards: list[BoardCell]) -> Mapping[BoardCell, Revision]:
    """The revision of those of the boards that the store holds."""


@dataclasses.dataclass
class StoreAccount:
  """What one store holds of this run's boards.

  Attributes:
    boards: boards of this run that the store holds.
    missing: boards of this run that it does not hold, or holds at an older revision.
    newer: boards that it holds at a newer revision: of a larger input or a higher generation.
    recomputed: of a stream, boards that a backfill replaced; what they hold must still agree.
    counted: sum of `events` over this run's boards of the base window.
  """
  boards: int = 0
  missing: int = 0
  newer: int = 0
  recomputed: int = 0
  counted: int = 0


@dataclasses.dataclass
class Report:
  """The account of a run: `read = counted + rejected + too late`, for every store.

  Attributes:
    events_read, events_ranked: as the ledger has it: what came in, what went to boards.
    events_rejected: reason -> events, as the reject files have it.
    conflicts: boards for which another load of other events has as many events: their
      revisions are equal, and a store keeps the one that came first.
    largest: the board of the coarsest window with the most events.
    superseded: origin ranges of an earlier load of the same events that were taken out.
    shared: origin ranges for which another run accounts, which read the same at the same time.
    lost: whether this run wrote accounts of which nothing is left, so that it cannot tell.
    seconds: that the run took; 0 where more than one run is told of.
  """
  events_read: int
  events_ranked: int
  events_rejected: dict[str, int]
  events_too_late: int
  stores: dict[str, StoreAccount]
  conflicts: int
  largest: BoardCell | None
  superseded: int
  seconds: float
  shared: int = 0
  lost: bool = False

  @property
  def events_counted(self) -> int:
    """As the stores have it, the least where they differ; without a store, as the ledger has it."""
    return min((store.counted for store in self.stores.values()), default=self.events_ranked)

  @property
  def balanced(self) -> bool:
    """Whether every store accounts for every event that this run read."""
    refused = sum(self.events_rejected.values()) + self.events_too_late
    return not self.lost and not (self.stores and self.conflicts) and all(
        not store.missing and not store.newer and self.events_read == store.counted + refused
        for store in self.stores.values())

  def as_json(self) -> dict[str, Any]:
    return {
        'events_read': self.events_read, 'events_counted': self.events_counted,
        'events_rejected': self.events_rejected, 'events_too_late': self.events_too_late,
        'boards_written': {name: store.boards for name, store in self.stores.items()},
        'boards_missing': {name: store.missing for name, store in self.stores.items()},
        'boards_newer': {name: store.newer for name, store in self.stores.items()},
        'boards_recomputed': {name: store.recomputed for name, store in self.stores.items()},
        'boards_in_conflict': self.conflicts, 'ranges_of_another_run': self.shared,
        'accounts_lost': self.lost, 'balanced': self.balanced,
        'seconds': round(self.seconds, 3)}

  def as_text(self) -> str:
    rejected = sum(self.events_rejected.values())
    speed = (f' in {self.seconds:.1f} s ({self.events_read / self.seconds:,.0f}/s)'
             if self.seconds else '')
    lines = [f'read      {self.events_read:>13,} events{speed}',
             f'counted   {self.events_counted:>13,}',
             f'rejected  {rejected:>13,}']
    lines += [f'  {reason:<16}{count:>5,}' for reason, count in self.events_rejected.items()]
    lines.append(f'too late  {self.events_too_late:>13,}')
    for name, store in self.stores.items():
      note = ''.join(f', {count:,} {what}' for count, what in (
          (store.missing, 'MISSING'), (store.newer, 'already newer'),
          (store.recomputed, 'recomputed by a backfill')) if count)
      lines.append(f'{name:<10}{store.boards:>13,} boards{note}')
    if any(store.missing for store in self.stores.values()) and not self.seconds:
      lines.append('missing boards are under way while the job runs; if it was stopped, run it '
                   'again to finish')
    if any(store.newer for store in self.stores.values()):
      lines.append('newer boards come from a larger input or a higher generation; raise '
                   '--generation to put this count in their place')
    if self.conflicts:
      lines.append(f'conflict  {self.conflicts:>13,} boards have as many events from an earlier '
                   f'load of other events, and a store keeps the earlier; count all files of a '
                   f'window in one run, or raise --generation')
    if self.superseded:
      lines.append(f'replaced an earlier load of the same events ({self.superseded} ranges)')
    if self.shared:
      lines.append(f'another run of the same input at the same time accounts for {self.shared:,} '
                   f'ranges of it; the figures are of both')
    if self.lost:
      lines.append('another load of the same events has replaced the accounts of this run: see its '
                   'report, or run this one again')
    if self.stores:
      lines.append('read = counted + rejected + too late: ' + (
          'holds in every store' if self.balanced else 'DOES NOT HOLD'))
    return '\n'.join(lines)


def expected_boards(load: Load, sizes: Iterable[WindowSize]) -> dict[str, dict[BoardCell, int]]:
  """The boards that a load must lead to: {size label: {board: events}}."""
  expected: dict[str, dict[BoardCell, int]] = {}
  for size in sizes:
    boards: collections.Counter[BoardCell] = collections.Counter()
    for (tenant_id, event_type, start), events in load.counted.items():
      for window_start in size.starts(start):
        boards[tenant_id, event_type, window_start] += events
    expected[size.label] = boards
  return expected


@dataclasses.dataclass(frozen=True)
class Run:
  """A run, as its accounts are found again.

  Attributes:
    name: that its accounts have.
    generation: of its boards.
    sources: the files (or topics) that it reads, as far as they are known before.
    started_secs: epoch seconds.
  """
  name: str
  generation: int
  sources: frozenset[str] = frozenset()
  started_secs: float = dataclasses.field(default_factory=time.time)

  def find(self, ledger: Ledger) -> RunLoads:
    return ledger.of_run(self.name, self.generation, self.sources, self.started_secs)


def wrote_accounts(result: Any) -> bool:
  """Whether a finished pipeline wrote accounts at all: of empty input there are none."""
  counters = result.metrics().query(MetricsFilter().with_name(ACCOUNTS_WRITTEN))['counters']
  return any(counter.attempted for counter in counters)


def close_account(run: Run, wrote: bool, ledger: Ledger, stores: Mapping[str, Store],
                  sizes: list[WindowSize], archive: str | None) -> Report:
  """Reads the account of a finished run back from the ledger and the stores, and takes out what
  the run has made obsolete.

  Args:
    wrote: whether the run wrote accounts.
  """
  superseded = ledger.supersede(run.find(ledger), archive)
  report = run_account(run, wrote, ledger, stores, sizes)
  return dataclasses.replace(report, superseded=superseded)


def run_account(run: Run, wrote: bool, ledger: Ledger, stores: Mapping[str, Store],
                sizes: list[WindowSize]) -> Report:
  """The account of one run, which leaves what earlier ones wrote."""
  found = run.find(ledger)
  report = _report(found.load, found.others, ledger, stores, sizes,
                   time.time() - run.started_secs)
  return dataclasses.replace(report, shared=found.shared,
                             lost=wrote and not found.load.origins)


def whole_account(ledger: Ledger, stores: Mapping[str, Store], sizes: list[WindowSize],
                  generation: int) -> Report:
  """The account of all that was ever read into a ledger, by any run, each event once: that of
  a stream, which goes on over restarts."""
  return _report(ledger.whole(generation), (), ledger, stores, sizes, 0.0, recomputed=True)


def _report(load: Load, others: Iterable[Load], ledger: Ledger, stores: Mapping[str, Store],
            sizes: list[WindowSize], seconds: float, recomputed: bool = False) -> Report:
  expected = expected_boards(load, sizes)
  coarsest = expected[sizes[-1].label]
  return Report(
      events_read=load.read, events_ranked=load.counted.total(),
      events_rejected=ledger.reasons(load.origins),
      events_too_late=len(ledger.refused(TOO_LATE, load.origins)),
      stores={name: _store_account(store, expected, sizes[0], load.generation, recomputed)
              for name, store in stores.items()},
      conflicts=_conflicts(expected, others, sizes, load.generation),
      largest=max(coarsest, key=lambda board: (coarsest[board], board), default=None),
      superseded=0, seconds=seconds)


def _conflicts(expected: dict[str, dict[BoardCell, int]], others: Iterable[Load],
               sizes: list[WindowSize], generation: int) -> int:
  """Boards that another load made at the very same revision."""
  shared: set[tuple[str, BoardCell]] = set()
  for other in others:
    if other.generation == generation:
      for label, boards in expected_boards(other, sizes).items():
        mine = expected[label]
        shared |= {(label, board) for board, events in boards.items()
                   if mine.get(board) == events}
  return len(shared)


def _store_account(store: Store, expected: dict[str, dict[BoardCell, int]], base: WindowSize,
                   generation: int, recomputed: bool) -> StoreAccount:
  account = StoreAccount()
  for label, boards in expected.items():
    held = store.revisions(label, list(boards))
    for board, events in boards.items():
      revision = held.get(board, (-1, -1))
      account.boards += revision >= (0, 0)
      account.missing += revision < (generation, events)
      if recomputed and revision[0] > generation:
        account.recomputed += 1
      else:
        account.newer += revision > (generation, events)
    if label == base.label:
      account.counted = sum(events for _, events in held.values())
  return account


class Progress:
  """Says on stderr every few seconds how far a running job has come: a context manager."""

  def __init__(self, run: str, ledger: Ledger, sizes: list[WindowSize],
               every_secs: float = 5.0) -> None:
    self._run = run
    self._ledger = ledger
    self._sizes = sizes
    self._every_secs = every_secs
    self._done = threading.Event()
    self._thread = threading.Thread(target=self._watch, daemon=True)

  def __enter__(self) -> 'Progress':
    self._started = time.time()
    self._thread.start()
    return self

  def __exit__(self, *_: object) -> None:
    self._done.set()
    self._thread.join()

  def _watch(self) -> None:
    while not self._done.wait(self._every_secs):
      # A minute of grace: the clock of a file system may be another.
      load = self._ledger.loads(self._started - 60).get(self._run, Load())
      print(f'{time.time() - self._started:6.0f} s: {self._told(load)}', file=sys.stderr,
            flush=True)

  def _told(self, load: Load) -> str:
    if not load.read:
      return 'reading the first block of events'
    boards = sum(map(len, expected_boards(load, self._sizes).values()))
    return f'{load.read:,} events read; publishing their {boards:,} boards goes on'
