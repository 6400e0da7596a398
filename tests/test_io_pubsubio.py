"""Pub/Sub, as far as it goes without the service: blocks of messages, and the graph of Dataflow."""
import json

import apache_beam as beam
import pytest
from apache_beam.io.gcp.pubsub import PubsubMessage
from apache_beam.testing.util import assert_that, equal_to

from leaderboard.io import pubsubio
from leaderboard.pipelines import topk
from leaderboard.pipelines.checks import UsageError, beam_options
from leaderboard.pipelines.jobs import parse
from leaderboard.transforms.blocks import OriginRange
from leaderboard.transforms.boards import parse_window_size
from leaderboard.transforms.countevents import RefusedBlock
from leaderboard.transforms.counting import BlockCounter, CountingRules
from leaderboard.transforms.events import Refused

PATH = 'projects/my-project/subscriptions/events'
DRY_RUN = ['--runner=DataflowRunner', '--project=my-project', '--region=us-central1',
           '--job_name=topk', '--temp_location=gs://test-bucket/tmp', '--dry_run=True', '--no_auth',
           '--staging_location=gs://test-bucket/staging', '--redis=redis://redis:6379/0',
           '--rejects=gs://test-bucket/ledger']


def message(number, value=None):
  data = value if value is not None else json.dumps({
      'event_type': 'play', 'item_id': f'i{number}', 'timestamp': 1_356_998_400_000}).encode()
  return PubsubMessage(data, {}, message_id=f'id{number}')


def block_of(messages):
  fn = pubsubio._BlockFn(PATH)
  fn.start_bundle()
  for one in messages:
    assert list(fn.process(one, None)) == []
  (windowed,) = fn.finish_bundle()
  return windowed.value


def test_every_message_is_counted_or_refused_with_its_bytes():
  block = block_of([message(1), message(2, b''), message(3, b'no\njson'), message(4)])
  counter = BlockCounter(CountingRules(parse_window_size('1m')))
  counted = counter.count(block)
  counter.close()
  assert (counted.read, sum(cell.events for cell in counted.cells)) == (4, 2)
  assert sorted(reject.data for reject in counted.rejects) == [b'', b'no\njson']


def test_same_messages_make_the_same_block_in_any_order():
  messages = [message(number) for number in range(50)]
  first, again = block_of(messages), block_of(messages[::-1])
  assert (first.origin, first.data) == (again.origin, again.data)
  assert block_of(messages[:-1]).origin.source != first.origin.source
  assert first.origin.source.startswith(PATH + '/')


def test_blocks_have_a_size(monkeypatch):
  monkeypatch.setattr(pubsubio, 'BLOCK_MESSAGES', 3)
  fn = pubsubio._BlockFn(PATH)
  fn.start_bundle()
  blocks = [block for number in range(7) for block in fn.process(message(number), None)]
  blocks += [windowed.value for windowed in fn.finish_bundle()]
  assert [len(block.offsets) for block in blocks] == [3, 3, 1]


def test_refused_events_are_messages_with_their_reason():
  block = RefusedBlock(OriginRange(PATH, 0, 1, 2), [
      Refused('missing_field', 'item_id', b'{}', PATH, 0, 1)])
  with beam.Pipeline(options=beam_options([])) as pipeline:
    found = pipeline | beam.Create([block]) | beam.FlatMap(pubsubio._messages)
    assert_that(found | beam.Map(lambda one: (one.data, sorted(one.attributes.items()))),
                equal_to([(b'{}', [('field', 'item_id'), ('offset', '1'), ('partition', '0'),
                                   ('reason', 'missing_field'), ('source', PATH)])]))


@pytest.mark.slow
def test_dataflow_reads_the_subscription_itself():
  job = parse([f'--subscription={PATH}', '--timestamp_attribute=ts', '--id_label=uid',
               '--dead_letters=projects/my-project/topics/dead', *DRY_RUN], 'test')
  pipeline = beam.Pipeline(options=job.beam)
  topk.build(pipeline, job, 'run', job.stores)
  graph = pipeline.run().job.proto_pipeline
  by_urn = {one.spec.urn: one for one in graph.components.transforms.values() if one.spec.urn}
  read = by_urn['beam:transform:pubsub_read:v1'].spec.payload
  for part in (PATH, 'ts', 'uid'):
    assert part.encode() in read
  assert b'projects/my-project/topics/dead' in by_urn['beam:transform:pubsub_write:v1'].spec.payload


@pytest.mark.parametrize(('flags', 'problem'), [
    (['--subscription=events'], '--subscription: must be projects/PROJECT/subscriptions/NAME'),
    ([f'--subscription={PATH}', '--dead_letters=dead'],
     '--dead_letters: must be projects/PROJECT/'),
    ([f'--subscription={PATH}', '--kafka=k'],
     '--subscription: one source at a time; got --kafka=k'),
    (['--input=x', '--id_label=a'], '--id_label: goes with --subscription'),
])
def test_wrong_flags_are_named(flags, problem, tmp_path):
  with pytest.raises(UsageError, match=problem):
    parse([*flags, f'--data_dir={tmp_path}'], 'test')
