"""The golden scenarios, on every runner that can play them: one graph, one answer."""
import collections
import dataclasses
import json
import pathlib

import apache_beam as beam
import pytest
import redis
from apache_beam.options.pipeline_options import StandardOptions
from apache_beam.transforms import trigger, window
from playback import check, from_test_stream, play, published, start, stored_boards
from scenarios import SCENARIOS, outcome
from servers import processes

from leaderboard.io.ledgerio import Ledger
from leaderboard.io.rejectsio import TOO_LATE
from leaderboard.pipelines import account, flights, topk
from leaderboard.pipelines.jobs import parse
from leaderboard.transforms import windows
from leaderboard.transforms.boards import parse_window_sizes
from leaderboard.transforms.combine import SummaryFn

FAST = [scenario for scenario in SCENARIOS if not scenario.needs_clock]
QUICK = {'on time', 'late and refining', 'droppably late', 'empty windows'}
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
# In blocks that are small enough for the watermark to matter.
REPLAY = ['--streaming', '--out_of_orderness=10m', '--replay_bytes=65536']
WEEK_FLIGHTS = 6_667   # of the first week of 2013, three events each
BUNDLES = ['--runner=BundleBasedDirectRunner']


def check_revisions(scenario, url, least=None):
  """Asserts that the first minute's board was published as its events and the watermark came.

  Without it a runner that sees all its input before the first watermark would pass unnoticed.
  With `least`, panes that a runner puts together may be missing, down to so many.
  """
  if not scenario.revisions:
    return
  seen = published(scenario, url)
  if least is None:
    assert seen == scenario.revisions
  else:
    assert len(seen) >= least
    assert seen[-1] == scenario.revisions[-1]
    assert set(seen) <= set(scenario.revisions)


@pytest.mark.slow
@pytest.mark.parametrize('scenario', FAST, ids=str)
def test_fn_api_runner(scenario, tmp_path, redis_url):
  play(scenario, [], tmp_path, redis_url)
  check(scenario, tmp_path, redis_url)


@pytest.mark.parametrize('scenario', [
    pytest.param(scenario, marks=[] if scenario.name in QUICK else [pytest.mark.slow])
    for scenario in FAST], ids=str)
def test_bundle_based_direct_runner(scenario, tmp_path, redis_url):
  play(scenario, BUNDLES, tmp_path, redis_url, from_test_stream)
  check(scenario, tmp_path, redis_url)
  check_revisions(scenario, redis_url)


def replayed(sample_events, tmp_path, url, *flags):
  report = topk.run([f'--input={sample_events}', '--windows=5m,1h,1d', f'--data_dir={tmp_path}',
                     f'--redis={url}', *flags])
  assert report.balanced
  return report, stored_boards(url)


def test_replayed_flights_with_enough_lateness_equal_the_bounded_answer(
    sample_events, tmp_path, redis_url):
  _, bounded = replayed(sample_events, tmp_path / 'bounded', redis_url)
  with redis.Redis.from_url(redis_url) as client:
    client.flushall()
  report, stream = replayed(sample_events, tmp_path / 'stream', redis_url, *REPLAY,
                            '--allowed_lateness=2d')
  assert report.events_too_late == 0
  assert stream == bounded


