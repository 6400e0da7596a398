"""Board records a second into Redis and PostgreSQL, beside plain clients that write the same rows.

    python bench/store_writes.py

The plain clients guard nothing: a pipelined ZADD, HSET and HSET of the record for each board, and
`executemany` of an upsert in one transaction. Rounds are interleaved and the median is told.
"""
import argparse
import dataclasses
import json
import pathlib
import statistics
import sys
import tempfile
import time

import psycopg
import redis

from leaderboard.io import embedded, postgresio
from leaderboard.io.postgresio import PostgresBoards
from leaderboard.io.redisio import RedisBoards, family
from leaderboard.transforms.boards import BoardRecord, Row

START = 1_356_998_400
_PLAIN = """
insert into plain (tenant_id, window_start, events, total, rows) values (%s, %s, %s, %s, %s)
on conflict (tenant_id, window_start) do update
set events = excluded.events, total = excluded.total, rows = excluded.rows"""


def records(boards, rows, revision):
  """Boards of which each revision moves one item in ten."""
  made = []
  for number in range(boards):
    counts = sorted(((1000 + row * 7 + (revision * 3 if row % 10 == 0 else 0), f'item{row:05d}')
                     for row in range(rows)), key=lambda pair: (-pair[0], pair[1]))
    total = sum(count for count, _ in counts)
    made.append(BoardRecord(
        tenant_id=f't{number}', event_type='play', window_size='1h', window_start=START,
        window_end=START + 3600, generation=0, events=total, total=total, tau=0, rest_upper=0,
        epsilon=0.0, delta=0.0, resolution='exact', summary=b'x' * 10 * rows,
        rows=tuple(Row(item, count, count) for count, item in counts)))
  return made


def plain_redis(client, batch):
  pipeline = client.pipeline(transaction=False)
  for record in batch:
    key = f'{family(record.tenant_id, "play", "1h")}:{record.window_start}'
    pipeline.zadd(f'plain:{key}:ranks', {row.item: -row.count for row in record.rows})
    pipeline.hset(f'plain:{key}:rows', mapping={row.item: row.count for row in record.rows})
    pipeline.hset(f'plain:{key}:board', mapping={'events': record.events, 'total': record.total})
  pipeline.execute()


def plain_postgres(connection, batch):
  with connection.transaction(), connection.cursor() as cursor:
    cursor.executemany(_PLAIN, [
        (record.tenant_id, record.window_start, record.events, record.total,
         json.dumps(record.rows)) for record in batch])


def timed(write, batch):
  started = time.perf_counter()
  write(batch)
  return len(batch) / (time.perf_counter() - started)


def main():
  parser = argparse.ArgumentParser(description=__doc__,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--rounds', type=int, default=5)
  args = parser.parse_args()
  speeds = {}
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    with (embedded.start_redis(folder) as live, embedded.start_postgres(folder) as history,
          redis.Redis.from_url(live.url) as client,
          psycopg.connect(history.url, autocommit=True) as connection):
      postgresio.migrate(history.url)
      connection.execute('create table plain (tenant_id text, window_start bigint, events bigint, '
                         'total numeric, rows jsonb, primary key (tenant_id, window_start))')
      writers = {
          'Redis': (RedisBoards(live.url).apply, lambda batch: plain_redis(client, batch)),
          'PostgreSQL': (PostgresBoards(history.url).apply,
                         lambda batch: plain_postgres(connection, batch))}
      for rows, boards in ((10, 1000), (1000, 100)):
        for number in range(args.rounds):
          batch = records(boards, rows, 1)
          for kind in ('new', 'revised'):
            if kind == 'revised':
              batch = [dataclasses.replace(record, events=record.events + 1)
                       for record in records(boards, rows, 2)]
            for store, pair in writers.items():
              for who, write in zip(('ours', 'plain'), pair, strict=True):
                speeds.setdefault((store, rows, kind, who), []).append(timed(write, batch))
          client.flushall()
          connection.execute('truncate board_windows, plain')
          print(f'{rows} rows, round {number + 1}', file=sys.stderr, flush=True)
  print('| store | rows | boards | boards/s | plain client, boards/s | ratio |')
  print('|---|---|---|---|---|---|')
  for store, rows, kind in dict.fromkeys(key[:3] for key in speeds):
    ours, plain = (statistics.median(speeds[store, rows, kind, who]) for who in ('ours', 'plain'))
    print(f'| {store} | {rows:,} | {kind} | {ours:,.0f} | {plain:,.0f} | {ours / plain:.2f} |')


if __name__ == '__main__':
  main()
