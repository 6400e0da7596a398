"""Roll-ups: weeks and months of a time zone from stored boards, equal to counting the events."""
import collections
import datetime
import gzip
import json
import random
import subprocess
import sys
import zoneinfo

import psycopg
import pytest
from conftest import SAMPLE

from leaderboard.io.parquetio import ParquetBoards
from leaderboard.io.postgresio import PostgresBoards
from leaderboard.io.redisio import RedisBoards
from leaderboard.pipelines import rollup, topk

NEW_YORK = 'America/New_York'


@pytest.fixture(scope='module')
def year(tmp_path_factory):
  """Events of 2013 and some days around it; a third lie in the nights in which clocks change."""
  rng = random.Random(2013)
  nights = [69, 89, 299, 306]   # after New Year: March 10 and 31, October 27, November 3
  path = tmp_path_factory.mktemp('year') / 'events.jsonl'
  path.write_text(''.join(event(
      rng.choice(nights) + rng.uniform(0, 0.5) if number % 3 == 0 else rng.uniform(-20, 380),
      rng.choice('abcdef')) for number in range(400)))
  return path


def events_of(path):
  for line in path.read_text().splitlines():
    yield {'tenant_id': 'default', **json.loads(line)}


def event(day, item):
  """A line of input, so many days after New Year 2013."""
  return json.dumps({'event_type': 'a', 'item_id': item,
                     'timestamp': int((1_356_998_400 + day * 86_400) * 1000)}) + '\n'


def sample_events():
  with gzip.open(SAMPLE) as file:
    for line in file:
      found = json.loads(line)
      if found['timestamp'] is not None and found.get('item_id') is not None:
        yield found


def truncated(label, zone, epoch_secs):
  """Start of a window as the calendar of the zone has it, by arithmetic on dates alone."""
  moment = datetime.datetime.fromtimestamp(epoch_secs, zoneinfo.ZoneInfo(zone))
  day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
  if label == '1w':
    day -= datetime.timedelta(days=day.isoweekday() - 1)
  if label == '1mo':
    day = day.replace(day=1)
  return int(day.timestamp())


