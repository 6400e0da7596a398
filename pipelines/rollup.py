"""Rolls stored boards up: weeks and months of a time zone from days or hours, without the events.

    python -m leaderboard.pipelines.rollup --postgres=embedded --from_size=1h --windows=1d,1w,1mo \\
        --time_zone=Europe/Berlin
"""
import argparse
import dataclasses
import pathlib
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from leaderboard.io.historyio import History, ReadSummaries
from leaderboard.pipelines import runners
from leaderboard.pipelines.checks import (
  LOG_LEVELS,
  ONLY,
  PREFLIGHT,
  Parser,
  Problems,
  UsageError,
  beam_options,
  moment,
  one_of,
  parse_known,
  refuse_shown_secrets,
  utc,
  whole,
  writable,
  write_report,
)
from leaderboard.pipelines.command import command, hear
from leaderboard.pipelines.preflight import print_tried
from leaderboard.pipelines.report import Revision
from leaderboard.pipelines.stores import WRITTEN, Stores, add_store_flags, resolve_stores
from leaderboard.transforms.boards import (
  WindowSize,
  add_sliding_sizes,
  order_sizes,
  parse_window_size,
)
from leaderboard.transforms.calendars import check_time_zone
from leaderboard.transforms.countevents import BoardCell
from leaderboard.transforms.rollups import RollUp

PROG = 'python -m leaderboard.pipelines.rollup'
EPILOG = """\
examples:
  %(prog)s --postgres=embedded --from_size=1d --windows=1w,1mo
  %(prog)s --postgres=postgresql://db/boards --from_size=1h --windows=1d,1w,1mo \\
      --time_zone=Europe/Berlin --from=2013-07-01 --to=2013-08-01 --redis=redis://cache:6379/0

It may be run again at any time: boards that grew are replaced, others stay. Any option of Apache
Beam may be given too. Exit codes: 0 done, 1 the job failed or a store does not hold its boards,
2 the options are wrong or a store is out of reach.
"""

# {size label: {board: the revision that its parts make}}
_Expected = dict[str, dict[BoardCell, Revision]]


@dataclasses.dataclass(frozen=True)
class RollUpJob:
  """The options, checked and resolved.

  Attributes:
    size: window size of the stored boards.
    sizes: of the boards to make.
    from_secs, to_secs: epoch seconds; None for all that is stored.
  """
  size: WindowSize
  sizes: list[WindowSize]
  time_zone: str
  from_secs: int | None
  to_secs: int | None
  keep: int
  generation: int
  stores: Stores
  report: str | None
  preflight: str
  log_level: str
  beam: PipelineOptions


@dataclasses.dataclass(frozen=True)
class Parts:
  """The stored boards that are merged, in epoch seconds.

  Attributes:
    from_secs, to_secs: windows that hold some of [from, to) are made.
    starts: of the stored windows in all of those, earliest first.
  """
  from_secs: int
  to_secs: int
  starts: list[int]


@dataclasses.dataclass
class RollUpReport:
  """What became of a roll-up.

  Attributes:
    boards: size label -> boards that were made.
    events: size label -> their events; of the sliding sizes each event counts in many.
    missing: store -> boards that it does not hold, or at an older revision.
    newer: store -> boards that it held at a newer revision than their parts make.
  """
  boards: dict[str, int]
  events: dict[str, int]
  missing: dict[str, int]
  newer: dict[str, int]
  seconds: float

  @property
  def balanced(self) -> bool:
    """Whether every store holds every board as its parts make it."""
    return not any((*self.missing.values(), *self.newer.values()))

  def as_json(self) -> dict[str, Any]:
    return {**dataclasses.asdict(self), 'balanced': self.balanced,
            'seconds': round(self.seconds, 3)}

  def as_text(self) -> str:
    lines = [f'{label:<14}{boards:>9,} boards of {self.events[label]:>13,} events'
             for label, boards in self.boards.items()]
    for store, missing in self.missing.items():
      note = ''.join(f', {count:,} {what}' for count, what in (
          (missing, 'MISSING'), (self.newer[store], 'already newer')) if count)
      lines.append(f'{store:<14}holds {"its" if note else "them all"}{note}')
    if any(self.newer.values()):
      lines.append('newer boards hold events that their parts no longer have, or a higher '
                   'generation; raise --generation to put this count in their place')
    return '\n'.join([*lines, f'in {self.seconds:.1f} s'])


