"""The contestants of the throughput benchmark, each a program of its own.

    python bench/contestants.py duckdb events.jsonl --answer=answer.json

All answer one question: of every tenant, event type and minute the number of events, and the 100
most frequent items with their counts. Each contestant is a generator: what stands before its
`yield` are its imports, which are timed apart; what it returns is its answer. The last line of the
output is JSON: seconds of the imports and of the run.
"""
import argparse
import importlib.util
import json
import os
import pathlib
import sys
import tempfile
import time

K = 100
CORES = 2
FIELDS = ('tenant_id', 'event_type', 'item_id')


def duckdb(path):
  import duckdb
  yield
  # The columns are told: guessing them would cost more.
  source = (f"read_parquet('{path}')" if path.suffix == '.parquet' else
            f"read_json('{path}', format='newline_delimited', columns={{"
            f"tenant_id: 'VARCHAR', event_type: 'VARCHAR', item_id: 'VARCHAR', "
            f"timestamp: 'BIGINT'}})")
  return duckdb.connect(config={'threads': CORES}).execute(f"""
      with counts as (
        select tenant_id, event_type, timestamp // 60000 * 60 as start, item_id, count(*) as n
        from {source} group by all)
      select tenant_id, event_type, start, sum(n)::bigint, max_by([item_id, n::varchar], n, {K})
      from counts group by all""").fetchall()


def chdb(path):
  import chdb
  yield
  schema = 'tenant_id String, event_type String, item_id String, timestamp Int64'
  source = (f"file('{path}', Parquet)" if path.suffix == '.parquet' else
            f"file('{path}', JSONEachRow, '{schema}')")
  lines = str(chdb.query(f"""
      select tenant_id, event_type, start, sum(n),
        arraySlice(arrayReverseSort(x -> x.2, groupArray((item_id, n))), 1, {K})
      from (select tenant_id, event_type, intDiv(timestamp, 60000) * 60 as start, item_id,
              count() as n from {source} group by all)
      group by all settings max_threads = {CORES}, output_format_json_quote_64bit_integers = 0
      """, 'JSONCompactEachRow')).splitlines()
  return [json.loads(line) for line in lines]


