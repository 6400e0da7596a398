"""The Parquet folder as DuckDB views: exact answers about any time.

    with open_archive('data/parquet') as archive:
      archive.sql("select item_id, count(*) from events where tenant = 'JFK' "
                  "and date = '2013-07-01' group by 1 order by 2 desc limit 10").show()
"""
import pathlib

import duckdb
import pyarrow as pa

from leaderboard.io.parquetio import BOARD_SCHEMA
from leaderboard.io.rejectsio import REFUSED_SCHEMA, REJECTS, TOO_LATE

# The partition columns are among the keys: an event that a replay wrote again lies in the same
# folder, and a question about one day opens the files of that day alone.
_EVENTS = """
create view events as select distinct on (tenant, type, date, source, partition, "offset") *
from read_parquet('{root}/events/*/*/*/*.parquet', hive_partitioning = true,
  hive_types = {{'tenant': varchar, 'type': varchar, 'date': date}}, union_by_name = true)"""
_BOARDS = """
create view boards as select * exclude (place) from (
  select *, row_number() over (
    partition by "window", date, tenant_id, event_type, window_size, window_start
    order by generation desc, events desc) as place
  from read_parquet('{root}/boards/*/*/*.parquet', hive_partitioning = true,
    hive_types = {{'window': varchar, 'date': date}}))
where place = 1"""
_NO_EVENTS = """
create view events as select null::varchar as tenant_id, null::varchar as event_type,
  null::timestamp as timestamp, null::varchar as item_id, null::bigint as weight,
  null::varchar as source, null::int as partition, null::bigint as "offset",
  null::varchar as tenant, null::varchar as type, null::date as date where false"""


_REFUSED = """
create view {view} as select distinct on (source, partition, "offset") *
from read_parquet('{root}/{view}/*.parquet')"""


def open_archive(root: str | pathlib.Path) -> duckdb.DuckDBPyConnection:
  """A connection with views over a local folder: `events`, `boards`, `rejects` and `too_late`.

  `events` has every archived event once, with the columns of the event contract, those of its
  origin and the partitions `tenant`, `type` (percent-encoded) and `date`; `boards` the newest
  revision of each board, with the partitions `window` and `date`. `rejects` and `too_late` have
  every refused event once: `reason`, `field`, the original bytes as `data` (their first 64 KiB;
  `decode(data)` makes text of them), and the origin (`source`, `partition`, `offset`). They are in
  the folder of `--rejects` where that was given. All read files only when asked.
  """
  connection = duckdb.connect()
  folder = pathlib.Path(root).absolute()
  literal = str(folder).replace("'", "''")
  has_events = next(folder.glob('events/*/*/*/*.parquet'), None)
  connection.execute(_EVENTS.format(root=literal) if has_events else _NO_EVENTS)
  if next(folder.glob('boards/*/*/*.parquet'), None):
    connection.execute(_BOARDS.format(root=literal))
  else:
    _empty(connection, 'boards', BOARD_SCHEMA.append(pa.field('window', pa.string())).append(
        pa.field('date', pa.date32())))
  for view in (REJECTS, TOO_LATE):
    if next(folder.glob(f'{view}/*.parquet'), None):
      connection.execute(_REFUSED.format(view=view, root=literal))
    else:
      _empty(connection, view, REFUSED_SCHEMA)
  return connection


def _empty(connection: duckdb.DuckDBPyConnection, view: str, schema: pa.Schema) -> None:
  connection.register(f'no_{view}', schema.empty_table())
  connection.execute(f'create view {view} as select * from no_{view}')
