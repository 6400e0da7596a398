"""Pub/Sub: a subscription as an endless source, and a topic of dead letters.

The service tells no watermark for single messages, so none is judged too late when it is counted;
an event that Beam drops for lateness further down shows as a difference of the accounts.
"""
import dataclasses
import hashlib
import time
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.io.gcp import pubsub
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.timestamp import MIN_TIMESTAMP
from apache_beam.utils.windowed_value import WindowedValue

from leaderboard.io.kafkaio import as_line
from leaderboard.transforms.blocks import EventBlock, OriginRange
from leaderboard.transforms.countevents import RefusedBlock

BLOCK_MESSAGES = 20_000
BLOCK_BYTES = 16 << 20
_CHECK_SECS = 10


class PubSubUnavailable(Exception):
  """A subscription or topic is not there, or no one answers."""


def check(path: str) -> None:
  """Sees that a subscription or topic is there; whoever may not look at it is not told.

  Args:
    path: projects/PROJECT/subscriptions/NAME or projects/PROJECT/topics/NAME.

  Raises:
    PubSubUnavailable: in one line.
  """
  from google.api_core import exceptions
  from google.cloud import pubsub_v1  # type: ignore[attr-defined]
  try:
    if '/subscriptions/' in path:
      with pubsub_v1.SubscriberClient() as subscriber:
        subscriber.get_subscription(subscription=path, timeout=_CHECK_SECS, retry=None)
    else:
      pubsub_v1.PublisherClient().get_topic(topic=path, timeout=_CHECK_SECS, retry=None)
  except exceptions.NotFound:
    raise PubSubUnavailable(f'there is no {path}; create it first') from None
  except exceptions.PermissionDenied:
    pass   # to read it takes less than to look at it
  except Exception as error:   # of any kind that the client or its sign-in has
    reason = ' '.join(str(error).split())
    raise PubSubUnavailable(f'cannot look at {path}: {reason}') from None


@dataclasses.dataclass
class ReadFromPubSub(beam.PTransform):
  """Reads a subscription.

  A block is what a bundle brings, named by the ids of its messages, and so is the source of its
  events: a bundle that is tried again replaces what it wrote. That a message is delivered once is
  the runner's part, as Dataflow does it; `id_label` says by what.

  Args:
    subscription: projects/PROJECT/subscriptions/NAME.
    timestamp_attribute: holds the event time, for the watermark; None for the time of arrival.
    id_label: attribute that is the same of messages published twice; None for none.
  Input: the pipeline.  Output: EventBlock, unbounded.
  """
  subscription: str
  timestamp_attribute: str | None = None
  id_label: str | None = None

  def expand(self, pipeline: Any) -> beam.PCollection:
    return (pipeline
            | 'Read' >> pubsub.ReadFromPubSub(
                subscription=self.subscription, id_label=self.id_label,
                timestamp_attribute=self.timestamp_attribute, with_attributes=True)
            | 'Block' >> beam.ParDo(_BlockFn(self.subscription)).with_output_types(EventBlock))


class _BlockFn(beam.DoFn):
  """Gathers the messages of a bundle."""

  def __init__(self, subscription: str) -> None:
    self._subscription = subscription

  def start_bundle(self) -> None:
    # What a failed bundle left behind will come again.
    self._messages: list[tuple[int, bytes]] = []
    self._bytes = 0
    self._earliest: Any = None

  def process(self, message: Any, timestamp: Any = beam.DoFn.TimestampParam
              ) -> Iterator[EventBlock]:
    value = message.data or b''
    # Without an id, as in some tests of users, the message itself tells one from another.
    self._messages.append((_offset(message.message_id or repr(message)), value))
    self._bytes += len(value)
    self._earliest = timestamp if self._earliest is None else min(timestamp, self._earliest)
    if len(self._messages) >= BLOCK_MESSAGES or self._bytes >= BLOCK_BYTES:
      yield self._block()

  def finish_bundle(self) -> Iterator[WindowedValue]:
    if self._messages:
      stamp = MIN_TIMESTAMP if self._earliest is None else self._earliest
      yield WindowedValue(self._block(), stamp, (GlobalWindow(),))

  def _block(self) -> EventBlock:
    messages = sorted(self._messages)
    self.start_bundle()
    offsets = np.array([offset for offset, _ in messages], np.int64)
    lines = [as_line(value) for _, value in messages]
    raw = {number: value for number, (line, (_, value)) in enumerate(
        zip(lines, messages, strict=True)) if line is not value}
    # Ids have no order: the block is named by all of them.
    name = hashlib.sha256(offsets.tobytes()).hexdigest()[:16]
    origin = OriginRange(f'{self._subscription}/{name}', 0, int(offsets[0]), int(offsets[-1]) + 1)
    return EventBlock(origin, b'\n'.join([*lines, b'']), None, int(time.time()), offsets, None,
                      raw or None)


def _offset(message_id: str) -> int:
  """A number from 0 to 2^62 that stands for an id."""
  return int.from_bytes(hashlib.sha256(message_id.encode()).digest()[:8], 'big') >> 2


@dataclasses.dataclass
class WriteRejectsToPubSub(beam.PTransform):
  """Publishes refused events as they came; attributes tell reason, field and origin.

  Args:
    topic: projects/PROJECT/topics/NAME.
  Input: RefusedBlock.
  """
  topic: str

  def expand(self, refused: beam.PCollection) -> beam.PCollection:
    return (refused
            | 'Messages' >> beam.FlatMap(_messages).with_output_types(pubsub.PubsubMessage)
            | 'Write' >> pubsub.WriteToPubSub(self.topic, with_attributes=True))


def _messages(block: RefusedBlock) -> Iterator[Any]:
  for event in block.refused:
    yield pubsub.PubsubMessage(event.data, {
        'reason': event.reason, 'field': event.field, 'source': event.source,
        'partition': str(event.partition), 'offset': str(event.offset)})
