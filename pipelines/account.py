"""The account of a stream: what all its runs read, and whether every store accounts for it.

    python -m leaderboard.pipelines.account --rejects=data --redis=redis://cache:6379/0

A stream has no end and no closing account; this asks for one at any time, over all restarts.
While the stream runs, what is under way shows as missing.
"""
import argparse
import dataclasses
import pathlib
import sys
from collections.abc import Sequence

from leaderboard.io.ledgerio import Ledger
from leaderboard.pipelines.boardrules import resolve_windows
from leaderboard.pipelines.checks import Parser, Problems, UsageError, whole, writable, write_report
from leaderboard.pipelines.command import command
from leaderboard.pipelines.report import Report, whole_account
from leaderboard.pipelines.stores import ACCOUNTED, Stores, add_store_flags, resolve_stores
from leaderboard.transforms.boards import WindowSize

PROG = 'python -m leaderboard.pipelines.account'
EPILOG = """\
examples:
  %(prog)s --rejects=gs://bucket/ledger --postgres=postgresql://db/boards
  %(prog)s --data_dir=data --redis=embedded --windows=1m,1h --report=account.json

Exit codes: 0 read = counted + rejected + too late in every store, 1 it does not hold, 2 the
options are wrong or a store is out of reach.
"""


@dataclasses.dataclass(frozen=True)
class AccountJob:
  """The options, checked and resolved; see TopKJob."""
  windows: list[WindowSize]
  generation: int
  stores: Stores
  report: str | None


def parse(argv: Sequence[str]) -> AccountJob:
  """Reads and checks the flags.

  Raises:
    UsageError: with every problem at once.
  """
  args = _parser().parse_args(argv)
  problems = Problems()
  windows = resolve_windows(problems, args)
  generation = problems.check('--generation', whole, args.generation, 0, 2**31 - 1)
  stores = resolve_stores(problems, args, ('redis', 'postgres', 'parquet'), written=False)
  if args.report:
    problems.check('--report', writable, str(pathlib.Path(args.report).absolute().parent))
  if problems.found:
    raise UsageError(problems.found)
  return AccountJob(
      windows=windows, generation=generation, stores=stores, report=args.report)


def _parser() -> Parser:
  parser = Parser(prog=PROG, epilog=EPILOG, allow_abbrev=False,
                  formatter_class=argparse.RawDescriptionHelpFormatter,
                  description='Compares what a stream read with what its stores hold.')
  add = parser.add_argument
  add('--windows', default='1m,5m,1h,1d', metavar='SIZES',
      help='window sizes of the job (default 1m,5m,1h,1d)')
  add('--time_zone', default='UTC', metavar='ZONE', help='of the job (default UTC)')
  add('--sliding', metavar='SIZES', default='', help='of the job. Example: 1h/1m')
  add('--generation', default='0', metavar='N', help='of the boards (default 0: a live job\'s)')
  add('--report', metavar='FILE', help='writes the account as JSON to this file too')
  add_store_flags(parser, ACCOUNTED)
  return parser


def run(argv: Sequence[str] | None = None) -> Report:
  """Reads the account and prints it.

  Raises:
    UsageError: the options are wrong or a store is out of reach.
  """
  job = parse(sys.argv[1:] if argv is None else argv)
  with job.stores.open() as stores, stores.readers() as readers:
    report = whole_account(Ledger(stores.ledger), readers, job.windows, job.generation)
  if not report.events_read:
    raise UsageError([f'--rejects: {job.stores.ledger} holds no account of generation '
                      f'{job.generation}; name the folder that the job writes to, or '
                      f'give its --parquet'])
  print(report.as_text())
  if job.report:
    write_report(job.report, report.as_json())
  return report


def main(argv: Sequence[str] | None = None) -> int:
  """The command line: exit codes as `--help` tells them."""
  return command('account', run, argv)


if __name__ == '__main__':
  sys.exit(main())