@pytest.mark.slow
def test_replayed_flights_with_an_hour_of_lateness_lack_the_too_late_ones(
    sample_events, tmp_path, redis_url):
  _, bounded = replayed(sample_events, tmp_path / 'bounded', redis_url)
  with redis.Redis.from_url(redis_url) as client:
    client.flushall()
  report, stream = replayed(sample_events, tmp_path / 'stream', redis_url, *REPLAY,
                            '--allowed_lateness=1h')
  ledger = Ledger(str(tmp_path / 'stream'))
  (load,) = ledger.loads().values()
  late = [json.loads(line) for line in ledger.refused(TOO_LATE, load.origins)['data'].to_pylist()]
  assert len(late) == report.events_too_late > 50
  for size in parse_window_sizes('5m,1h,1d'):
    whole = stream[size.label]
    for event in late:
      board = event['tenant_id'], event['event_type'], size.start(event['timestamp'] // 1000)
      whole.setdefault(board, collections.Counter())[event['item_id']] += 1
    assert whole == bounded[size.label]


@pytest.mark.slow
@pytest.mark.parametrize('shards', [0, 1, 3])
@pytest.mark.parametrize('name', ['late and refining', 'watermark jumps', 'three of ten late',
                                  'one board with everything'])
def test_sharing_hot_boards_changes_no_answer(name, shards, tmp_path, redis_url):
  scenario = BY_NAME[name]
  play(scenario, [*BUNDLES, f'--hot_key_shards={shards}'], tmp_path, redis_url, from_test_stream)
  check(scenario, tmp_path, redis_url)
  check_revisions(scenario, redis_url)

@pytest.mark.slow
def test_prism_publishes_open_boards_by_its_clock(tmp_path, redis_url, prism_flags):
  scenario = BY_NAME['speculative']
  for attempt in range(3):   # on a busy machine the source may be through before the clock speaks
    with redis.Redis.from_url(redis_url) as client:
      client.flushall()
    folder = tmp_path / str(attempt)
    folder.mkdir()
    play(scenario, prism_flags, folder, redis_url)
    check(scenario, folder, redis_url)
    if len(published(scenario, redis_url)) > 1:
      break
  check_revisions(scenario, redis_url, least=2)


@pytest.mark.slow
@pytest.mark.parametrize('scenario', FAST, ids=str)
def test_prism_runner(scenario, tmp_path, redis_url, prism_flags):
  if scenario.revisions:
    # What comes while a pane is on its way Prism puts into one with it: let each arrive.
    scenario = dataclasses.replace(scenario, steps=[
        dataclasses.replace(step, pause_secs=max(step.pause_secs, 0.5)) for step in scenario.steps])
  play(scenario, prism_flags, tmp_path, redis_url)
  check(scenario, tmp_path, redis_url)
  check_revisions(scenario, redis_url, least=2)


@pytest.mark.slow
@pytest.mark.parametrize('scenario', SCENARIOS, ids=str)
def test_flink_cluster(scenario, tmp_path, redis_url, flink_cluster):
  play(scenario, flink_cluster.flags(parallelism=2), tmp_path, redis_url)
  check(scenario, tmp_path, redis_url)
  # Late panes it may put together; the early ones of an open board are seen, by its clock.
  check_revisions(scenario, redis_url, least=2 if scenario.needs_clock else 1)


# The process of the task manager is gone while the calls of its Python workers are under way.
@pytest.mark.filterwarnings('ignore::pytest.PytestUnhandledThreadExceptionWarning')
@pytest.mark.slow
def test_flink_cluster_whose_task_manager_is_killed(tmp_path, redis_url, flink_cluster):
  scenario = BY_NAME['three of ten late']
  steps = list(scenario.steps)
  # The source falls silent half-way, and its worker dies meanwhile.
  steps[12] = dataclasses.replace(steps[12], pause_secs=20)
  scenario = dataclasses.replace(scenario, steps=steps)
  result = start(scenario, flink_cluster.flags(checkpoint_msec=500), tmp_path, redis_url)
  (job,) = processes.wait_for('not submitted', flink_cluster.unfinished_jobs, 60)
  processes.wait_for('no boards', lambda: len(stored_boards(redis_url).get('1m', ())) > 40, 60)
  before = job.checkpoints.completed
  processes.wait_for('no checkpoint', lambda: job.checkpoints.completed >= before + 2, 30)
  assert (job.checkpoints.restored, job.failures) == (0, [])
  flink_cluster.kill_task_manager()
  flink_cluster.start_task_manager()
  processes.wait_for('not restored', lambda: job.checkpoints.restored and job.running, 60)
  whole = outcome(scenario).boards
  processes.wait_for('not all counted', lambda: stored_boards(redis_url) == whole, 60)
  check(scenario, tmp_path, redis_url)
  assert (job.checkpoints.restored, len(job.failures)) == (1, 1)
  result.cancel()


@pytest.mark.filterwarnings('ignore::pytest.PytestUnhandledThreadExceptionWarning')
@pytest.mark.slow
def test_flink_cluster_ends_a_week_of_flights_as_a_bounded_run_does_though_killed(
    tmp_path, redis_url, flink_cluster):
  week = tmp_path / 'week.jsonl'
  flights.write_flights(week, rows=WEEK_FLIGHTS)
  sizes = '--windows=1m,5m,1h,1d'
  bounded, live = (f'{redis_url.rsplit("/", 1)[0]}/{number}' for number in (1, 2))
  report = topk.run([f'--input={week}', sizes, f'--data_dir={tmp_path}/bounded',
                     f'--redis={bounded}'])
  assert report.balanced and report.events_read > 19_000
  whole = stored_boards(bounded)

  flags = [sizes, f'--data_dir={tmp_path}/live', f'--redis={live}']
  job = parse([f'--input={week}', '--out_of_orderness=10m', '--allowed_lateness=3d',
               '--replay_bytes=16384', *flags,
               *flink_cluster.flags(2, checkpoint_msec=500)], 'test')
  pipeline = beam.Pipeline(options=job.beam)
  topk.build(pipeline, job, 'live', job.stores)
  result = pipeline.run()
  (told,) = processes.wait_for('not submitted', flink_cluster.unfinished_jobs, 60)
  processes.wait_for('no boards', lambda: keys_of(live, '1h'), 90)
  before = told.checkpoints.completed
  processes.wait_for('no checkpoint', lambda: told.checkpoints.completed > before, 60)
  flink_cluster.kill_task_manager()
  begun = len(keys_of(live, '*'))
  flink_cluster.start_task_manager()
  processes.wait_for('not restored', lambda: told.checkpoints.restored and told.running, 60)
  # Boards are few to count and many to read.
  boards = sum(map(len, whole.values()))
  processes.wait_for('boards are missing', lambda: len(keys_of(live, '*')) == boards, 300)
  processes.wait_for('not all counted', lambda: stored_boards(live) == whole, 120)
  account_of = account.run(flags)
  result.cancel()
  assert 0 < begun < boards   # it was in the middle
  assert (told.checkpoints.restored, len(told.failures)) == (1, 1)
  assert account_of.balanced
  assert account_of.events_read == report.events_read
  assert account_of.events_rejected == report.events_rejected
  assert account_of.events_too_late == 0


def keys_of(url, size):
  """The boards of a size in Redis."""
  with redis.Redis.from_url(url) as client:
    return list(client.scan_iter(f'topk:*:{size}:*:board', count=10_000))


# What follows breaks the graph on purpose: a suite that passes then would prove nothing.

def suite_fails(scenario, tmp_path, url):
  play(scenario, BUNDLES, tmp_path, url, from_test_stream)
  with pytest.raises(AssertionError):
    check(scenario, tmp_path, url)
    check_revisions(scenario, url)


@pytest.mark.slow
def test_suite_fails_when_lateness_is_lost(tmp_path, redis_url, monkeypatch):
  monkeypatch.setattr(windows, 'Duration', lambda secs: window.Duration(0))
  suite_fails(BY_NAME['late and refining'], tmp_path, redis_url)


@pytest.mark.slow
def test_suite_fails_when_the_chain_accumulates(tmp_path, redis_url, monkeypatch):
  monkeypatch.setattr(trigger.AccumulationMode, 'DISCARDING',
                      trigger.AccumulationMode.ACCUMULATING)
  suite_fails(BY_NAME['late and refining'], tmp_path, redis_url)


class Fanout(beam.PTransform):
  """What Beam offers against hot keys, in the place of ours."""

  def __init__(self, size, parameters, allowed_lateness_secs, early_secs, shards, hot_deltas):
    super().__init__()
    self.size, self.parameters = size, parameters
    self.lateness_secs = allowed_lateness_secs + windows.LATENESS_MARGIN_SECS

  def expand(self, deltas):
    return (deltas
            | 'Window' >> beam.WindowInto(
                window.FixedWindows(self.size.secs), trigger=windows.board_trigger(None),
                accumulation_mode=trigger.AccumulationMode.DISCARDING,
                allowed_lateness=self.lateness_secs)
            | beam.CombinePerKey(SummaryFn(self.parameters)).with_hot_key_fanout(4)
            | 'Global' >> beam.WindowInto(window.GlobalWindows()))


@pytest.mark.slow
def test_suite_fails_with_hot_key_fanout(tmp_path, redis_url, monkeypatch):
  monkeypatch.setattr(topk, 'SpreadHotKeys', Fanout)
  suite_fails(BY_NAME['late and refining'], tmp_path, redis_url)


def test_suite_fails_without_streaming(tmp_path, redis_url, monkeypatch):
  pipeline_of = beam.Pipeline

  def batch_pipeline(options):
    options.view_as(StandardOptions).streaming = False
    return pipeline_of(options=options)

  monkeypatch.setattr(beam, 'Pipeline', batch_pipeline)
  suite_fails(BY_NAME['late and refining'], tmp_path, redis_url)


def test_the_page_lists_every_scenario():
  page = (pathlib.Path(__file__).parent.parent / 'docs' / 'runners.md').read_text()
  (table,) = (part for part in page.split('\n\n') if part.startswith('| scenario'))
  rows = [line.split('|')[1].strip() for line in table.splitlines() if line.startswith('| ')]
  assert rows[1:] == [scenario.name for scenario in SCENARIOS]