def parse(argv: Sequence[str]) -> RollUpJob:
  """Reads and checks the flags.

  Raises:
    UsageError: with every problem at once.
  """
  args, rest = parse_known(parser(), argv)
  problems = Problems()
  zone = problems.check('--time_zone', check_time_zone, args.time_zone)
  size = zone and problems.check('--from_size', _from_size, args.from_size, zone)
  sizes = size and problems.check('--windows', _sizes, args.windows, size, zone)
  if sizes and args.sliding:
    sizes = problems.check('--sliding', add_sliding_sizes, [size, *sizes], args.sliding)
    sizes = sizes and [other for other in sizes if other != size]
  from_secs, to_secs = (zone and text and problems.check(flag, moment, text, zone)
                        for flag, text in (('--from', args.start), ('--to', args.to)))
  if from_secs and to_secs and to_secs <= from_secs:
    problems.found.append(f'--to: must be later than --from={args.start}; got {args.to}')
  keep = problems.check('--keep', whole, args.keep, 1, 2**24)
  generation = problems.check('--generation', whole, args.generation, 0, 2**31 - 1)
  if not args.postgres:
    problems.found.append('--postgres: is required: the store that holds the boards')
  stores = resolve_stores(problems, args, ['postgres'])
  if args.report:
    problems.check('--report', writable, str(pathlib.Path(args.report).absolute().parent))
  problems.check('--preflight', one_of, args.preflight, PREFLIGHT)
  problems.check('--log_level', one_of, args.log_level, LOG_LEVELS)
  beam = beam_options(rest)
  refuse_shown_secrets(problems, beam, redis=args.redis, postgres=args.postgres)
  if problems.found:
    raise UsageError(problems.found)
  return RollUpJob(
      size=size, sizes=sizes, time_zone=zone, from_secs=from_secs, to_secs=to_secs, keep=keep,
      generation=generation, stores=stores, report=args.report, preflight=args.preflight,
      log_level=args.log_level, beam=beam)


def parser() -> Parser:
  """The flags of a roll-up."""
  parser = Parser(prog=PROG, epilog=EPILOG, allow_abbrev=False,
                  formatter_class=argparse.RawDescriptionHelpFormatter,
                  description='Merges boards that PostgreSQL holds into boards of coarser windows.')
  add = parser.add_argument
  add('--from_size', default='1d', metavar='SIZE',
      help='window size of the stored boards: 1d (default) or, for another time zone than the '
      'one that they were made with, 1h or finer')
  add('--windows', default='1w,1mo', metavar='SIZES',
      help='window sizes to make, in which it nests (default 1w,1mo)')
  add('--time_zone', default='UTC', metavar='ZONE',
      help='whose midnights the windows 1d, 1w (from Monday) and 1mo start at; one store takes '
      'boards of one zone only (default UTC). Example: Europe/Berlin')
  add('--sliding', metavar='SIZES', default='', help='sliding windows. Example: 24h/1h')
  add('--from', dest='start', metavar='MOMENT',
      help='makes the windows that hold this moment or later ones; in the time zone, unless it '
      'says otherwise (default: all that is stored). Example: 2013-07-01')
  add('--to', metavar='MOMENT', help='makes the windows that start before this moment')
  add('--keep', default='1000', metavar='ROWS', help='rows that a board keeps (default 1000)')
  add('--generation', default='0', metavar='N',
      help='the least generation of a board; otherwise the highest among its parts (default 0)')
  add('--report', metavar='FILE', help='writes the closing account as JSON to this file too')
  add('--preflight', default='on', metavar='WHEN',
      help='tries the stores first and tells all that is out of reach: on (default), only, which '
      'then ends and changes nothing, or off')
  add('--log_level', default='CRITICAL', metavar='LEVEL',
      help='what the libraries may say: DEBUG, INFO, WARNING, ERROR or CRITICAL (default)')
  add_store_flags(parser, WRITTEN)
  return parser


def _from_size(text: str, zone: str) -> WindowSize:
  size = parse_window_size(text, zone)
  if size.period_secs:
    raise ValueError(f'sliding windows hold an event many times; name one of fixed length or a '
                     f'calendar size, got {text}')
  return size


def _sizes(text: str, size: WindowSize, zone: str) -> list[WindowSize]:
  """The sizes to make, finest first."""
  ordered = order_sizes([size, *(parse_window_size(part, zone) for part in text.split(','))])
  if ordered[0] != size:
    raise ValueError(f'boards of {size} do not make finer ones: {ordered[0]}; name a finer '
                     f'--from_size')
  return ordered[1:]


def build(pipeline: beam.Pipeline, job: RollUpJob, parts: Parts, stores: Stores) -> None:
  """The way of a summary from store to stores."""
  records = (pipeline
             | 'ReadSummaries' >> ReadSummaries(stores.postgres, job.size, parts.starts)
             | 'RollUp' >> RollUp(job.size, job.sizes, parts.from_secs, parts.to_secs, job.keep,
                                  job.generation))
  for size in job.sizes:
    stores.write(records[size.label], size.label)


