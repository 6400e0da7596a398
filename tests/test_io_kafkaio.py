"""Kafka against a real broker: every message once, from anywhere, and always judged alike."""
import json
import random
import time

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.utils.timestamp import MAX_TIMESTAMP
from confluent_kafka import Consumer
from servers import kafka

from leaderboard.io import kafkaclient, kafkaio
from leaderboard.io.kafkaclient import Fetched, KafkaUnavailable, Partition
from leaderboard.pipelines.checks import beam_options
from leaderboard.transforms.blocks import OriginRange
from leaderboard.transforms.boards import parse_window_size
from leaderboard.transforms.countevents import RefusedBlock
from leaderboard.transforms.counting import BlockCounter, CountingRules
from leaderboard.transforms.events import Refused

START = 1_356_998_400
RULES = CountingRules(parse_window_size('1m'), allowed_lateness_secs=60)


def event(second, item='x'):
  return json.dumps({'event_type': 'play', 'item_id': item,
                     'timestamp': (START + second) * 1000}).encode()


def reader_of(broker, topic, mark=None, **options):
  read = kafkaio.ReadFromKafka(broker.url, topic, RULES, **{'stop_at_end': True, **options})
  return kafkaio._Topics(read).create_reader(None, mark)


def drained(reader, secs=30):
  """The blocks of a reader to its end, with the mark behind each."""
  found, deadline = [], time.monotonic() + secs
  more = reader.start()
  while more or reader.get_watermark() != MAX_TIMESTAMP:
    assert time.monotonic() < deadline
    if more:
      found.append((reader.get_current(), reader.get_checkpoint_mark()))
    more = reader.advance()
  reader.close()
  return found


def events_of(blocks):
  """{(topic, partition, offset): (line, too late)}."""
  found = {}
  for block, _ in blocks:
    late = np.zeros(len(block.offsets), bool) if block.late is None else block.late
    lines = bytes(block.data).splitlines()
    for number, (line, offset, flag) in enumerate(zip(lines, block.offsets, late, strict=True)):
      place = block.origin.source, block.origin.partition, int(offset)
      assert place not in found
      found[place] = (block.raw or {}).get(number, line), bool(flag)
  return found


# Blocks, without a broker.

def cut(offsets, values, offset=0):
  return [block for block, _, _ in kafkaio.blocks_of(
      Partition('t', 0), Fetched(offsets, values), offset, START + 86_400)]


def test_blocks_follow_each_other_and_end_at_segments(monkeypatch):
  monkeypatch.setattr(kafkaio, 'SEGMENT', 10)
  blocks = cut([3, 4, 9, 12, 19, 20, 45], [b'{}'] * 7, offset=2)
  assert [block.origin[2:] for block in blocks] == [(2, 10), (10, 20), (20, 30), (40, 46)]
  assert [block.offsets.tolist() for block in blocks] == [[3, 4, 9], [12, 19], [20], [45]]


def test_blocks_have_a_size(monkeypatch):
  monkeypatch.setattr(kafkaio, 'BLOCK_BYTES', 10)
  blocks = cut(list(range(5)), [b'12345'] * 5)
  assert [block.origin[2:] for block in blocks] == [(0, 2), (2, 4), (4, 5)]


def test_tombstones_are_no_events_and_cover_their_offsets():
  ((block, tombstones, size),) = kafkaio.blocks_of(
      Partition('t', 0), Fetched([0, 1, 2], [b'{}', None, None]), 0, 0)
  assert (block.origin[2:], block.offsets.tolist(), tombstones, size) == ((0, 3), [0], 2, 2)
  ((block, tombstones, size),) = kafkaio.blocks_of(
      Partition('t', 0), Fetched([3, 4], [None, None]), 3, 0)
  assert (block.origin[2:], len(block.offsets), block.data, tombstones) == ((3, 5), 0, b'', 2)


@pytest.mark.parametrize('value', [b'', b'  ', b'\n', b'not\njson', b'{"event_type":"a\nb"}',
                                   b'{}\n{}'])
def test_message_that_is_no_line_is_one_reject_with_its_bytes(value):
  (block,) = cut([0, 1, 2], [event(1), value, event(2)])
  counter = BlockCounter(RULES)
  counted = counter.count(block)
  counter.close()
  assert (counted.read, sum(cell.events for cell in counted.cells)) == (3, 2)
  (reject,) = counted.rejects
  assert (reject.reason, reject.data, reject.offset) == ('malformed_json', value, 1)


