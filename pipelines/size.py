"""Tells how large a board's summary should be, from measurements.

    python -m leaderboard.pipelines.size --k=100 --distinct=1000000 --skew=1.05

The table `sizing.json` was measured by `bench/sizing.py` on streams whose distribution stays the
same, a million events over 16 merged shards. The answer is that of the next harder measured
point: at least as many items, at most as skewed.
"""
import argparse
import dataclasses
import importlib.resources
import json
import re
import sys
from collections.abc import Sequence
from typing import Any

from leaderboard.io.flags import Parser, UsageError, argument, whole
from leaderboard.pipelines.command import command
from leaderboard.transforms.parameters import Parameters

PROG = 'python -m leaderboard.pipelines.size'
_WANTED_RECALL = 0.99
_MEMORY = re.compile(r'([0-9]+)(B|KiB|MiB|GiB)')
_BYTES = {'B': 1, 'KiB': 1 << 10, 'MiB': 1 << 20, 'GiB': 1 << 30}
EPILOG = """\
examples:
  %(prog)s --k=100 --distinct=1000000 --skew=1.05
  %(prog)s --k=10 --distinct=50000 --skew=0.8 --memory=64KiB
"""


def predictions(k: int, distinct: int, skew: float) -> list[dict[str, Any]]:
  """What was measured at the next harder point, smallest summary first.

  Args:
    k: rows wanted.
    distinct: different items of a board.
    skew: exponent s of a power law, weight ~ rank ** -s; 0 is flat.

  Raises:
    ValueError: k, distinct or skew lie beyond what was measured.
  """
  text = importlib.resources.files('leaderboard.pipelines').joinpath('sizing.json').read_text()
  points = json.loads(text)
  skews = [point['skew'] for point in points if point['skew'] <= skew]
  if not skews:
    raise ValueError(f'--skew: must be at least {min(p["skew"] for p in points)}, below which '
                     f'nothing was measured; got {skew}')
  larger = [point['distinct'] for point in points if point['distinct'] >= distinct]
  if not larger:
    raise ValueError(f'--distinct: must be at most {max(p["distinct"] for p in points)}, beyond '
                     f'which nothing was measured; got {distinct}')
  measured = [int(key) for key in points[-1]['recall'] if int(key) >= k]
  if not measured:
    raise ValueError(f'--k: must be at most {max(map(int, points[-1]["recall"]))}, beyond which '
                     f'nothing was measured; got {k}')
  key = str(min(measured))
  chosen = [point for point in points if point['skew'] == max(skews)
            and point['distinct'] == min(larger) and key in point['recall']]
  return [{'candidates': point['candidates'], 'bytes': point['bytes'],
           'exact_up_to': 2 * point['candidates'], 'recall': point['recall'][key],
           'bracket_width': point['width'][key]} for point in chosen]


def recommended(rows: list[dict[str, Any]], memory: int | None) -> dict[str, Any] | None:
  """The smallest size that finds what is wanted, or the best that fits; None if none fits."""
  fitting = [row for row in rows if memory is None or row['bytes'] <= memory]
  good = [row for row in fitting if row['recall'] >= _WANTED_RECALL]
  return good[0] if good else max(fitting, key=lambda row: row['recall'], default=None)


def _memory(text: str) -> int:
  match = _MEMORY.fullmatch(text)
  if not match:
    raise ValueError(f'must be a whole number of B, KiB, MiB or GiB, such as 64KiB; got {text!r}')
  return int(match[1]) * _BYTES[match[2]]


def _skew(text: str) -> float:
  try:
    return float(text)
  except ValueError:
    raise ValueError(f'must be a number such as 1.05; got {text!r}') from None


@dataclasses.dataclass(frozen=True)
class Sized:
  """What was found: rows of `predictions`."""
  rows: list[dict[str, Any]]
  balanced: bool = True


def run(argv: Sequence[str] | None = None) -> Sized:
  """Prints what was measured, and what to take.

  Raises:
    UsageError: a flag is wrong, or nothing was measured there.
  """
  parser = Parser(
      prog=PROG, epilog=EPILOG, allow_abbrev=False, description=__doc__.split('\n')[0],
      formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--k', type=argument(whole, 1, 2**24), default=100,
                      help='rows wanted (default 100)')
  parser.add_argument('--distinct', type=argument(whole, 1, 2**53), required=True,
                      help='different items of a board')
  parser.add_argument('--skew', type=argument(_skew), required=True,
                      help='exponent of the power law, weight ~ rank ** -skew: 0.6 is nearly '
                      'flat, 1 is common, 1.5 is steep')
  parser.add_argument('--memory', type=argument(_memory), metavar='SIZE',
                      help='most bytes of a stored board, such as 64KiB')
  args = parser.parse_args(argv)
  try:
    rows = predictions(args.k, args.distinct, args.skew)
  except ValueError as error:
    raise UsageError([str(error)]) from None
  best = recommended(rows, args.memory)
  print('candidates     stored  exact up to  recall  bracket width')
  for row in rows:
    print(f'{row["candidates"]:>10,}  {row["bytes"] / 1024:>5,.0f} KiB  {row["exact_up_to"]:>11,}  '
          f'{row["recall"]:>6.2f}  {100 * row["bracket_width"]:>11.3f} %'
          f'{"  <" if row is best else ""}')
  if best is None:
    raise UsageError(['--memory: no measured size is that small'])
  if args.distinct <= 2 * Parameters().candidates:
    print('The default profile counts that many items exactly.')
  print(f'Recommended: --candidates={best["candidates"]}')
  return Sized(rows)


def main(argv: Sequence[str] | None = None) -> int:
  """The command line: exit code 0, 2 when there is no answer."""
  return command('size', run, argv)


if __name__ == '__main__':
  sys.exit(main())
