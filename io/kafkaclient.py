"""The few calls that are made on a Kafka broker, and what their errors mean."""
import contextlib
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from confluent_kafka import (
    OFFSET_INVALID,
    Consumer,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)

from leaderboard.io import secretsio

_TIMEOUT_SECS = 30
_CHECK_SECS = 10
_NAME = 'topk-leaderboard'
# Python's garbage collection looks through all messages that are alive, again and again: with
# 10,000 of them at once it takes three quarters of the time (400,000 messages/s, 1,700,000 so).
_AT_ONCE = 1000
# What the correctness of a reader rests on.
_OWN = ('bootstrap.servers', 'group.id', 'enable.auto.commit', 'enable.auto.offset.store',
        'auto.offset.reset', 'enable.partition.eof')
_READ = {
    'enable.auto.commit': False, 'enable.auto.offset.store': False, 'auto.offset.reset': 'error',
    'enable.partition.eof': True, 'isolation.level': 'read_committed',
    # The default second between fetches of an empty queue costs four fifths of the speed.
    'fetch.queue.backoff.ms': 20, 'queued.max.messages.kbytes': 16_384,
}


class KafkaUnavailable(Exception):
  """Kafka cannot be reached, refuses the client, or has lost what is asked of it."""


class Partition(NamedTuple):
  topic: str
  number: int


class Fetched(NamedTuple):
  """Consecutive messages of a partition: what is None deletes a key."""
  offsets: list[int]
  values: list[bytes | None]


def check_config(config: Mapping[str, str]) -> None:
  """Refuses settings that are not the user's.

  Raises:
    ValueError: names one.
  """
  for name in config:
    if name in _OWN:
      raise ValueError(f'{name} is set by the job itself; leave it out')


def check(servers: str, topics: str, config: Mapping[str, str]) -> None:
  """Tries a cluster and its topics.

  Raises:
    KafkaUnavailable: in one line, without secrets.
  """
  consumer = open_consumer(servers, {**config, 'log_level': '0'}, None)
  try:
    partitions_of(consumer, topics, _CHECK_SECS)
  finally:
    consumer.close()


def open_consumer(servers: str, config: Mapping[str, str], group: str | None) -> Any:
  try:
    return Consumer({**_READ, **_secrets(config), 'bootstrap.servers': servers,
                     'group.id': group or _NAME})
  except KafkaException as error:
    raise KafkaUnavailable(f'Kafka at {servers}: {error.args[0].str()}') from None


def open_producer(servers: str, config: Mapping[str, str]) -> Any:
  try:
    return Producer({'enable.idempotence': True, **_secrets(config), 'bootstrap.servers': servers})
  except KafkaException as error:
    raise KafkaUnavailable(f'Kafka at {servers}: {error.args[0].str()}') from None


def _secrets(config: Mapping[str, str]) -> dict[str, str]:
  """The settings, of references what they stand for (`secretsio`)."""
  try:
    return {name: secretsio.resolve(value) for name, value in config.items()}
  except secretsio.SecretUnavailable as error:
    raise KafkaUnavailable(str(error)) from None


def partitions_of(consumer: Any, topics: str, timeout_secs: float = _TIMEOUT_SECS
                  ) -> list[Partition]:
  """The partitions of topics: names separated by commas, or a regular expression from ^.

  Raises:
    KafkaUnavailable: no broker answers, or a topic is not there.
  """
  try:
    told = consumer.list_topics(timeout=timeout_secs).topics
  except KafkaException as error:
    raise KafkaUnavailable(f'no Kafka broker answers: {error.args[0].str()}; is it running, and '
                           f'are its address and the security settings right?') from None
  if topics.startswith('^'):
    names = sorted(name for name in told if re.match(topics, name))
    if not names:
      raise KafkaUnavailable(f'no topic matches {topics!r}')
  else:
    names = [name.strip() for name in topics.split(',')]
    absent = [name for name in names if name not in told or told[name].error]
    if absent:
      raise KafkaUnavailable(f'there is no topic {absent[0]!r}, or this user may not read it; '
                             f'create it first')
  return [Partition(name, number) for name in names for number in sorted(told[name].partitions)]


def bounds(consumer: Any, partition: Partition) -> tuple[int, int]:
  """The first offset that is kept, and the one after the last."""
  return _asked(consumer.get_watermark_offsets, _at(partition), timeout=_TIMEOUT_SECS)


def end_offsets(consumer: Any, partitions: Iterable[Partition]) -> dict[Partition, int]:
  return {partition: bounds(consumer, partition)[1] for partition in partitions}


def start_offsets(consumer: Any, partitions: list[Partition], start: str | int
                  ) -> dict[Partition, int]:
  """Where to begin.

  Args:
    start: `earliest`, `latest`, `committed`, or epoch seconds.
  """
  if isinstance(start, int):
    found = _asked(consumer.offsets_for_times, [_at(partition, start * 1000)
                                                for partition in partitions],
                   timeout=_TIMEOUT_SECS)
    # -1: no message is as new.
    return {partition: place.offset if place.offset >= 0 else bounds(consumer, partition)[1]
            for partition, place in zip(partitions, found, strict=True)}
  if start == 'committed':
    found = _asked(consumer.committed, [_at(partition) for partition in partitions],
                   timeout=_TIMEOUT_SECS)
    return {partition: place.offset if place.offset >= 0 else bounds(consumer, partition)[0]
            for partition, place in zip(partitions, found, strict=True)}
  side = {'earliest': 0, 'latest': 1}[start]
  return {partition: bounds(consumer, partition)[side] for partition in partitions}