def run(argv: Sequence[str] | None = None) -> RollUpReport:
  """Rolls up, and reads the boards back from the stores.

  Raises:
    UsageError: the options are wrong, a store is out of reach or does not hold what they name.
  """
  job = parse(sys.argv[1:] if argv is None else argv)
  hear(job.log_level)
  started = time.monotonic()
  with job.stores.open(job.preflight, runners.probes(job.beam)) as stores:
    assert stores.postgres
    if job.preflight == ONLY:
      return tried(job)
    parts = _parts(job, stores.postgres)
    expected = _expected(job, stores.postgres, parts)
    with beam.Pipeline(options=job.beam) as pipeline:
      build(pipeline, job, parts, stores)
    with stores.readers() as readers:
      # What the parts have gained since may be in a store already.
      since = _expected(job, stores.postgres, parts)
      missing = {name: _older(store, expected) for name, store in readers.items()}
      newer = {name: _newer(store, since) for name, store in readers.items()}
  report = RollUpReport(
      boards={label: len(boards) for label, boards in expected.items()},
      events={label: sum(events for _, events in boards.values())
              for label, boards in expected.items()},
      missing=missing, newer=newer, seconds=time.monotonic() - started)
  print(report.as_text())
  if job.report:
    write_report(job.report, report.as_json())
  return report


def launch(argv: Sequence[str] | None = None) -> Any:
  """Starts the roll-up on a cluster and returns at once: what a template's launcher calls.

  Returns:
    The runner's own handle, or None where the job was only tried.

  Raises:
    UsageError: as `run`.
  """
  job = parse(sys.argv[1:] if argv is None else argv)
  runners.refuse_local(job.beam, job.stores)
  hear(job.log_level)
  with job.stores.open(job.preflight, runners.probes(job.beam)) as stores:
    assert stores.postgres
    if job.preflight == ONLY:
      tried(job)
      return None
    pipeline = beam.Pipeline(options=job.beam)
    build(pipeline, job, _parts(job, stores.postgres), stores)
    return runners.start(pipeline)


def tried(job: RollUpJob) -> RollUpReport:
  """Says that the stores are in reach; the report of a job that made nothing."""
  print_tried([*runners.probes(job.beam), *job.stores.probes()])
  return RollUpReport({}, {}, {}, {}, 0.0)


def _parts(job: RollUpJob, dsn: str) -> Parts:
  """Finds the stored boards.

  Raises:
    UsageError: there are none, or they are those of another time zone.
  """
  starts = History(dsn, job.size.label).starts()
  if starts:
    from_secs = starts[0] if job.from_secs is None else job.from_secs
    to_secs = job.size.end(starts[-1]) if job.to_secs is None else job.to_secs
    # The first and the last window that are asked for are merged whole.
    first = min(size.start(from_secs) for size in job.sizes)
    last = max(size.end(size.starts(to_secs - 1)[-1]) for size in job.sizes)
    starts = [start for start in starts if first <= start < last]
  if not starts:
    raise UsageError([f'--from_size: the store holds no boards of {job.size.label} in this time; '
                      f'count the events first: python -m leaderboard.pipelines.topk'])
  problems = []
  for flag, size in (('--from_size', job.size), *(('--windows', size) for size in job.sizes)):
    stored = starts if size == job.size else History(dsn, size.label).starts(first, last)
    strange = [] if size.period_secs else [
        start for start in stored if size.start(start) != start]
    if strange:
      problems.append(f'{flag}: the store holds {size.label} boards of another time zone than '
                      f'{job.time_zone}, such as that of {utc(strange[0])}; name their '
                      f'--time_zone, or a store of its own')
  if problems:
    raise UsageError(problems)
  return Parts(from_secs, to_secs, starts)


def _expected(job: RollUpJob, dsn: str, parts: Parts) -> _Expected:
  """The boards that must come of it, from the revisions of their parts alone."""
  expected: _Expected = {size.label: {} for size in job.sizes}
  for (tenant_id, event_type, start), revision in History(dsn, job.size.label).revisions(
      parts.starts[0], parts.starts[-1] + 1):
    for size in job.sizes:
      boards = expected[size.label]
      for window_start in size.starts(start):
        if window_start < parts.to_secs and size.end(window_start) > parts.from_secs:
          board = tenant_id, event_type, window_start
          generation, events = boards.get(board, (job.generation, 0))
          boards[board] = max(generation, revision[0]), events + revision[1]
  return expected


def _older(store: Any, expected: _Expected) -> int:
  """Boards that a store does not hold, or at an older revision."""
  return sum(revision < wanted for revision, wanted in _compared(store, expected))


def _newer(store: Any, expected: _Expected) -> int:
  return sum(revision > wanted for revision, wanted in _compared(store, expected))


def _compared(store: Any, expected: _Expected) -> Iterable[tuple[Revision, Revision]]:
  for label, boards in expected.items():
    held = store.revisions(label, list(boards))
    for board, wanted in boards.items():
      yield held.get(board, (-1, -1)), wanted


def main(argv: Sequence[str] | None = None) -> int:
  """The command line: exit code 0, 1 when the job failed, 2 when it could not start."""
  return command('rollup', run, argv)


if __name__ == '__main__':
  sys.exit(main())