def test_pretty_printed_json_is_one_event():
  pretty = json.dumps(json.loads(event(1)), indent=2).replace('\n', '\r\n').encode()
  (block,) = cut([0, 1], [pretty, event(2) + b'\n'])
  counter = BlockCounter(RULES)
  counted = counter.count(block)
  counter.close()
  assert (counted.read, sum(cell.events for cell in counted.cells), counted.rejects) == (2, 2, [])


def test_lateness_is_told_by_what_came_before_in_the_partition():
  times = np.array([0, 200, -1, 50, 119, 120, 10_000, 130]) * 1000
  late = kafkaio.late_lines(np.where(times < 0, -1, times), None, RULES, 20)
  # The watermark is 180 after the second: windows that ended by 120 are too late.
  assert late.tolist() == [False, False, False, True, True, False, False, True]


@pytest.mark.parametrize('seed', range(5))
def test_lateness_does_not_depend_on_the_cuts(seed):
  rng = random.Random(seed)
  times = np.array([max(0, number * 5 - rng.randrange(400)) for number in range(300)]) * 1000
  whole = kafkaio.late_lines(times, None, RULES, 30)
  pieces, newest, first = [], None, 0
  while first < len(times):
    part = times[first:first + rng.randrange(1, 40)]
    late = kafkaio.late_lines(part, newest, RULES, 30)
    pieces.append(np.zeros(len(part), bool) if late is None else late)
    newest = max(newest or 0, int(part.max()))
    first += len(part)
  assert whole.any() and not whole.all()
  assert np.concatenate(pieces).tolist() == whole.tolist()


def test_mark_is_plain_and_the_same_every_time():
  coder = kafkaio._MarkCoder()
  places = {Partition('b', 1): kafkaio._Place(7, 5000, 9), Partition('a', 0): kafkaio._Place(3)}
  encoded = coder.encode(kafkaio._Mark(places, 12))
  again = coder.decode(encoded)
  assert (again.places, again.watermark_secs) == (places, 12)
  assert coder.encode(again) == encoded
  with pytest.raises(ValueError, match='version 1, got 2'):
    coder.decode(encoded.replace(b'"version": 1', b'"version": 2'))


# The broker.

@pytest.fixture
def topic(broker):
  return broker.create_topic(kafka.unique('events'), partitions=2)


def test_every_message_comes_once(broker, topic):
  for partition in (0, 1):
    broker.produce(topic, [event(second, f'p{partition}') for second in range(50)], partition)
  found = events_of(drained(reader_of(broker, topic)))
  assert len(found) == 100
  assert found[f'kafka://{topic}', 1, 49] == (event(49, 'p1'), False)


@pytest.mark.slow
def test_reader_goes_on_from_any_mark(broker, topic, monkeypatch):
  rng = random.Random(3)
  for partition in (0, 1):
    broker.produce(topic, [event(max(0, second * 4 - rng.randrange(300)))
                           for second in range(200)], partition)
  whole = events_of(drained(reader_of(broker, topic)))
  assert sum(late for _, late in whole.values()) > 10
  monkeypatch.setattr(kafkaio, 'BLOCK_BYTES', 2000)
  blocks = drained(reader_of(broker, topic))
  assert len(blocks) > 10
  coder = kafkaio._MarkCoder()
  for stop in (0, 3, len(blocks) - 1):
    mark = coder.decode(coder.encode(blocks[stop][1]))
    monkeypatch.setattr(kafkaio, 'BLOCK_BYTES', rng.randrange(500, 5000))
    rest = drained(reader_of(broker, topic, mark))
    assert {**events_of(blocks[:stop + 1]), **events_of(rest)} == whole
    assert not events_of(blocks[:stop + 1]).keys() & events_of(rest).keys()


@pytest.mark.slow
def test_transactions_leave_gaps_and_aborted_messages_are_not_read(broker, topic):
  producer = broker.producer(transactional_id=kafka.unique('tx'))
  producer.init_transactions(30)
  for number, end in enumerate((producer.commit_transaction, producer.abort_transaction,
                                producer.commit_transaction)):
    producer.begin_transaction()
    producer.produce(topic, event(number), partition=0)
    producer.flush(30)
    end(30)
  found = events_of(drained(reader_of(broker, topic)))
  assert sorted(found) == [(f'kafka://{topic}', 0, offset) for offset in (0, 4)]


