"""The main job from file to stores: exact boards, nothing lost, nothing doubled, plain errors."""
import collections
import gzip
import json
import pathlib
import random
import subprocess
import sys

import duckdb
import pytest

from leaderboard.io.archiveviews import open_archive
from leaderboard.io.ledgerio import Ledger, Load
from leaderboard.io.parquetio import ParquetBoards, archive_files, read_tables
from leaderboard.io.postgresio import PostgresBoards
from leaderboard.io.redisio import RedisBoards
from leaderboard.pipelines import show, topk
from leaderboard.pipelines.report import Progress
from leaderboard.transforms.boards import parse_window_size

SAMPLE = pathlib.Path(__file__).parent / 'data' / 'flights-sample.jsonl.gz'
SIZES = {'1m': 60, '5m': 300, '1h': 3600, '1d': 86_400}
NEW_YEAR_MS = 1_356_998_400_000


@pytest.fixture
def run_job(tmp_path, redis_url, postgres_dsn):
  """(input, flags...) -> (exit code, report): a job on the stores of this test."""

  def run(source, *flags):
    report = tmp_path / 'report.json'
    report.unlink(missing_ok=True)
    code = topk.main([f'--input={source}', f'--redis={redis_url}', f'--postgres={postgres_dsn}',
                      f'--parquet={tmp_path / "parquet"}', f'--data_dir={tmp_path}',
                      f'--report={report}', *flags])
    return code, json.loads(report.read_text())

  return run


@pytest.fixture
def stores(tmp_path, redis_url, postgres_dsn):
  clients = [RedisBoards(redis_url), PostgresBoards(postgres_dsn)]
  yield {'redis': clients[0], 'postgres': clients[1],
         'parquet': ParquetBoards(str(tmp_path / 'parquet'))}
  for client in clients:
    client.close()


def exact_boards(path):
  """What every board must say, by an independent query: {(size, tenant, type, start): rows}."""
  boards = {}
  with duckdb.connect() as connection:
    connection.execute(f"create table events as select * from read_json('{path}', "
                       "format='newline_delimited') where timestamp is not null "
                       'and item_id is not null')
    for label, secs in SIZES.items():
      for tenant, kind, start, rows in connection.execute(
          f'select tenant_id, event_type, start, list((item_id, n) order by n desc, item_id) from '
          f'(select tenant_id, event_type, timestamp // {secs * 1000} * {secs} as start, item_id, '
          f'count(*) as n from events group by all) group by all').fetchall():
        boards[label, tenant, kind, start] = [tuple(row) for row in rows]
  return boards


def stored_boards(store, keys):
  found = {}
  for label, tenant, kind, start in keys:
    board = store.read_board(tenant, kind, label, start)
    assert board is not None, (label, tenant, kind, start)
    assert board.resolution == 'exact' and board.tau == board.rest_upper == 0
    assert all(row.count == row.upper for row in board.rows)
    assert board.events == board.total == sum(row.count for row in board.rows)
    found[label, tenant, kind, start] = [(row.item, row.count) for row in board.rows]
  return found


def archived(tmp_path):
  """Every archived event as a sorted list, without its origin."""
  rows = []
  for path in archive_files(str(tmp_path / 'parquet')):
    for _, table in read_tables(path):
      rows += table.select(['tenant_id', 'event_type', 'timestamp', 'item_id', 'event_id',
                            'session_id', 'metadata', 'weight']).to_pylist()
  return sorted(rows, key=lambda row: row['event_id'] or '')


def test_every_board_of_every_store_equals_an_independent_query(run_job, stores):
  code, report = run_job(SAMPLE, '--windows=1m,5m,1h,1d')
  expected = exact_boards(SAMPLE)
  assert code == 0
  assert report == {
      'events_read': 6000, 'events_counted': 3459, 'events_rejected': {'missing_field': 2541},
      'events_too_late': 0, 'boards_written': dict.fromkeys(stores, len(expected)),
      'boards_missing': dict.fromkeys(stores, 0), 'boards_newer': dict.fromkeys(stores, 0),
      'boards_recomputed': dict.fromkeys(stores, 0), 'boards_in_conflict': 0,
      'ranges_of_another_run': 0, 'accounts_lost': False, 'balanced': True,
      'seconds': report['seconds']}
  coarse = {key: rows for key, rows in expected.items() if key[0] in ('1h', '1d')}
  assert stored_boards(stores['parquet'], coarse) == coarse
  for name in ('redis', 'postgres'):
    assert stored_boards(stores[name], expected) == expected