def exact_boards(labels, zone, events=None):
  boards = {label: collections.defaultdict(collections.Counter) for label in labels}
  for found in events or sample_events():
    for label in labels:
      start = truncated(label, zone, found['timestamp'] // 1000)
      boards[label][found['tenant_id'], found['event_type'], start][found['item_id']] += 1
  return boards


def stored_boards(dsn, label):
  """{board: {item: count}} of all boards of a size."""
  with psycopg.connect(dsn) as connection:
    return {
        (tenant, kind, start): {item: count for item, count, _ in rows}
        for tenant, kind, start, rows in connection.execute(
            'select tenant_id, event_type, extract(epoch from window_start)::bigint, rows '
            'from board_windows where window_size = %s', [label])}


@pytest.fixture
def count_sample(tmp_path, postgres_dsn):
  """(flags...): the main job on the sample."""

  def count(*flags, source=SAMPLE):
    assert topk.main([f'--input={source}', f'--postgres={postgres_dsn}', f'--data_dir={tmp_path}',
                      *flags]) == 0

  return count


@pytest.fixture
def roll_up(tmp_path, postgres_dsn):
  """(flags...) -> (exit code, report)."""

  def roll(*flags):
    report = tmp_path / 'rollup.json'
    report.unlink(missing_ok=True)
    code = rollup.main([f'--postgres={postgres_dsn}', f'--data_dir={tmp_path}',
                        f'--report={report}', *flags])
    return code, json.loads(report.read_text()) if report.exists() else None

  return roll


def test_main_job_makes_weeks_and_months_of_a_time_zone(count_sample, postgres_dsn, redis_url):
  count_sample('--windows=1h,1d,1w,1mo', f'--time_zone={NEW_YORK}', f'--redis={redis_url}')
  for label, boards in exact_boards(['1d', '1w', '1mo'], NEW_YORK).items():
    assert stored_boards(postgres_dsn, label) == boards
  # February 2013 and the week before March, from either store.
  for client in (RedisBoards(redis_url), PostgresBoards(postgres_dsn)):
    board = client.read_board('EWR', 'flight', '1mo', 1_359_694_800)
    assert board.window_end == 1_362_114_000
    client.close()


def test_rolled_up_boards_equal_the_direct_count_in_every_store(
    count_sample, roll_up, postgres_dsn, redis_url, tmp_path):
  count_sample('--windows=1h')
  code, report = roll_up('--from_size=1h', '--windows=1d,1w,1mo', f'--time_zone={NEW_YORK}',
                         f'--redis={redis_url}', f'--parquet={tmp_path / "parquet"}')
  exact = exact_boards(['1d', '1w', '1mo'], NEW_YORK)
  stores = ('redis', 'postgres', 'parquet')
  assert (code, report) == (0, {
      'boards': {label: len(boards) for label, boards in exact.items()},
      'events': dict.fromkeys(exact, 3459), 'missing': dict.fromkeys(stores, 0),
      'newer': dict.fromkeys(stores, 0), 'balanced': True, 'seconds': report['seconds']})
  redis, parquet = RedisBoards(redis_url), ParquetBoards(str(tmp_path / 'parquet'))
  for label, boards in exact.items():
    assert stored_boards(postgres_dsn, label) == boards
    for (tenant, kind, start), rows in boards.items():
      found = redis.read_board(tenant, kind, label, start)
      assert {row.item: row.count for row in found.rows} == rows
    assert parquet.revisions(label, list(boards)) == {
        board: (0, rows.total()) for board, rows in boards.items()}
  redis.close()


@pytest.mark.slow
def test_rolled_up_boards_roll_up_again_and_a_second_run_changes_nothing(
    count_sample, roll_up, postgres_dsn):
  count_sample('--windows=1h,1d')
  for _ in range(2):
    code, report = roll_up('--from_size=1d', '--windows=1w,1mo')
    assert code == 0 and report['newer'] == {'postgres': 0}
  for label, boards in exact_boards(['1w', '1mo'], 'UTC').items():
    assert stored_boards(postgres_dsn, label) == boards
  with psycopg.connect(postgres_dsn) as connection:
    assert connection.execute("select max(revisions) from board_windows where window_size in "
                              "('1w', '1mo')").fetchone() == (1,)


@pytest.mark.slow
def test_sliding_days_roll_up_from_hours(count_sample, roll_up, postgres_dsn):
  count_sample('--windows=1h', '--sliding=6h/1h')
  direct = stored_boards(postgres_dsn, '6h_every_1h')
  expected = collections.defaultdict(collections.Counter)
  for found in sample_events():
    hour = found['timestamp'] // 3_600_000 * 3600
    for start in range(hour - 5 * 3600, hour + 1, 3600):
      expected[found['tenant_id'], found['event_type'], start][found['item_id']] += 1
  assert direct == expected
  with psycopg.connect(postgres_dsn) as connection:
    connection.execute("delete from board_windows where window_size = '6h_every_1h'")
  assert roll_up('--from_size=1h', '--windows=1d', '--sliding=6h/1h')[0] == 0
  assert stored_boards(postgres_dsn, '6h_every_1h') == expected


@pytest.mark.slow
@pytest.mark.parametrize(('zone', 'base'), [
    (NEW_YORK, '1h'), ('Europe/Berlin', '1h'), ('Australia/Lord_Howe', '30m')])
def test_a_year_of_any_time_zone_equals_arithmetic_on_dates(
    count_sample, roll_up, year, postgres_dsn, zone, base):
  count_sample(f'--windows={base}', source=year)
  assert roll_up(f'--from_size={base}', '--windows=1d,1w,1mo', f'--time_zone={zone}')[0] == 0
  for label, boards in exact_boards(['1d', '1w', '1mo'], zone, list(events_of(year))).items():
    assert stored_boards(postgres_dsn, label) == boards


def test_only_whole_windows_of_the_asked_time_are_made(
    count_sample, roll_up, year, postgres_dsn):
  count_sample('--windows=1h', source=year)
  exact = exact_boards(['1w', '1mo'], 'Europe/Berlin', list(events_of(year)))
  months = sorted({start for _, _, start in exact['1mo']})
  # The week that March begins in reaches into February, of which no board may be made.
  begin = int(datetime.datetime(2013, 3, 1, tzinfo=zoneinfo.ZoneInfo('Europe/Berlin')).timestamp())
  end = int(datetime.datetime(2013, 4, 1, tzinfo=zoneinfo.ZoneInfo('Europe/Berlin')).timestamp())
  assert months[0] < begin
  code, _ = roll_up('--from_size=1h', '--windows=1w,1mo', '--time_zone=Europe/Berlin',
                    '--from=2013-03-01', '--to=2013-04-01')
  assert code == 0
  assert stored_boards(postgres_dsn, '1mo') == {
      board: rows for board, rows in exact['1mo'].items() if board[2] == begin}
  assert stored_boards(postgres_dsn, '1w') == {
      board: rows for board, rows in exact['1w'].items()
      if begin - 6 * 86_400 <= board[2] < end}


@pytest.mark.slow
def test_board_takes_the_highest_generation_of_its_parts_and_grows(
    count_sample, roll_up, postgres_dsn, tmp_path, capsys):
  path = tmp_path / 'events.jsonl'

  def month():
    client = PostgresBoards(postgres_dsn)
    board = client.read_board('default', 'a', '1mo', 1_356_998_400)
    client.close()
    return board.revision, {row.item: row.count for row in board.rows}

  path.write_text(event(0, 'x') + event(1, 'y'))
  count_sample('--windows=1d', source=path)
  assert roll_up('--windows=1mo')[0] == 0
  assert month() == ((0, 2), {'x': 1, 'y': 1})
  path.write_text(event(0, 'x') + event(1, 'y') * 2)
  count_sample('--windows=1d', source=path)
  assert roll_up('--windows=1mo')[0] == 0
  assert month() == ((0, 3), {'x': 1, 'y': 2})
  # One day is counted anew; the other stays of the generation before.
  path.write_text(event(0, 'z') * 2)
  count_sample('--windows=1d', '--generation=3', source=path)
  assert roll_up('--windows=1mo')[0] == 0
  assert month() == ((3, 4), {'z': 2, 'y': 2})
  # A day that shrinks leaves the month with fewer events, which no store takes for newer.
  with psycopg.connect(postgres_dsn) as connection:
    connection.execute("delete from board_windows where window_size = '1d' "
                       "and window_start = '2013-01-02 00:00Z'")
  code, report = roll_up('--windows=1mo')
  assert (code, report['newer'], report['balanced']) == (1, {'postgres': 1}, False)
  assert 'raise --generation' in capsys.readouterr().out
  assert roll_up('--windows=1mo', '--generation=4')[0] == 0
  assert month() == ((4, 2), {'z': 2})


@pytest.mark.slow
def test_spilled_summaries_keep_true_brackets(count_sample, roll_up, postgres_dsn):
  count_sample('--windows=1h', '--candidates=5', '--keep=5', '--k=5')
  assert roll_up('--from_size=1h', '--windows=1mo', f'--time_zone={NEW_YORK}', '--keep=5')[0] == 0
  spilled = 0
  client = PostgresBoards(postgres_dsn)
  for (tenant, kind, start), truth in exact_boards(['1mo'], NEW_YORK)['1mo'].items():
    board = client.read_board(tenant, kind, '1mo', start)
    spilled += board.resolution != 'exact'
    assert board.events == board.total == truth.total()
    assert all(row.count <= truth[row.item] <= row.upper for row in board.rows)
    rest = truth.keys() - {row.item for row in board.rows}
    assert all(truth[item] <= board.rest_upper for item in rest)
  client.close()
  assert spilled


@pytest.mark.slow
@pytest.mark.parametrize(('flags', 'problem'), [
    ([], '--from_size: the store holds no boards of 1d in this time; count'),
    (['--from_size=1w', '--windows=1mo'], '--windows: each window size must nest in a coarser one; '
     '1mo of UTC is not a whole number of 1w of UTC: add 1d'),
    (['--from_size=7h', '--windows=1d'], '--windows: each window size must nest in a coarser one; '
     '1d is not a whole number of 7h: add 1h'),
    (['--from_size=1d', '--windows=1h,1mo'], '--windows: boards of 1d do not make finer ones: 1h'),
    (['--from_size=1h/1m'], '--from_size: sliding windows hold an event many times'),
    (['--windows=1x'], "--windows: a window size must be"),
    (['--time_zone=Mars/Base'], "--time_zone: 'Mars/Base' is no time zone"),
    (['--sliding=24h/1h'], '--sliding: 24h_every_1h is made of windows of its period: add 1h'),
    (['--from=soon'], '--from: must be a date or time such as 2013-07-01'),
    (['--from=2013-02-01', '--to=2013-02-01'], '--to: must be later than --from=2013-02-01'),
    (['--keep=0'], '--keep: must be a whole number from 1'),
    (['--input=x.jsonl'], '--input=x.jsonl: unknown option'),
    (['--postgres=postgresql://127.0.0.1:1/x'], '--postgres: cannot use PostgreSQL at 127.0')])
def test_mistake_gives_one_line_that_names_the_flag_and_exit_code_2(
    roll_up, capsys, flags, problem):
  assert roll_up(*flags) == (2, None)
  error = capsys.readouterr().err
  assert error.startswith('rollup: ' + problem) and error.count('\n') == 1


def test_postgres_is_required(capsys):
  assert rollup.main([]) == 2
  assert capsys.readouterr().err.startswith('rollup: --postgres: is required')


def test_days_of_another_time_zone_are_refused(count_sample, roll_up, capsys):
  count_sample('--windows=1h,1d')
  assert roll_up('--windows=1w', '--time_zone=Europe/Berlin')[0] == 2
  assert roll_up('--from_size=1h', '--windows=1d', '--time_zone=Europe/Berlin')[0] == 2
  lines = [line for line in capsys.readouterr().err.splitlines() if line]
  assert [line.split(', such as')[0] for line in lines] == [
      f'rollup: {flag}: the store holds 1d boards of another time zone than Europe/Berlin'
      for flag in ('--from_size', '--windows')]


@pytest.mark.slow
def test_command_line_with_an_embedded_server_and_show(tmp_path):
  def command(module, *flags):
    return subprocess.run([sys.executable, '-m', f'leaderboard.pipelines.{module}', *flags,
                           f'--data_dir={tmp_path}'],
                          capture_output=True, text=True, check=False, timeout=120)

  job = command('topk', f'--input={SAMPLE}', '--windows=1h', '--postgres=embedded')
  assert job.returncode == 0, job.stderr
  rolled = command('rollup', '--from_size=1h', '--windows=1mo', '--time_zone=Europe/Berlin',
                   '--sliding=24h/1h', '--postgres=embedded')
  assert (rolled.returncode, rolled.stderr) == (0, ''), rolled.stderr
  assert '1mo' in rolled.stdout and 'holds them all' in rolled.stdout
  exact = exact_boards(['1mo'], 'Europe/Berlin')['1mo']
  (board,) = {board for board in exact if board[:2] == ('EWR', 'flight')
              and board[2] == truncated('1mo', 'Europe/Berlin', 1_360_368_000)}
  shown = command('show', '--store=postgres', '--tenant=EWR', '--event_type=flight',
                  '--window=1mo@Europe/Berlin', '--at=2013-02-09', '--k=5', '--format=json')
  assert shown.returncode == 0, shown.stderr
  assert [(row['item'], row['count']) for row in json.loads(shown.stdout)['rows']] == sorted(
      exact[board].items(), key=lambda row: (-row[1], row[0]))[:5]
  sliding = command('show', '--store=postgres', '--tenant=EWR', '--event_type=flight',
                    '--window=24h_every_1h', '--at=2013-02-09', '--format=json')
  assert sliding.returncode == 0, sliding.stderr
  assert json.loads(sliding.stdout)['window_end'] == '2013-02-09T01:00:00Z'