def test_start_at_a_moment_takes_the_whole_segment(broker, topic, monkeypatch):
  monkeypatch.setattr(kafkaio, 'SEGMENT', 10)
  broker.produce(topic, [event(second) for second in range(50)], 0,
                 [(START + second) * 1000 for second in range(50)])
  found = events_of(drained(reader_of(broker, topic, start=START + 27)))
  assert sorted(offset for _, _, offset in found) == list(range(20, 50))


def test_start_at_latest_reads_what_comes(broker, topic):
  broker.produce(topic, [event(1)], 0)
  reader = reader_of(broker, topic, start='latest', stop_at_end=False)
  assert not reader.start()
  broker.produce(topic, [event(2)], 0)
  while not reader.advance():
    pass
  assert reader.get_current().offsets.tolist() == [1]
  reader.close()


def test_checkpoints_tell_a_group_and_a_start_reads_on_from_there(broker, topic):
  group = kafka.unique('group')
  broker.produce(topic, [event(1), event(2)], 0)
  reader = reader_of(broker, topic, group=group, stop_at_end=False)
  more = reader.start()
  while not more:
    more = reader.advance()
  reader.get_checkpoint_mark().finalize_checkpoint()
  asked = Consumer({'bootstrap.servers': broker.url, 'group.id': group})
  place = kafkaclient._at(Partition(topic, 0))
  deadline = time.monotonic() + 30
  while asked.committed([place], timeout=10)[0].offset != 2:
    reader.advance()
    assert time.monotonic() < deadline
  asked.close()
  reader.close()
  broker.produce(topic, [event(3)], 0)
  found = events_of(drained(reader_of(broker, topic, group=group, start='committed')))
  assert sorted(offset for _, _, offset in found) == [2]


def test_pattern_reads_a_topic_per_tenant(broker):
  prefix = kafka.unique('tenant')
  for tenant in 'ab':
    broker.produce(broker.create_topic(f'{prefix}-{tenant}'), [event(1, tenant)])
  found = events_of(drained(reader_of(broker, f'^{prefix}-.*')))
  assert {source for source, _, _ in found} == {f'kafka://{prefix}-a', f'kafka://{prefix}-b'}


@pytest.mark.slow
def test_partitions_and_topics_that_come_later_are_read_from_their_start(broker, monkeypatch):
  monkeypatch.setattr(kafkaio, '_REFRESH_SECS', 0.0)
  prefix = kafka.unique('grows')
  first = broker.create_topic(f'{prefix}-1')
  reader = reader_of(broker, f'^{prefix}', start='latest', stop_at_end=False)
  assert not reader.start()
  broker.add_partitions(first, 2)
  broker.produce(first, [event(1)], 1)
  broker.produce(broker.create_topic(f'{prefix}-2'), [event(2)])
  seen, deadline = set(), time.monotonic() + 30
  while len(seen) < 2:
    if reader.advance():
      seen.add(reader.get_current().origin[:3])
    assert time.monotonic() < deadline
  assert seen == {(f'kafka://{first}', 1, 0), (f'kafka://{prefix}-2', 0, 0)}
  reader.close()


@pytest.mark.slow
def test_partition_that_was_never_read_holds_the_watermark_until_it_is_idle(broker, topic):
  broker.produce(topic, [event(1000)], 0)
  reader = reader_of(broker, topic, stop_at_end=False, idle_secs=1, out_of_orderness_secs=10)
  more = reader.start()
  while not more:
    more = reader.advance()
  assert reader._watermark_secs is None
  deadline = time.monotonic() + 30
  while reader._watermark_secs is None:
    reader.advance()
    assert time.monotonic() < deadline
  assert reader._watermark_secs == START + 990
  reader.close()