@pytest.mark.slow
def test_twice_and_split_in_another_order_leaves_the_same_and_no_second_copy(
    run_job, stores, tmp_path):
  first = run_job(SAMPLE, '--windows=1h,1d')
  expected = {key: rows for key, rows in exact_boards(SAMPLE).items() if key[0] in ('1h', '1d')}
  events = archived(tmp_path)
  again = run_job(SAMPLE, '--windows=1h,1d')
  lines = gzip.decompress(SAMPLE.read_bytes()).splitlines(keepends=True)
  random.Random(11).shuffle(lines)
  parts = tmp_path / 'parts'
  parts.mkdir()
  for number in range(7):
    (parts / f'{number * 37 % 7}.jsonl').write_bytes(b''.join(lines[number::7]))
  split = run_job(parts / '*.jsonl', '--windows=1h,1d')
  for code, report in (first, again, split):
    assert (code, report | {'seconds': 0}) == (0, first[1] | {'seconds': 0})
  for store in stores.values():
    assert stored_boards(store, expected) == expected
  assert archived(tmp_path) == events and len(events) == 3459
  ledger = Ledger(str(tmp_path / 'parquet'))
  (load,) = ledger.loads().values()
  assert (load.read, load.counted.total()) == (6000, 3459)
  rejects = [row for _, table in read_tables(str(tmp_path / 'parquet' / 'rejects' / '*.parquet'))
             for row in table.to_pylist()]
  assert collections.Counter(row['data'] + b'\n' for row in rejects) == collections.Counter(
      line for line in lines if json.loads(line)['timestamp'] is None)
  assert {row['source'] for row in rejects} == {str(path) for path in parts.iterdir()}


def test_rejects_are_a_view_of_the_folder_that_the_job_tells(tmp_path, capsys):
  assert topk.main([f'--input={SAMPLE}', '--windows=1h', f'--parquet={tmp_path}']) == 0
  assert f'rejects   {tmp_path}/rejects' in capsys.readouterr().out.splitlines()
  # As a replay that cut elsewhere would leave it: the same origins in another file.
  (first,) = (tmp_path / 'rejects').glob('*.parquet')
  (tmp_path / 'rejects' / 'again.parquet').write_bytes(first.read_bytes())
  with open_archive(tmp_path) as archive:
    assert archive.sql('select reason, field, count(*) from rejects group by all').fetchall() == [
        ('missing_field', 'timestamp', 2541)]
    ((event,),) = archive.sql('select decode(data) from rejects limit 1').fetchall()
    assert json.loads(event)['timestamp'] is None
    assert archive.sql('select * from too_late').fetchall() == []
    assert archive.sql('select * from too_late').columns == [
        'reason', 'field', 'data', 'source', 'partition', 'offset']


@pytest.mark.slow
def test_other_events_on_the_same_boards_are_not_taken_for_a_copy(run_job, tmp_path):
  def write(name, item):
    path = tmp_path / name
    path.write_text(json.dumps({'event_type': 'a', 'timestamp': NEW_YEAR_MS, 'item_id': item}))
    return path

  assert run_job(write('one.jsonl', 'x'))[0] == 0
  # Both have one event on each board: a store cannot tell which is newer, and the job says so.
  code, report = run_job(write('two.jsonl', 'y'))
  assert (code, report['boards_in_conflict'], report['balanced']) == (1, 4, False)
  # All files of a window in one run have more events than either, and that is that.
  both = f'{tmp_path / "one.jsonl"},{tmp_path / "two.jsonl"}'
  code, report = run_job(both)
  assert (code, report['events_counted'], report['boards_in_conflict']) == (0, 2, 0)
  assert sorted(row['item_id'] for row in archived(tmp_path)) == ['x', 'y']