def assign(consumer: Any, offsets: Mapping[Partition, int]) -> None:
  consumer.assign([_at(partition, offset) for partition, offset in offsets.items()])


def commit(consumer: Any, offsets: Mapping[Partition, int]) -> None:
  """Tells the broker how far a group has come; best effort, nothing depends on it."""
  # The broker may be away, or the consumer closed.
  with contextlib.suppress(KafkaException, RuntimeError):
    consumer.commit(offsets=[_at(partition, offset) for partition, offset in offsets.items()],
                    asynchronous=True)


def known_lag(consumer: Any, partition: Partition, offset: int) -> int:
  """Offsets of a partition from `offset` on, as far as the last answer of the broker told."""
  try:
    _, high = consumer.get_watermark_offsets(_at(partition), cached=True)
  except KafkaException:
    return 0
  return max(0, high - offset) if high >= 0 else 0


def fetch(consumer: Any, most: int, secs: float
          ) -> tuple[dict[Partition, Fetched], list[Any], bool]:
  """What comes within so many seconds, at most so many messages; what a consumer has to say
  besides (messages with an error); and whether more was there."""
  found: dict[Partition, Fetched] = {}
  errors: list[Any] = []
  count, more, deadline = 0, False, time.monotonic() + secs
  while count < most and (left := deadline - time.monotonic()) > 0:
    messages = consumer.consume(_AT_ONCE, left)
    count, more = count + len(messages), len(messages) == _AT_ONCE
    failed = [message for message in messages if message.error() is not None]
    if failed:
      errors += failed
      messages = [message for message in messages if message.error() is None]
    for partition, ours in _by_partition(messages):
      offsets, values = found.setdefault(partition, Fetched([], []))
      offsets += [message.offset() for message in ours]
      values += [message.value() for message in ours]
  return found, errors, more


def _by_partition(messages: list[Any]) -> Iterator[tuple[Partition, list[Any]]]:
  """The messages of each partition, in order."""
  # A few calls for all, not for each: this is the way of every message.
  places = list(zip([message.topic() for message in messages],
                    [message.partition() for message in messages], strict=True))
  found = dict.fromkeys(places)
  for place in found:
    yield Partition(*place), messages if len(found) == 1 else [
        message for message, its in zip(messages, places, strict=True) if its == place]


def is_end(error: Any) -> bool:
  return error.code() == KafkaError._PARTITION_EOF


def refuse(error: Any, consumer: Any, partition: Partition, offset: int) -> None:
  """Raises what no waiting mends; the client itself tries anything else again.

  Raises:
    KafkaUnavailable: what it is, and what to do.
  """
  where = f'{partition.topic}/{partition.number}'
  if error.code() in (KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET):
    first, end = bounds(consumer, partition)
    what = (f'{first - offset:,} messages are gone' if offset < first else
            f'its last offset is {end - 1}')
    raise KafkaUnavailable(f'Kafka no longer has offset {offset} of {where}: {what}; start anew '
                           f'with --kafka_start=earliest') from None
  if error.fatal() or error.code() in (
      KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.UNKNOWN_TOPIC_OR_PART,
      KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION):
    raise KafkaUnavailable(f'cannot read {where}: {error.str()}')


def send(producer: Any, topic: str, key: bytes, value: bytes, headers: Mapping[str, str],
         failures: list[str]) -> None:
  """Hands a message over; a failure to deliver it is added to `failures` later."""

  def told(error: Any, _: Any) -> None:
    if error is not None:
      failures.append(error.str())

  while True:
    try:
      producer.produce(topic, value, key, headers=list(headers.items()), on_delivery=told)
      break
    except BufferError:
      producer.poll(0.1)
  producer.poll(0)


def flush(producer: Any, topic: str, failures: list[str], timeout_secs: float = 60) -> None:
  """Waits until all is delivered.

  Raises:
    KafkaUnavailable: something was not.
  """
  left = producer.flush(timeout_secs)
  if failures or left:
    reason = failures[0] if failures else f'{left} messages are not delivered'
    raise KafkaUnavailable(f'cannot write to topic {topic!r}: {reason}')


def _at(partition: Partition, offset: int = OFFSET_INVALID) -> Any:
  return TopicPartition(partition.topic, partition.number, offset)


def _asked(call: Any, *args: Any, **options: Any) -> Any:
  """What the broker answers; a broker that is starting is asked again for a while."""
  deadline = time.monotonic() + _TIMEOUT_SECS
  while True:
    try:
      return call(*args, **options)
    except KafkaException as error:
      told = error.args[0]
      if not told.retriable() or time.monotonic() > deadline:
        raise KafkaUnavailable(f'Kafka: {told.str()}') from None
      time.sleep(0.2)