def test_partitions_that_fall_idle_together_leave_the_watermark_where_they_are(
    broker, topic, monkeypatch):
  broker.produce(topic, [event(1000)], 0)
  reader = reader_of(broker, topic, stop_at_end=False, idle_secs=100, out_of_orderness_secs=10)
  more = reader.start()
  while not more or len(reader._ends) < 2:
    more = reader.advance() or more
  assert reader._watermark_secs is None
  reader._ends = {partition: (since - 1000, offset)
                  for partition, (since, offset) in reader._ends.items()}
  reader.advance()
  assert reader._watermark_secs == START + 990
  reader.close()


def test_watermark_is_that_of_the_slowest_partition_and_never_goes_back(broker, topic):
  broker.produce(topic, [event(second) for second in range(0, 7200, 60)], 0)
  broker.produce(topic, [event(second) for second in range(0, 3600, 60)], 1)
  reader = reader_of(broker, topic, stop_at_end=False, idle_secs=0)
  told, deadline = [], time.monotonic() + 30
  more = reader.start()
  while reader._watermark_secs != START + 3540:
    if reader._watermark_secs is not None:
      told.append(reader._watermark_secs)
    more = reader.advance()
    assert time.monotonic() < deadline
  assert told == sorted(told) and more is not None
  reader.close()


@pytest.mark.slow
def test_readers_share_the_partitions(broker, topic):
  for partition in (0, 1):
    broker.produce(topic, [event(second) for second in range(20)], partition)
  read = kafkaio.ReadFromKafka(broker.url, topic, RULES, stop_at_end=True, readers=3)
  sources = kafkaio._Topics(read).split(20)
  found = [events_of(drained(source.create_reader(None, None))) for source in sources]
  assert sorted(map(len, found)) == [0, 20, 20]
  assert len({place for part in found for place in part}) == 40
  assert all(source.split(20) == [source] for source in sources)


@pytest.mark.slow
def test_reader_whose_partitions_are_all_idle_does_not_hold_back_the_others(broker, topic):
  broker.produce(topic, [event(1000)], 0)
  read = kafkaio.ReadFromKafka(broker.url, topic, RULES, readers=2, idle_secs=1,
                               out_of_orderness_secs=10)
  for source in kafkaio._Topics(read).split(20):
    reader, deadline = source.create_reader(None, None), time.monotonic() + 30
    reader.start()
    while (reader._watermark_secs or 0) < time.time() - 20:
      reader.advance()
      assert time.monotonic() < deadline
    assert reader._watermark_secs <= time.time() - 11
    reader.close()


def test_blocks_are_counted_ahead_unless_an_event_may_be_late(broker, topic):
  broker.produce(topic, [event(second) for second in range(50)], 0)
  broker.produce(topic, [event(1000), b'garbage', event(500, 'late'), event(1010)], 1)
  blocks = {block.origin.partition: block for block, _ in drained(reader_of(broker, topic))}
  assert blocks[0].late is None and blocks[0].counted.read == 50
  assert blocks[1].late.tolist() == [False, False, True, False] and blocks[1].counted is None


@pytest.mark.parametrize('seed', range(5))
def test_newest_event_of_a_count_is_that_of_its_events(seed):
  rng = random.Random(seed)
  values = [rng.choice([
      event(rng.randrange(5000)), b'garbage', b'', event(10**9), event(-10**9),
      event(rng.randrange(5000), ''), json.dumps({'metadata': {'timestamp': 1}}).encode()])
            for _ in range(200)]
  (block,) = cut(list(range(len(values))), values)
  counter = BlockCounter(RULES)
  assert counter.count(block).latest_ms == counter.event_times(block).max()
  counter.close()


def test_messages_that_retention_took_are_an_error_that_counts_them(broker, topic):
  broker.produce(topic, [event(second) for second in range(10)], 0)
  mark = kafkaio._Mark({Partition(topic, 0): kafkaio._Place(2),
                        Partition(topic, 1): kafkaio._Place(0)}, None)
  broker.delete_records(topic, 0, 7)
  reader = reader_of(broker, topic, mark, stop_at_end=False)
  with pytest.raises(KafkaUnavailable, match=r'no longer has offset 2 of .*: 5 messages are gone; '
                     'start anew with --kafka_start=earliest'):
    reader.start()
    for _ in range(100):
      reader.advance()
  reader.close()


@pytest.mark.parametrize(('topics', 'problem'), [
    ('nowhere', "there is no topic 'nowhere'"), ('^nowhere', "no topic matches '\\^nowhere'")])