@pytest.mark.slow
def test_larger_input_refines_the_boards_and_generation_replaces_them(run_job, stores, tmp_path):
  events = [json.dumps({'event_type': 'a', 'timestamp': NEW_YEAR_MS, 'item_id': item})
            for item in 'xyzzy']
  path = tmp_path / 'events.jsonl'

  def counts():
    return [[(row.item, row.count) for row in store.read_board(
        'default', 'a', '1d', NEW_YEAR_MS // 1000).rows] for store in stores.values()]

  path.write_text('\n'.join(events[:3]))
  assert run_job(path)[0] == 0
  path.write_text('\n'.join(events))
  assert run_job(path)[0] == 0
  assert counts() == [[('y', 2), ('z', 2), ('x', 1)]] * 3
  path.write_text(events[0])
  code, report = run_job(path)
  assert (code, report['boards_newer']) == (1, dict.fromkeys(stores, 4))
  assert counts() == [[('y', 2), ('z', 2), ('x', 1)]] * 3
  code, report = run_job(path, '--generation=1')
  assert code == 0 and report['events_counted'] == 1
  assert counts() == [[('x', 1)]] * 3


def test_hostile_file_ends_with_every_good_event_counted_and_every_bad_one_kept(
    run_job, stores, tmp_path):
  good = json.dumps({'event_type': 'a', 'timestamp': NEW_YEAR_MS, 'item_id': 'x'}).encode()
  bad = {
      'malformed_json': [b'{broken', good[:-1], b'\x00\x00', good.replace(b'x', b'\x01')],
      'not_an_object': [b'[1]', b'null'],
      'missing_field': [b'{}'],
      'wrong_type': [good.replace(b'"x"', b'true')],
      'bad_text': [good.replace(b'x', b'\\ud800'), good.replace(b'x', b'\\u0000')],
      'out_of_range': [good.replace(b'1356998400000', b'-62135596800000'),
                       good.replace(b'1356998400000', b'253402300799000')],
      'bad_weight': [good[:-1] + b', "weight": 3.7}'],
      'too_large': [b'{"event_type": "' + b'a' * 10_000_000 + b'"}'],
  }
  lines = [line for faulty in bad.values() for line in faulty[1:]] + [
      faulty[0] for faulty in bad.values()] + [b'', b'   '] + [good, good + b'\r'] * 10 + [
          good[:-1] + b', "item_id": "second"}', good[:-1] + b', "m": ' + b'[' * 9999 + b']' * 9999
          + b'}']
  random.Random(3).shuffle(lines)
  path = tmp_path / 'hostile.jsonl'
  path.write_bytes(b'\xef\xbb\xbf' + b'\n'.join([good, *lines, b'{"event_type": "cut']))
  code, report = run_job(path)
  expected = {reason: len(faulty) + (reason == 'malformed_json') for reason, faulty in bad.items()}
  assert code == 0
  assert report['events_rejected'] == expected
  assert (report['events_read'], report['events_counted']) == (23 + sum(expected.values()), 23)
  board = stores['redis'].read_board('default', 'a', '1d', NEW_YEAR_MS // 1000)
  assert [(row.item, row.count) for row in board.rows] == [('x', 23)]


@pytest.mark.slow
def test_parquet_and_compressed_input_give_the_same_boards(run_job, stores, tmp_path):
  path = tmp_path / 'sample.parquet'
  with duckdb.connect() as connection:
    connection.execute(f"copy (from read_json('{SAMPLE}', format='newline_delimited')) "
                       f"to '{path}' (format parquet, row_group_size 2048)")
  code, report = run_job(path, '--windows=1d')
  assert code == 0 and report['events_counted'] == 3459
  assert report['events_rejected'] == {'missing_field': 2541}
  expected = {key: rows for key, rows in exact_boards(SAMPLE).items() if key[0] == '1d'}
  for store in stores.values():
    assert stored_boards(store, expected) == expected


def test_empty_input_is_a_clear_success(run_job, tmp_path, capsys):
  path = tmp_path / 'empty.jsonl'
  path.touch()
  code, report = run_job(path)
  assert code == 0 and report['events_read'] == 0
  assert 'read                  0 events' in capsys.readouterr().out


@pytest.mark.parametrize(('flags', 'problem'), [
    (['--input=nothing-*.jsonl'], '--input: no file matches'),
    ([], '--input: is required'),
    (['--input=ok.jsonl', '--redis=redis://127.0.0.1:1/0'], '--redis: cannot use Redis at redis://'),
    (['--input=ok.jsonl', '--postgres=postgresql://127.0.0.1:1/x'],
     '--postgres: cannot use PostgreSQL at 127.0.0.1:1/x'),
    (['--input=ok.jsonl', '--parquet=/proc/nowhere'], "--parquet: cannot write to '/proc/nowhere'"),
    (['--input=ok.jsonl', '--windos=1h'], '--windos=1h: unknown option'),
    (['--input=ok.jsonl', '--runner=FlinkRunner', '--allowed_latenes=1h'],
     '--allowed_latenes=1h: unknown option'),
    (['--input=ok.jsonl', '--windows=1h,7m'], '--windows: each window size must nest'),
    (['--input=ok.jsonl', '--k=0'], '--k: must be a whole number from 1'),
    (['--input=ok.jsonl', '--keep=5'], '--keep: must be at least the largest --k, 100; got 5'),
    (['--input=ok.jsonl', '--timestamp_format=iso'], '--timestamp_format: must be one of epoch_ms'),
    (['--input=ok.jsonl', '--item_path=song'], '--item_path: must be TYPE=PATH'),
    (['--input=ok.jsonl', '--profile=huge'], "--profile: profile must be default or small, got"),
    (['--input=ok.jsonl', '--epsilon=2'], '--epsilon: epsilon (or 0 for no table) and delta must'),
    (['--input=ok.jsonl', '--delta=0.1'], '--delta: goes with --epsilon; got --delta=0.1 alone'),
    (['--input=ok.jsonl', '--candidates=9'], '--keep: must be a whole number from 1 to 9'),
    (['--input=ok.jsonl', '--allowed_lateness=soon'], '--allowed_lateness: must be a whole number'),
    (['--input=ok.jsonl', '--streaming', '--early=1s'], '--early: FnApiRunner has no clock'),
    (['--input=ok.jsonl', '--out_of_orderness=-1m'], '--out_of_orderness: must be a whole number'),
    (['--input=ok.jsonl', '--future=drop'], '--future: must be one of reject, clamp; got'),
    (['--input=ok.jsonl', '--hot_key_shards=x'], '--hot_key_shards: must be a whole number from 0'),
    (['--input=ok.jsonl', '--replay_bytes=0'], '--replay_bytes: must be a whole number from 1'),
])
def test_mistake_gives_one_line_that_names_the_flag_and_exit_code_2(
    tmp_path, monkeypatch, capsys, flags, problem):
  monkeypatch.chdir(tmp_path)
  (tmp_path / 'ok.jsonl').touch()
  assert topk.main(flags) == 2
  error = capsys.readouterr().err
  assert error.startswith('topk: ' + problem) and error.count('\n') == 1


def test_all_problems_are_told_together(tmp_path, monkeypatch, capsys):
  monkeypatch.chdir(tmp_path)
  assert topk.main(['--input=none', '--windows=1x', '--k=many']) == 2
  assert [line.split(':')[1] for line in capsys.readouterr().err.splitlines()] == [
      ' --windows', ' --k', ' --input']


def test_damaged_input_fails_with_one_line(tmp_path, capsys):
  path = tmp_path / 'cut.jsonl.gz'
  path.write_bytes(SAMPLE.read_bytes()[:5000])
  assert topk.main([f'--input={path}', f'--data_dir={tmp_path}']) == 1
  error = capsys.readouterr().err.splitlines()[-1]
  assert error.startswith(f'topk: the job failed: {path} is damaged or cut short')


@pytest.mark.slow
def test_command_line_with_embedded_servers_and_show(tmp_path):
  def command(module, *flags):
    return subprocess.run([sys.executable, '-m', f'leaderboard.pipelines.{module}', *flags],
                          capture_output=True, text=True, check=False, timeout=120)

  job = command('topk', f'--input={SAMPLE}', '--windows=1h,1d', f'--data_dir={tmp_path}',
                '--redis=embedded', '--postgres=embedded', f'--parquet={tmp_path / "parquet"}')
  assert job.returncode == 0, job.stderr
  assert 'holds in every store' in job.stdout and 'rank  item' in job.stdout
  shown = []
  for store in ('redis', 'postgres', 'parquet'):
    answer = command('show', f'--store={store}', '--tenant=EWR', '--event_type=flight',
                     '--window=1d', '--at=2013-02-09', '--k=5', '--format=json',
                     f'--data_dir={tmp_path}')
    assert answer.returncode == 0, answer.stderr
    shown.append(json.loads(answer.stdout))
  assert shown[0] == shown[1] == shown[2]
  expected = exact_boards(SAMPLE)['1d', 'EWR', 'flight', 1_360_368_000][:5]
  assert [(row['rank'], row['item'], row['count'], row['lower'], row['upper'], row['certified'])
          for row in shown[0]['rows']] == [
              (rank, item, n, n, n, True) for rank, (item, n) in enumerate(expected, 1)]
  missing = command('show', '--store=redis', '--event_type=flight', '--window=1d',
                    '--at=2013-02-09', f'--data_dir={tmp_path}')
  assert missing.returncode == 1 and 'holds no board' in missing.stderr


@pytest.mark.parametrize('flags', [
    ['--candidates=100', '--keep=100'], ['--candidates=100', '--keep=100', '--epsilon=0'],
    ['--candidates=105', '--keep=100', '--epsilon=0.01', '--delta=0.05']])
def test_spilled_boards_hold_true_brackets_in_every_store(run_job, stores, flags):
  code, report = run_job(SAMPLE, '--windows=1h,1d', *flags)
  assert code == 0 and report['balanced'] and report['events_counted'] == 3459
  spilled = 0
  for (label, *board), rows in exact_boards(SAMPLE).items():
    if label != '1d':
      continue
    truth = dict(rows)
    for store in stores.values():
      tenant, kind, start = board
      found = store.read_board(tenant, kind, label, start)
      spilled += found.resolution != 'exact'
      assert found.events == found.total == sum(truth.values())
      assert all(row.count <= truth[row.item] <= row.upper for row in found.rows)
      shown = {row.item for row in found.rows}
      assert all(n <= found.rest_upper for item, n in truth.items() if item not in shown)
      answer = show.as_json(found, 10)
      edge = rows[min(10, len(rows)) - 1][1]
      assert all(truth[row['item']] >= edge for row in answer['rows'] if row['certified'])
  assert spilled


@pytest.mark.slow
def test_preflight_tells_everything_at_once_and_runs_nothing(sample_events, tmp_path, capsys,
                                                             redis_url):
  flags = ['--kafka=localhost:1', '--topics=events', '--redis=redis://127.0.0.1:1/0',
           '--postgres=postgresql://nobody@127.0.0.1:1/db', f'--data_dir={tmp_path}',
           '--preflight=only']
  assert topk.main(flags) == 2
  told = capsys.readouterr().err.splitlines()
  assert [line.split(': ')[1] for line in told] == ['--kafka', '--redis', '--postgres']
  assert topk.main([f'--input={sample_events}', f'--redis={redis_url}', '--preflight=only',
                    f'--data_dir={tmp_path}']) == 0
  assert capsys.readouterr().out.startswith('preflight: source and stores are in reach')
  assert not list(tmp_path.glob('accounts/*'))


def test_progress_tells_events_and_their_boards(tmp_path, capsys):
  progress = Progress('run', Ledger(str(tmp_path)), [parse_window_size('1h'),
                                                     parse_window_size('1d')])
  assert progress._told(Load()) == 'reading the first block of events'
  load = Load(read=7, counted=collections.Counter(
      {('a', 'b', 0): 3, ('a', 'b', 3600): 2, ('a', 'c', 0): 2}))
  assert progress._told(load) == '7 events read; publishing their 5 boards goes on'


@pytest.mark.parametrize(('flags', 'told'), [
    (['--runner=NoRunner'], '--runner: must be one of DataflowRunner, '),
    (['--early=1s'], '--early: goes with --streaming; '),
    (['--input={folder}'], "--input: '{folder}' is a folder; give {folder}/*.jsonl"),
    (['--parquet={folder}/file'], "--parquet: '{folder}/file' is a file; name a folder")])
def test_small_mistakes_are_told_by_their_flag_in_one_line(flags, told, tmp_path, capsys):
  (tmp_path / 'file').touch()
  assert topk.main([f'--input={SAMPLE}', f'--rejects={tmp_path}', '--preflight=only',
                    *(flag.format(folder=tmp_path) for flag in flags)]) == 2
  error = capsys.readouterr().err
  assert error.startswith(f'topk: {told.format(folder=tmp_path)}') and error.count('\n') == 1
