"""show: a revised record is readable, and `final` is said only where it is known."""
import json

import pytest

from leaderboard.io import postgresio, redisio
from leaderboard.io.parquetio import ParquetBoards, _BoardsFn
from leaderboard.pipelines import show

AT = '2013-01-01T00:30Z'
START, END = 1_356_998_400, 1_357_002_000


@pytest.fixture(params=['redis', 'postgres'])
def store(request):
  """(flags that name the store, its client)."""
  if request.param == 'redis':
    url = request.getfixturevalue('redis_url')
    flags, client = [f'--redis={url}'], redisio.RedisBoards(url)
  else:
    dsn = request.getfixturevalue('postgres_dsn')
    flags, client = [f'--postgres={dsn}'], postgresio.PostgresBoards(dsn)
  yield [f'--store={request.param}', *flags], client
  client.close()


@pytest.fixture
def run(capsys):
  """Runs show and returns what it printed."""
  def run_show(flags, *more):
    assert show.main([*flags, '--tenant=acme', '--event_type=play', '--window=1h', f'--at={AT}',
                      *more]) == 0
    return capsys.readouterr().out
  return run_show


def third_line(text):
  return text.splitlines()[2]


def test_first_record_tells_no_change_and_a_revised_one_tells_the_last(store, run, make_record):
  flags, client = store
  client.apply([make_record({'a': 5, 'b': 3})])
  assert third_line(run(flags)).split() == ['rank', 'item', 'count', 'lower', 'upper', 'certified']
  assert json.loads(run(flags, '--format=json'))['change'] is None
  client.apply([make_record({'a': 5, 'b': 4})])
  assert third_line(run(flags)) == 'revision 2: 1 event added, 0 ranks moved'
  client.apply([make_record({'a': 1005, 'b': 4, 'c': 207})])
  assert third_line(run(flags)) == 'revision 3: 1,207 events added, 2 ranks moved'
  assert json.loads(run(flags, '--format=json'))['change'] == {
      'revisions': 3, 'events_added': 1207, 'ranks_moved': 2}
  assert run(flags, '--format=csv').startswith('rank,item,count,lower,upper,certified\n1,a,1005,')


def test_final_is_said_once_the_watermark_and_lateness_passed_the_end(store, run, make_record):
  flags, client = store
  client.apply([make_record({'a': 5})])
  assert 'final' not in run(flags)
  assert json.loads(run(flags, '--format=json'))['final'] is None
  client.publish_watermark('job', END + 59, 60)
  assert third_line(run(flags)) == 'not final yet'
  assert json.loads(run(flags, '--format=json'))['final'] is False
  client.publish_watermark('job', END + 60, 60)
  assert third_line(run(flags)) == 'final'
  assert json.loads(run(flags, '--format=json'))['final'] is True
  client.apply([make_record({'a': 6})])
  assert third_line(run(flags)) == 'revision 2: 1 event added, 0 ranks moved; final'


def test_parquet_tells_neither(tmp_path, run, make_record):
  writer = _BoardsFn(str(tmp_path))
  writer.start_bundle()
  for events in (1, 2):
    writer.process(make_record({'a': events}))
  writer.finish_bundle()
  assert ParquetBoards(str(tmp_path)).read_board('acme', 'play', '1h', START).events == 2
  answer = json.loads(run(['--store=parquet', f'--parquet={tmp_path}'], '--format=json'))
  assert (answer['change'], answer['final']) == (None, None)


def test_schema_of_an_older_release_is_named_in_one_line(empty_dsn, capsys):
  assert show.main(['--store=postgres', f'--postgres={empty_dsn}', '--event_type=play',
                    '--window=1h', f'--at={AT}']) == 2
  error = capsys.readouterr().err
  assert 'lacks the current schema, which a run of the job brings' in error
  assert error.count('\n') == 1


def test_wrong_flag_is_told_in_one_line_by_its_name(capsys):
  assert show.main(['--store=redis', '--event_type=play', '--window=1q', '--at=2013-07-01']) == 2
  error = capsys.readouterr().err
  assert error.startswith('show: --window: a window size must be') and error.count('\n') == 1