def test_unknown_topics_are_named(broker, topics, problem):
  with pytest.raises(KafkaUnavailable, match=problem):
    kafkaclient.check(broker.url, topics, {})


def test_unreachable_broker_is_one_line(monkeypatch):
  monkeypatch.setattr(kafkaclient, '_CHECK_SECS', 1)
  with pytest.raises(KafkaUnavailable, match='no Kafka broker answers'):
    kafkaclient.check('localhost:1', 'events', {})


def test_settings_that_a_reader_rests_on_are_refused():
  with pytest.raises(ValueError, match=r'enable.auto.commit is set by the job'):
    kafkaclient.check_config({'enable.auto.commit': 'true'})


@pytest.mark.slow
def test_broker_that_is_killed_and_restarted_loses_and_doubles_nothing():
  with kafka.Broker() as broker:
    topic = broker.create_topic('events', partitions=2)
    broker.produce(topic, [event(second) for second in range(1000)], 0)
    reader = reader_of(broker, topic, stop_at_end=False)
    blocks, deadline = [], time.monotonic() + 120

    def read_until(count):
      while sum(len(block.offsets) for block, _ in blocks) < count:
        if reader.advance():
          blocks.append((reader.get_current(), None))
        assert time.monotonic() < deadline

    if reader.start():
      blocks.append((reader.get_current(), None))
    read_until(1000)
    broker.kill()
    for _ in range(5):
      assert not reader.advance()
    broker.start()
    broker.produce(topic, [event(second) for second in range(1000, 1500)], 1)
    read_until(1500)
    reader.close()
  assert len(events_of(blocks)) == 1500


@pytest.mark.slow
def test_range_holds_the_events_of_its_time_and_no_others(broker, topic):
  broker.produce(topic, [event(-5), event(10), b'garbage', event(3700), event(50)], 0,
                 [(START + second) * 1000 for second in (0, 11, 12, 3700, 9000)])
  broker.produce(topic, [event(59, 'other')], 1)
  with beam.Pipeline(options=beam_options([])) as pipeline:
    blocks = pipeline | kafkaio.ReadKafkaRange(broker.url, topic, RULES, START, START + 3600)
    lines = blocks | beam.FlatMap(lambda block: [
        (block.origin.partition, offset, line) for offset, line in zip(
            block.offsets.tolist(), bytes(block.data).splitlines(), strict=True)])
    assert_that(lines, equal_to([
        (0, 1, event(10)), (0, 4, event(50)), (1, 0, event(59, 'other'))]))


@pytest.mark.slow
def test_dead_letters_say_where_they_stood(broker):
  topic = broker.create_topic(kafka.unique('dead'))
  refused = RefusedBlock(OriginRange('kafka://events', 3, 10, 20), [
      Refused('malformed_json', '', b'not\njson', 'kafka://events', 3, 12),
      Refused('missing_field', 'item_id', b'{}', 'kafka://events', 3, 15)])
  with beam.Pipeline(options=beam_options([])) as pipeline:
    pipeline | beam.Create([refused]) | kafkaio.WriteRejectsToKafka(broker.url, topic)
  consumer = kafkaclient.open_consumer(broker.url, {}, None)
  kafkaclient.assign(consumer, {Partition(topic, 0): 0})
  found = []
  while len(found) < 2:
    found += [message for message in consumer.consume(10, 1) if not message.error()]
  consumer.close()
  assert [(message.key(), message.value()) for message in found] == [
      (b'kafka://events/3/12', b'not\njson'), (b'kafka://events/3/15', b'{}')]
  assert dict(found[1].headers()) == {
      'reason': b'missing_field', 'field': b'item_id', 'source': b'kafka://events',
      'partition': b'3', 'offset': b'15'}


@pytest.mark.slow
def test_dead_letters_that_no_one_takes_fail_the_bundle(broker):
  send = kafkaio._SendFn(broker.url, 'nowhere', {'message.timeout.ms': '2000'})
  send.setup()
  send.start_bundle()
  send.process(RefusedBlock(OriginRange('f', 0, 0, 1), [Refused('bad_text', '', b'x', 'f', 0, 0)]))
  with pytest.raises(KafkaUnavailable, match="cannot write to topic 'nowhere'"):
    send.finish_bundle()
