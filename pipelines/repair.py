"""Rebuilds Redis from PostgreSQL: every board that Redis lacks or holds at an older revision.

    python -m leaderboard.pipelines.repair --postgres=postgresql://db/boards \\
        --redis=redis://cache:6379/0

It may run at any time, beside a live job too: a board is replaced only by a newer revision. Then
Redis is told what is final, as PostgreSQL had it before the first board was read.
"""
import argparse
import dataclasses
import itertools
import sys
import time
from collections.abc import Iterator, Sequence

from leaderboard.io.postgresio import PostgresBoards
from leaderboard.io.redisio import RedisBoards
from leaderboard.pipelines.checks import Parser, Problems, UsageError, moment
from leaderboard.pipelines.command import command
from leaderboard.pipelines.stores import Stores, add_store_flags, resolve_stores
from leaderboard.transforms.boards import BoardRecord

PROG = 'python -m leaderboard.pipelines.repair'
EPILOG = """\
examples:
  %(prog)s --postgres=embedded --redis=embedded
  %(prog)s --postgres=postgresql://db/boards --redis=redis://cache:6379/0 --windows=1h,1d \\
      --from=2013-07-01 --redis_ttl=1h=7d --dry_run

Exit codes: 0 Redis holds every board, 1 it failed, 2 the options are wrong or a store is out of
reach.
"""
_FLAGS = ('redis', 'postgres', 'redis_ttl', 'data_dir')
_BATCH = 500
_PROGRESS_SECS = 5.0


@dataclasses.dataclass(frozen=True)
class RepairJob:
  """The options, checked and resolved.

  Attributes:
    windows: labels of window sizes; none for all.
    from_secs, to_secs: boards whose windows start in [from, to); None for all.
    dry_run: whether nothing is written.
  """
  windows: list[str]
  from_secs: int | None
  to_secs: int | None
  dry_run: bool
  stores: Stores


@dataclasses.dataclass
class RepairReport:
  """What became of it.

  Attributes:
    boards: that PostgreSQL holds.
    missing: that Redis lacked, or held at an older revision.
    newer: that Redis holds at a newer revision.
    jobs: whose watermark Redis was told.
  """
  boards: int = 0
  missing: int = 0
  newer: int = 0
  jobs: int = 0
  dry_run: bool = False
  seconds: float = 0.0

  @property
  def balanced(self) -> bool:
    """Whether Redis holds every board now."""
    return not (self.dry_run and self.missing)

  def as_text(self) -> str:
    done = 'would be written' if self.dry_run else 'written'
    return (f'{self.boards:,} boards in PostgreSQL: {self.missing:,} {done} to Redis, '
            f'{self.boards - self.missing - self.newer:,} were there, {self.newer:,} are newer '
            f'there; watermarks of {self.jobs} jobs; in {self.seconds:.1f} s')


def parse(argv: Sequence[str]) -> RepairJob:
  """Reads and checks the flags.

  Raises:
    UsageError: with every problem at once.
  """
  args = _parser().parse_args(argv)
  problems = Problems()
  for name in ('redis', 'postgres'):
    if not getattr(args, name):
      problems.found.append(f'--{name}: is required')
  args.parquet = None
  stores = resolve_stores(problems, args, ['postgres'])
  from_secs, to_secs = (text and problems.check(flag, moment, text, 'UTC')
                        for flag, text in (('--from', args.start), ('--to', args.to)))
  if problems.found:
    raise UsageError(problems.found)
  windows = [label.strip() for label in args.windows.split(',') if label.strip()]
  return RepairJob(windows, from_secs, to_secs, args.dry_run, stores)


def _parser() -> Parser:
  parser = Parser(prog=PROG, epilog=EPILOG, allow_abbrev=False,
                  formatter_class=argparse.RawDescriptionHelpFormatter,
                  description='Rebuilds the boards in Redis from those in PostgreSQL.')
  add = parser.add_argument
  add('--windows', default='', metavar='SIZES', help='only these sizes (default: all)')
  add('--from', dest='start', metavar='MOMENT',
      help='only windows that start then or later, UTC unless it says otherwise')
  add('--to', metavar='MOMENT', help='only windows that start before')
  add('--dry_run', action='store_true', help='only tells what Redis lacks')
  add_store_flags(parser, _FLAGS)
  return parser


def run(argv: Sequence[str] | None = None) -> RepairReport:
  """Repairs, and tells what was amiss.

  Raises:
    UsageError: the options are wrong or a store is out of reach.
  """
  job = parse(sys.argv[1:] if argv is None else argv)
  started = told = time.monotonic()
  report = RepairReport(dry_run=job.dry_run)
  with job.stores.open() as stores:
    assert stores.redis and stores.postgres
    redis = RedisBoards(stores.redis, stores.redis_ttl_secs)
    postgres = PostgresBoards(stores.postgres)
    # Before the boards: what was final then is among those that are read.
    watermarks = postgres.watermarks()
    for batch in _batches(postgres.scan(job.windows, job.from_secs, job.to_secs)):
      _repair(batch, redis, report)
      if time.monotonic() - told > _PROGRESS_SECS:
        told = time.monotonic()
        print(f'{told - started:6.0f} s: {report.boards:,} boards, {report.missing:,} to write',
              file=sys.stderr, flush=True)
    # Of a part of the boards no one can say that all are there.
    if not job.windows and job.from_secs is None and job.to_secs is None:
      report.jobs = len(watermarks)
      for name, watermark_secs, lateness_secs in [] if job.dry_run else watermarks:
        redis.publish_watermark(name, watermark_secs, lateness_secs)
    redis.close()
    postgres.close()
  report.seconds = time.monotonic() - started
  print(report.as_text())
  return report


def _batches(records: Iterator[BoardRecord]) -> Iterator[list[BoardRecord]]:
  while batch := list(itertools.islice(records, _BATCH)):
    yield batch


def _repair(batch: list[BoardRecord], redis: RedisBoards, report: RepairReport) -> None:
  """Writes what Redis lacks of a batch; boards of an expired window come back for their time."""
  wanted: dict[str, list[BoardRecord]] = {}
  for record in batch:
    wanted.setdefault(record.window_size, []).append(record)
  for label, records in wanted.items():
    held = redis.revisions(label, [_cell(record) for record in records])
    lacking = [record for record in records
               if held.get(_cell(record), (-1, -1)) < record.revision]
    report.boards += len(records)
    report.missing += len(lacking)
    report.newer += sum(held.get(_cell(record), (-1, -1)) > record.revision for record in records)
    if not report.dry_run and lacking:
      redis.apply(lacking)


def _cell(record: BoardRecord) -> tuple[str, str, int]:
  return record.tenant_id, record.event_type, record.window_start


def main(argv: Sequence[str] | None = None) -> int:
  """The command line: exit codes as `--help` tells them."""
  return command('repair', run, argv)


if __name__ == '__main__':
  sys.exit(main())