def polars(path):
  os.environ['POLARS_MAX_THREADS'] = str(CORES)
  import polars as pl
  yield
  if path.suffix == '.parquet':
    events = pl.scan_parquet(path)
  else:
    events = pl.scan_ndjson(path, schema={**dict.fromkeys(FIELDS, pl.String),
                                          'timestamp': pl.Int64})
  counts = (events.select(*FIELDS, start=pl.col('timestamp') // 60_000 * 60)
            .group_by(*FIELDS[:2], 'start', 'item_id').agg(n=pl.len()))
  boards = (counts.group_by(*FIELDS[:2], 'start')
            .agg(total=pl.col('n').sum(), top=pl.struct('item_id', 'n').top_k_by('n', K))
            .collect(engine='streaming'))
  return [(*row[:4], [tuple(pair.values()) for pair in row[4]])
          for row in boards.select(*FIELDS[:2], 'start', 'total', 'top').rows()]


def pyarrow(path):
  import pyarrow as pa
  import pyarrow.compute as pc
  import pyarrow.json
  import pyarrow.parquet
  yield
  pa.set_cpu_count(CORES)
  if path.suffix == '.parquet':
    events = pa.parquet.read_table(path, columns=[*FIELDS, 'timestamp'])
  else:
    schema = pa.schema([*((name, pa.string()) for name in FIELDS), ('timestamp', pa.int64())])
    events = pa.json.read_json(path, pa.json.ReadOptions(block_size=16 << 20),
                               pa.json.ParseOptions(schema, unexpected_field_behavior='ignore'))
  starts = pc.multiply(pc.divide(events['timestamp'], 60_000), 60)
  counts = (events.drop_columns(['timestamp']).append_column('start', starts)
            .group_by([*FIELDS, 'start']).aggregate([([], 'count_all')]))
  boards = counts.group_by([*FIELDS[:2], 'start']).aggregate(
      [('count_all', 'sum'), ('item_id', 'list'), ('count_all', 'list')])
  answer = []
  for tenant, kind, start, total, items, numbers in zip(*(
      boards[name] for name in (*FIELDS[:2], 'start', 'count_all_sum', 'item_id_list',
                                'count_all_list')), strict=True):
    best = pc.select_k_unstable(numbers.values, K, [('dummy', 'descending')])
    answer.append((tenant.as_py(), kind.as_py(), start.as_py(), total.as_py(),
                   items.values.take(best).to_pylist(), numbers.values.take(best).to_pylist()))
  return answer


def spark(path):
  from pyspark.sql import SparkSession, functions
  # Its virtual machine takes seconds to start: that is no more work than imports are.
  session = (SparkSession.builder.master(f'local[{CORES}]').config('spark.ui.enabled', 'false')
             .config('spark.driver.memory', '8g').config('spark.sql.shuffle.partitions', CORES)
             .config('spark.log.level', 'OFF').getOrCreate())
  yield
  if path.suffix == '.parquet':
    events = session.read.parquet(str(path))
  else:
    events = session.read.schema('tenant_id string, event_type string, item_id string, '
                                 'timestamp bigint').json(str(path))
  board = ('tenant_id', 'event_type', 'start')
  counts = (events.withColumn('start', functions.expr('timestamp div 60000 * 60'))
            .groupBy(*board, 'item_id').agg(functions.count('*').alias('n')))
  return [tuple(row) for row in counts.groupBy(*board).agg(
      functions.sum('n'),
      functions.expr(f'transform(slice(sort_array(collect_list(struct(n, item_id)), false), 1, '
                     f'{K}), x -> array(x.item_id, string(x.n)))')).collect()]


def beam(path):
  """Beam as its guides teach it: an element is an event."""
  import apache_beam as beam
  from apache_beam.transforms import window
  yield

  def key(event):
    return event['tenant_id'], event['event_type'], event['item_id']

  def board(counted, at=beam.DoFn.WindowParam):
    (tenant, kind, item), n = counted
    return (tenant, kind, int(at.start)), (item, n)

  with tempfile.TemporaryDirectory() as folder:
    with beam.Pipeline('FnApiRunner') as pipeline:
      counts = (
          pipeline | beam.io.ReadFromText(str(path)) | beam.Map(json.loads)
          | beam.Map(lambda event: window.TimestampedValue(key(event), event['timestamp'] / 1000))
          | beam.WindowInto(window.FixedWindows(60))
          | beam.combiners.Count.PerElement() | beam.Map(board) | 'Unwindow' >> beam.WindowInto(
              window.GlobalWindows()))
      totals = (counts | beam.MapTuple(lambda board, found: (board, found[1]))
                | beam.CombinePerKey(sum))
      top = counts | beam.combiners.Top.PerKey(K, key=lambda found: found[1])
      ((totals, top) | beam.CoGroupByKey()
       | beam.MapTuple(lambda board, found: json.dumps([*board, found[0][0], found[1][0]]))
       | beam.io.WriteToText(f'{folder}/board'))
    return [json.loads(line) for file in sorted(pathlib.Path(folder).iterdir())
            for line in file.read_text().splitlines()]


def ours(path, *flags):
  from leaderboard.pipelines import topk
  yield
  report = topk.run([f'--input={path}', '--windows=1m', f'--k={K}', f'--keep={K}', *flags])
  if not report.balanced:
    raise SystemExit('the account does not balance')


# name -> what must be installed
CONTESTANTS = {
    'ours': (ours, 'leaderboard'), 'duckdb': (duckdb, 'duckdb'), 'chdb': (chdb, 'chdb'),
    'polars': (polars, 'polars'), 'pyarrow': (pyarrow, 'pyarrow'), 'spark': (spark, 'pyspark'),
    'beam': (beam, 'apache_beam')}


def missing(name):
  """The package that a contestant lacks, or None."""
  package = CONTESTANTS[name][1]
  return None if importlib.util.find_spec(package) else package


def _rows(answer):
  """[tenant, type, start, total, {item: count}] of every board."""
  for tenant, kind, start, total, *pairs in answer:
    pairs = zip(*pairs, strict=True) if len(pairs) == 2 else pairs[0]
    yield tenant, kind, int(start), int(total), {item: int(n) for item, n in pairs}


def main():
  parser = argparse.ArgumentParser(description=__doc__,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('name', choices=CONTESTANTS)
  parser.add_argument('input', type=pathlib.Path)
  parser.add_argument('--answer', help='writes the answer to this file, as JSON')
  args, flags = parser.parse_known_args()
  begun = time.perf_counter()
  running = CONTESTANTS[args.name][0](args.input, *flags)
  next(running)
  ready = time.perf_counter()
  try:
    next(running)
  except StopIteration as end:
    answer = end.value
  done = time.perf_counter()
  if args.answer and answer is not None:
    with open(args.answer, 'w', encoding='utf-8') as file:
      json.dump(list(_rows(answer)), file)
  print(json.dumps({'import_secs': ready - begun, 'secs': done - ready}), flush=True)


if __name__ == '__main__':
  # This folder must not hide the packages that the contestants import.
  sys.path = [path for path in sys.path if path != str(pathlib.Path(__file__).parent)]
  main()
