"""Finality: told when the watermark has passed end + lateness behind the writes, never before."""
import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing import test_pipeline, test_stream
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.window import TimestampedValue
from test_transforms_windows import delta

from leaderboard.io import postgresio, redisio
from leaderboard.pipelines.checks import FN_API_RUNNER
from leaderboard.transforms.boards import parse_window_sizes
from leaderboard.transforms.finality import Finality
from leaderboard.transforms.parameters import Parameters
from leaderboard.transforms.ranking import RankBoards
from leaderboard.transforms.windows import CascadeWindows

START = 1_356_998_400
SIZES = parse_window_sizes('1m,5m')
LATENESS_SECS = 90   # no whole number of base windows
JOB = 'live: eu/1'


def write_and_publish(deltas, bounded, redis_url, dsn):
  """The way from deltas to published watermarks, as in the main job."""
  boards = deltas | 'CascadeWindows' >> CascadeWindows(
      SIZES, Parameters(), bounded, LATENESS_SECS)
  in_redis, in_postgres = [], []
  for size in SIZES:
    records = boards[size.label] | f'Rank{size.label}' >> RankBoards(size, 10)
    in_redis.append(records | f'Redis{size.label}' >> redisio.WriteToRedis(redis_url))
    in_postgres.append(records | f'Postgres{size.label}' >> postgresio.WriteToPostgres(dsn))
  for name, ends, publish in (
      ('Redis', in_redis, redisio.PublishWatermarkToRedis(redis_url, JOB, LATENESS_SECS)),
      ('Postgres', in_postgres, postgresio.PublishWatermarkToPostgres(dsn, JOB, LATENESS_SECS))):
    (ends | f'All{name}' >> beam.Flatten()
     | f'Finality{name}' >> Finality(SIZES[0].secs, LATENESS_SECS)
     | f'Publish{name}' >> publish)


class ProbeFn(beam.DoFn):
  """Notes, of each store, (stream's watermark, final until) when its element comes."""

  def __init__(self, redis_url, dsn):
    self._redis_url, self._dsn = redis_url, dsn

  def setup(self):
    self._stores = redisio.RedisBoards(self._redis_url), postgresio.PostgresBoards(self._dsn)

  def process(self, watermark):
    for store in self._stores:
      until = store.final_until()
      yield watermark, None if until is None else until - START

  def teardown(self):
    for store in self._stores:
      store.close()


def streaming_pipeline():
  return test_pipeline.TestPipeline(runner='BundleBasedDirectRunner',
                                    options=PipelineOptions(streaming=True))


def test_board_is_final_when_the_watermark_passes_its_end_and_lateness_and_not_before(
    redis_url, postgres_dsn):
  stream = test_stream.TestStream()
  stream.advance_watermark_to(START)
  stream.add_elements([delta(5, 'a'), delta(70, 'b')])

  def advance(second):
    stream.advance_watermark_to(START + second)
    stream.add_elements([TimestampedValue(second, START + second)])

  advance(60)    # the first minute's board is written
  advance(149)
  stream.add_elements([delta(6, 'late')])
  advance(179)   # 60 + 90 is passed, but the step of a base window is not
  advance(180)
  advance(239)
  advance(240)   # 120 + 90
  advance(389)
  advance(421)   # 300 + 90: the five minutes
  stream.advance_watermark_to_infinity()

  with streaming_pipeline() as pipeline:
    played = pipeline | stream
    deltas = played | 'Deltas' >> beam.Filter(lambda element: isinstance(element, tuple))
    write_and_publish(deltas, False, redis_url, postgres_dsn)
    told = (played | 'Probes' >> beam.Filter(lambda element: isinstance(element, int))
            | 'Probe' >> beam.ParDo(ProbeFn(redis_url, postgres_dsn)))
    expected = [(60, None), (149, None), (179, None), (180, 60), (239, 60), (240, 120),
                (389, 120), (421, 300)]
    assert all(until is None or until + LATENESS_SECS <= watermark
               for watermark, until in expected)
    assert_that(told, equal_to([probe for probe in expected for _ in range(2)]))
  for store in (redisio.RedisBoards(redis_url), postgresio.PostgresBoards(postgres_dsn)):
    assert store.final_until() == START + 300
    assert store.read_board('acme', 'play', '1m', START).events == 2
    assert store.read_change('acme', 'play', '1m', START).revisions == 2
    store.close()


def test_whole_of_an_input_that_ends_is_final_at_its_end(redis_url, postgres_dsn):
  days = [0, 1, 40, 400]
  with test_pipeline.TestPipeline(runner=FN_API_RUNNER) as pipeline:
    deltas = (pipeline | beam.Create([delta(86_400 * day, 'a') for day in days])
              | beam.Map(lambda stamped: stamped))
    write_and_publish(deltas, True, redis_url, postgres_dsn)
  for store in (redisio.RedisBoards(redis_url), postgresio.PostgresBoards(postgres_dsn)):
    last = START + 86_400 * days[-1]
    assert store.read_board('acme', 'play', '5m', last).window_end == store.final_until()
    store.close()


def test_each_window_tells_its_last_end_and_late_markers_tell_nothing():
  stream = test_stream.TestStream()
  stream.advance_watermark_to(START)
  stream.add_elements([TimestampedValue(START + end, START) for end in (60, 61, 119, 120, 60)])
  stream.advance_watermark_to(START + 130)
  stream.add_elements([TimestampedValue(START + 60, START + 59)])
  stream.advance_watermark_to_infinity()
  with streaming_pipeline() as pipeline:
    told = pipeline | stream | beam.Map(int) | Finality(60, 10)
    # 70 and 71 are told at 120; 129 and 130 at 180; the late 70 never again.
    assert_that(told, equal_to([START + 71, START + 130]))


@pytest.mark.parametrize(('base_secs', 'lateness_secs'), [(7 * 86_400, 0), (60, 10**9)])
def test_ends_of_all_sizes_at_the_end_of_time(base_secs, lateness_secs):
  # Boards of bounded input leave their grouping with the last timestamp there is.
  with test_pipeline.TestPipeline(runner=FN_API_RUNNER) as pipeline:
    ends = (pipeline | beam.Create([('k', START), ('k', START + 60)]) | beam.GroupByKey()
            | beam.FlatMap(lambda group: group[1]).with_output_types(int))
    assert_that(ends | Finality(base_secs, lateness_secs),
                equal_to([START + 60 + lateness_secs]))


@pytest.mark.parametrize(('arguments', 'problem'), [
    ((0, 0), 'base_secs must be at least 1, got 0'),
    ((60, -1), 'allowed_lateness_secs must be at least 0, got -1')])
def test_wrong_arguments_are_named(arguments, problem):
  with pytest.raises(ValueError, match=problem):
    Finality(*arguments)
