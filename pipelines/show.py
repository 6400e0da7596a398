"""Prints any stored board, with its bounds.

    python -m leaderboard.pipelines.show --store=redis --tenant=EWR --event_type=flight \\
        --window=1d --at=2013-07-01 --k=10
"""
import argparse
import contextlib
import csv
import dataclasses
import io
import json
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from leaderboard.io import embedded, postgresio, redisio
from leaderboard.io.filesio import check_folder
from leaderboard.io.flags import argument
from leaderboard.io.parquetio import ParquetBoards
from leaderboard.pipelines.checks import EMBEDDED, Parser, Problems, UsageError, moment, utc, whole
from leaderboard.pipelines.command import command
from leaderboard.transforms.boards import BoardRecord, WindowSize, parse_window_size
from leaderboard.transforms.certify import certified, resolution
from leaderboard.transforms.revisions import Change

PROG = 'python -m leaderboard.pipelines.show'
EPILOG = """\
examples:
  %(prog)s --store=redis --tenant=EWR --event_type=flight --window=1d --at=2013-07-01 --k=10
  %(prog)s --store=postgres --postgres=postgresql://db/boards --tenant=JFK \\
      --event_type=aircraft --window=1h --at=2013-07-01T14:00 --format=json
"""


def as_json(board: BoardRecord, k: int, change: Change | None = None,
            final: bool | None = None) -> dict[str, Any]:
  """The top k of a board as plain data; bounds and certificates are those of this k.

  Args:
    change: what the board's newest revision changed; of a first record, which corrected nothing,
      null is told.
    final: whether no event can change the board any more; None where no one knows.
  """
  rows = board.rows[:k]
  flags = _certified(board, k)
  return {
      'tenant_id': board.tenant_id, 'event_type': board.event_type,
      'window_size': board.window_size, 'window_start': utc(board.window_start),
      'window_end': utc(board.window_end), 'events': board.events, 'total': board.total,
      'tau': board.tau, 'rest_upper': board.rest_upper, 'epsilon': board.epsilon,
      'delta': board.delta, 'resolution': _resolution(board, k),
      'revision': {'generation': board.generation, 'events': board.events},
      'change': dataclasses.asdict(change) if change and change.revisions > 1 else None,
      'final': final,
      'rows': [{'rank': rank, 'item': row.item, 'count': row.count, 'lower': row.count,
                'upper': row.upper, 'certified': flag}
               for rank, (row, flag) in enumerate(zip(rows, flags, strict=True), 1)]}


def as_table(board: BoardRecord, k: int, change: Change | None = None,
             final: bool | None = None) -> str:
  """The top k of a board for people."""
  answer = as_json(board, k)
  lines = [f'{board.tenant_id} / {board.event_type} / {board.window_size} from '
           f'{answer["window_start"]} to {answer["window_end"]}',
           f'{board.events:,} events, total {board.total:,}, {answer["resolution"]}, every item '
           f'outside the kept {len(board.rows):,} rows at most {board.rest_upper:,}']
  standing = []
  if change and change.revisions > 1:
    standing.append(f'revision {change.revisions:,}: {_counted(change.events_added, "event")} '
                    f'added, {_counted(change.ranks_moved, "rank")} moved')
  if final is not None:
    standing.append('final' if final else 'not final yet')
  if standing:
    lines.append('; '.join(standing))
  width = max([len(row['item']) for row in answer['rows']] + [4])
  lines.append(f'{"rank":>4}  {"item":<{width}}  {"count":>12}  {"lower":>12}  {"upper":>12}  '
               f'certified')
  lines += [f'{row["rank"]:>4}  {row["item"]:<{width}}  {row["count"]:>12,}  '
            f'{row["lower"]:>12,}  {row["upper"]:>12,}  {"yes" if row["certified"] else "no"}'
            for row in answer['rows']]
  return '\n'.join(lines)


def as_csv(board: BoardRecord, k: int) -> str:
  """The top k of a board as CSV with a header."""
  out = io.StringIO()
  writer = csv.DictWriter(out, ['rank', 'item', 'count', 'lower', 'upper', 'certified'],
                          lineterminator='\n')
  writer.writeheader()
  writer.writerows(as_json(board, k)['rows'])
  return out.getvalue().rstrip('\n')


def _counted(number: int, noun: str) -> str:
  return f'{number:,} {noun}' if number == 1 else f'{number:,} {noun}s'


def _columns(board: BoardRecord) -> tuple[list[int], list[int]]:
  return [row.count for row in board.rows], [row.upper for row in board.rows]


def _certified(board: BoardRecord, k: int) -> list[bool]:
  lowers, uppers = _columns(board)
  return certified(lowers[:k], uppers, board.rest_upper, k)


def _resolution(board: BoardRecord, k: int) -> str:
  lowers, uppers = _columns(board)
  exact = board.resolution == 'exact'
  return resolution(lowers, uppers, board.rest_upper, board.tau, exact, k)


