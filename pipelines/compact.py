"""Merges the small files of an archive and its board snapshots.

    python -m leaderboard.pipelines.compact --parquet=data/parquet
"""
import argparse
import dataclasses
import sys
import time
from collections.abc import Sequence

from leaderboard.io import compaction
from leaderboard.io.filesio import local_path
from leaderboard.pipelines.checks import Parser, Problems, UsageError, duration, whole
from leaderboard.pipelines.command import command

PROG = 'python -m leaderboard.pipelines.compact'
EPILOG = """\
examples:
  %(prog)s --parquet=data/parquet
  %(prog)s --parquet=gs://bucket/boards --target_bytes=268435456 --older_than=6h

It may run beside a job, and twice at once. What a reader has listed and not yet opened may be gone
when it is opened: it fails then, and is to be asked again. Exit codes: 0 done, 1 it failed, 2 the
options are wrong.
"""
_PROGRESS_SECS = 5.0


@dataclasses.dataclass
class CompactReport:
  """Files before and afterwards, and half-written ones that were deleted."""
  folders: int = 0
  before: int = 0
  after: int = 0
  stale: int = 0
  balanced: bool = dataclasses.field(default=True, init=False)

  def as_text(self) -> str:
    return (f'{self.folders:,} folders: {self.before:,} files are {self.after:,} now; '
            f'{self.stale:,} half-written ones deleted')


def _parser() -> Parser:
  parser = Parser(prog=PROG, epilog=EPILOG, allow_abbrev=False,
                  formatter_class=argparse.RawDescriptionHelpFormatter,
                  description='Merges the small Parquet files of each folder.')
  add = parser.add_argument
  add('--parquet', metavar='PATH', help='the folder that jobs write to (required)')
  add('--target_bytes', default=str(128 << 20), metavar='BYTES',
      help='size of a merged file (default 134217728 = 128 MiB)')
  add('--older_than', default='1h', metavar='DURATION',
      help='leaves a folder alone while one of its files is younger (default 1h)')
  return parser


def run(argv: Sequence[str] | None = None) -> CompactReport:
  """Compacts every folder.

  Raises:
    UsageError: the options are wrong.
  """
  args = _parser().parse_args(argv)
  problems = Problems()
  target_bytes = problems.check('--target_bytes', whole, args.target_bytes, 1, 1 << 40)
  older_secs = problems.check('--older_than', duration, args.older_than)
  if not args.parquet:
    problems.found.append('--parquet: is required: the folder that jobs write to')
  if problems.found:
    raise UsageError(problems.found)
  root = local_path(args.parquet)
  found = compaction.folders(root)
  if not found:
    raise UsageError([f'--parquet: {root} holds no events/ and no boards/; name the --parquet '
                      f'folder of a job'])
  report = CompactReport(folders=len(found), stale=compaction.delete_stale_parts(root))
  told = time.monotonic()
  for number, folder in enumerate(found, 1):
    done = compaction.compact(root, folder, target_bytes, older_secs)
    report.before += done.before
    report.after += done.after
    if time.monotonic() - told > _PROGRESS_SECS:
      told = time.monotonic()
      print(f'{number:,} of {len(found):,} folders', file=sys.stderr, flush=True)
  print(report.as_text())
  return report


def main(argv: Sequence[str] | None = None) -> int:
  """The command line: exit codes as `--help` tells them."""
  return command('compact', run, argv)


if __name__ == '__main__':
  sys.exit(main())