def _window(text: str) -> WindowSize:
  """A size such as `1d`, or `1d@Europe/Berlin` where a calendar is not that of UTC."""
  label, _, time_zone = text.partition('@')
  return parse_window_size(label, time_zone or 'UTC')


def _parser() -> Parser:
  parser = Parser(
      prog=PROG, epilog=EPILOG, allow_abbrev=False, description='Prints a stored board.',
      formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--store', required=True, choices=['redis', 'postgres', 'parquet'])
  parser.add_argument('--tenant', default='default', help='tenant_id (default: default)')
  parser.add_argument('--event_type', required=True, help='such as flight')
  parser.add_argument('--window', required=True, type=argument(_window),
                      help='window size, such as 1d, 1h_every_1m (sliding) or 1mo@Europe/Berlin')
  parser.add_argument('--at', required=True, type=argument(moment, 'UTC'),
                      help='a moment inside the window, UTC: 2013-07-01 or 2013-07-01T14:30Z')
  parser.add_argument('--k', default=10, type=argument(whole, 1, 2**24),
                      help='rows to print (default 10)')
  parser.add_argument('--format', default='table', choices=['table', 'json', 'csv'])
  parser.add_argument('--redis', default=EMBEDDED, metavar='URL', help='(default: embedded)')
  parser.add_argument('--postgres', default=EMBEDDED, metavar='DSN', help='(default: embedded)')
  parser.add_argument('--parquet', metavar='PATH', help='(default: DATA_DIR/parquet)')
  parser.add_argument('--data_dir', default='data', metavar='DIR',
                      help='where embedded servers keep their data (default data)')
  return parser


@dataclasses.dataclass(frozen=True)
class Shown:
  """Whether there was a board to show."""
  balanced: bool


def _read(args: argparse.Namespace, data_dir: pathlib.Path, stack: contextlib.ExitStack
          ) -> tuple[BoardRecord | None, Change | None, bool | None]:
  store: Any
  if args.store == 'parquet':
    store = ParquetBoards(args.parquet)
  elif args.store == 'redis':
    url = args.redis
    if url == EMBEDDED:
      url = stack.enter_context(embedded.start_redis(data_dir)).url
    redisio.check(url)
    store = redisio.RedisBoards(url)
  else:
    dsn = args.postgres
    if dsn == EMBEDDED:
      dsn = stack.enter_context(embedded.start_postgres(data_dir)).url
    postgresio.check(dsn)
    store = postgresio.PostgresBoards(dsn)
  board = args.tenant, args.event_type, args.window.label, args.window.start(args.at)
  if args.store == 'parquet':
    return store.read_board(*board), None, None
  # In this order: a board that is read after it became final has all its events.
  until = store.final_until()
  record = store.read_board(*board)
  final = None if record is None or until is None else record.window_end <= until
  return record, store.read_change(*board), final


def _check_place(args: argparse.Namespace, data_dir: pathlib.Path) -> None:
  """Sees that a store which is a folder is there.

  Raises:
    UsageError: it is not.
  """
  problems = Problems()
  if args.store == 'parquet':
    problems.check('--parquet', check_folder, args.parquet)
  elif getattr(args, args.store) == EMBEDDED:
    problems.check('--data_dir', embedded.check_there, data_dir, args.store)
  if problems.found:
    raise UsageError(problems.found)


def run(argv: Sequence[str] | None = None) -> Shown:
  """Prints the board.

  Raises:
    UsageError: a flag is wrong or the store is out of reach.
  """
  args = _parser().parse_args(argv)
  data_dir = pathlib.Path(args.data_dir).absolute()
  args.parquet = args.parquet or str(data_dir / 'parquet')
  _check_place(args, data_dir)
  try:
    with contextlib.ExitStack() as stack:
      board, change, final = _read(args, data_dir, stack)
  except (embedded.EmbeddedServerError, redisio.RedisUnavailable,
          postgresio.PostgresUnavailable) as error:
    raise UsageError([f'--{args.store}: {error}']) from None
  if board is None:
    print(f'show: {args.store} holds no board of tenant {args.tenant!r}, event type '
          f'{args.event_type!r}, window {args.window.label} at '
          f'{utc(args.window.start(args.at))}', file=sys.stderr)
    return Shown(balanced=False)
  if args.k > len(board.rows) and board.rest_upper:
    print(f'show: --k: the store keeps {len(board.rows)} rows of this board; the rest is not '
          f'ranked', file=sys.stderr)
  if args.format == 'json':
    print(json.dumps(as_json(board, args.k, change, final), indent=2, ensure_ascii=False))
  elif args.format == 'csv':
    print(as_csv(board, args.k))
  else:
    print(as_table(board, args.k, change, final))
  return Shown(balanced=True)


def main(argv: Sequence[str] | None = None) -> int:
  """The command line: exit code 0, 1 when there is no such board, 2 on a wrong flag or store."""
  return command('show', run, argv)


if __name__ == '__main__':
  sys.exit(main())
