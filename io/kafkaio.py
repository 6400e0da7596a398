"""Kafka: topics as an endless source of blocks, a stretch of a topic as a bounded one, and a topic
of dead letters.

Offsets and event times are kept per partition in the runner's checkpoint; the broker is told of
them only for people to see. A message is too late by what came before it in its own partition
alone, so that a replay, which cuts and interleaves differently, judges as the first attempt did.
"""
import bisect
import collections
import concurrent.futures
import contextlib
import dataclasses
import json
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
from apache_beam.coders import Coder
from apache_beam.io.unbounded_source import CheckpointMark, UnboundedReader, UnboundedSource
from apache_beam.metrics import Metrics
from apache_beam.utils.timestamp import MAX_TIMESTAMP, MIN_TIMESTAMP, Timestamp

from leaderboard.io import kafkaclient
from leaderboard.io.endlessio import ReadEndless
from leaderboard.io.kafkaclient import Fetched, Partition
from leaderboard.transforms.blocks import EventBlock, OriginRange
from leaderboard.transforms.boards import WindowSize
from leaderboard.transforms.countevents import RefusedBlock
from leaderboard.transforms.counting import BlockCounter, CountedBlock, CountingRules

# No block reaches over a multiple of so many offsets, so that a later attempt, which starts at
# one, covers whole blocks of earlier ones.
SEGMENT = 1 << 17
BLOCK_BYTES = 16 << 20
_FETCH = 100_000
_FETCH_SECS = 0.2
# Blocks that are read ahead of what was handed out, and threads that count them: DuckDB works
# beside the interpreter, which makes the messages.
_AHEAD = 4
_COUNTING = 2
_BUNDLE_BLOCKS = 20
_BUNDLE_SECS = 1.0
_POLL_SECS = 0.1
_REFRESH_SECS = 30.0
_MARK_VERSION = 1
# What stands for a message that is no line: the parser refuses it, and `raw` has the original.
_NO_LINE = b'!'


@dataclasses.dataclass
class ReadFromKafka(beam.PTransform):
  """Reads topics as an endless source.

  The watermark is the least over the partitions of their newest event time -
  `out_of_orderness_secs`; it never goes back.

  Args:
    servers: `host:port` of brokers, separated by commas.
    topics: names separated by commas, or one regular expression that begins with ^.
    rules: how an event tells its time, and when it is too late.
    start: `earliest`, `latest`, `committed` (of `group`; earliest where there is nothing), or
      epoch seconds of the broker's timestamps.
    group: consumer group that is told how far checkpoints have come; None for none.
    out_of_orderness_secs: how far behind the newest event of its partition another may follow on
      time.
    idle_secs: a partition without messages for so long holds the watermark back no longer; 0
      for never.
    stop_at_end: ends at the offsets that were the last at the start.
    readers: how many share the partitions, at most one for each. The watermark of a reader whose
      partitions are all idle follows the clock, as far behind it as that takes, for it must not
      hold back the others; that of one reader alone stays where it is.
    config: further settings of librdkafka, such as TLS and SASL.
  Input: the pipeline.  Output: EventBlock, unbounded, each of one partition.
  """
  servers: str
  topics: str
  rules: CountingRules
  start: str | int = 'earliest'
  group: str | None = None
  out_of_orderness_secs: int = 0
  idle_secs: int = 60
  stop_at_end: bool = False
  config: Mapping[str, str] = dataclasses.field(default_factory=dict)
  readers: int = 1

  def __post_init__(self) -> None:
    if self.readers < 1:
      raise ValueError(f'readers must be at least 1, got {self.readers}')

  def expand(self, pipeline: Any) -> beam.PCollection:
    return pipeline | 'Read' >> ReadEndless(
        _Topics(dataclasses.replace(self)), self.group is not None, _POLL_SECS, _BUNDLE_BLOCKS,
        _BUNDLE_SECS)


class _Place(NamedTuple):
  """How far a partition has come.

  Attributes:
    offset: the next one.
    newest_ms: newest event time so far; None where there was none.
    end: where to stop; None for never.
  """
  offset: int
  newest_ms: int | None = None
  end: int | None = None


class _Mark(CheckpointMark):
  """All places, and the watermark (epoch seconds)."""

  def __init__(self, places: Mapping[Partition, _Place], watermark_secs: int | None,
               commit: Callable[[Mapping[Partition, int]], None] | None = None) -> None:
    self.places = dict(places)
    self.watermark_secs = watermark_secs
    self._commit = commit

  def finalize_checkpoint(self) -> None:
    if self._commit:
      self._commit({partition: place.offset for partition, place in self.places.items()})


class _MarkCoder(Coder):
  """JSON, with a version: a running job must be able to read the marks of an earlier release."""

  def encode(self, mark: _Mark) -> bytes:
    places = sorted((*partition, *place) for partition, place in mark.places.items())
    return json.dumps({'version': _MARK_VERSION, 'watermark_secs': mark.watermark_secs,
                       'places': places}).encode()

  def decode(self, encoded: bytes) -> _Mark:
    told = json.loads(encoded)
    if told['version'] != _MARK_VERSION:
      raise ValueError(f'this release reads Kafka checkpoints of version {_MARK_VERSION}, got '
                       f'{told["version"]}')
    return _Mark({Partition(topic, number): _Place(*place)
                  for topic, number, *place in told['places']}, told['watermark_secs'])

  def is_deterministic(self) -> bool:
    return True


class _Topics(UnboundedSource):
  """All partitions, or those of one of several readers (its number, from 0)."""

  def __init__(self, read: ReadFromKafka, number: int | None = None) -> None:
    self._read = {field.name: getattr(read, field.name) for field in dataclasses.fields(read)}
    self._number = number

  def split(self, desired_num_splits: int, options: Any = None) -> list['_Topics']:
    # One reader for all unless told otherwise: some runners take the watermark of one of several
    # for that of all.
    readers = self._read['readers']
    if readers == 1 or self._number is not None:
      return [self]
    return [_Topics(ReadFromKafka(**self._read), number) for number in range(readers)]

  def create_reader(self, options: Any, checkpoint_mark: _Mark | None) -> '_Reader':
    return _Reader(ReadFromKafka(**self._read), checkpoint_mark, self._number)

  def get_checkpoint_mark_coder(self) -> Coder:
    return _MarkCoder()


class _Fetched(NamedTuple):
  """A block, and what it holds, which is being counted."""
  partition: Partition
  block: EventBlock
  counted: concurrent.futures.Future[CountedBlock]


class _Reader(UnboundedReader):
  """Counts what it reads, while it fetches more: what the counting tells of a block decides whether
  an event in it may be too late, and then only are the events looked at one by one."""

  def __init__(self, read: ReadFromKafka, mark: _Mark | None, number: int | None = None) -> None:
    self._read = read
    self._number = number   # None where this one reads all
    self._counter = BlockCounter(read.rules)
    self._pool = concurrent.futures.ThreadPoolExecutor(_COUNTING)
    self._consumer = kafkaclient.open_consumer(read.servers, read.config, read.group)
    self._places = dict(mark.places) if mark else {}
    self._watermark_secs = mark.watermark_secs if mark else None
    # The next offset to be fetched; `_places` has that of what was handed out.
    self._fetched = {partition: place.offset for partition, place in self._places.items()}
    # Where partitions ended, and since when no message has followed.
    self._ends: dict[Partition, tuple[float, int]] = {}
    self._ready: collections.deque[_Fetched] = collections.deque()
    # Whether the last fetch left something; whether something was handed out since the last pause.
    self._catching_up = False
    self._handed_out = False
    self._resumed = mark is not None
    self._refreshed = 0.0
    self._ended = False
    self._messages = Metrics.counter('ReadFromKafka', 'messages_read')
    self._bytes = Metrics.counter('ReadFromKafka', 'bytes_read')
    self._tombstones = Metrics.counter('ReadFromKafka', 'tombstones_read')
    self._lag = Metrics.gauge('ReadFromKafka', 'lag_messages')
    self._age = Metrics.gauge('ReadFromKafka', 'watermark_age_secs')

  def start(self) -> bool:
    self._refresh()
    return self.advance()

  def advance(self) -> bool:
    if self._handed_out and not self._ready and not self._catching_up:
      # All there was: the bundle ends here, for no board has it before, and another reader may be
      # waiting for its turn in the same bundle.
      self._handed_out = False
      return False
    # Blocks that are being counted, and more to come: those threads must not run dry.
    if not self._ready or (self._catching_up and len(self._ready) < _AHEAD):
      if time.monotonic() >= self._refreshed + _REFRESH_SECS:
        self._refresh()
      self._fetch()
    if not self._ready:
      self._move_watermark()
      self._ended = self._at_last_end()
      return False
    self._current = self._judged(self._ready.popleft())
    self._handed_out = True
    self._move_watermark()
    return True

  def get_current(self) -> EventBlock:
    return self._current

  def get_current_timestamp(self) -> Timestamp:
    # Never behind the watermark, or a runner could take the block for late data.
    return _timestamp(self._current.watermark_secs)

  def get_watermark(self) -> Timestamp:
    return MAX_TIMESTAMP if self._ended else _timestamp(self._watermark_secs)

  def get_checkpoint_mark(self) -> _Mark:
    return _Mark(self._places, self._watermark_secs, self._commit if self._read.group else None)

  def close(self) -> None:
    self._consumer.close()
    self._pool.shutdown(cancel_futures=True)
    self._counter.close()

  def _commit(self, offsets: Mapping[Partition, int]) -> None:
    kafkaclient.commit(self._consumer, offsets)

  def _refresh(self) -> None:
    """Finds the partitions; those that came while the source ran are read from their start."""
    found = [partition for partition in kafkaclient.partitions_of(
        self._consumer, self._read.topics) if self._number in (None, self._reader_of(partition))]
    new = [partition for partition in found if partition not in self._places]
    if new:
      start = 'earliest' if self._resumed else self._read.start
      offsets = kafkaclient.start_offsets(self._consumer, new, start)
      ends = kafkaclient.end_offsets(self._consumer, new) if self._read.stop_at_end else {}
      for partition in new:
        offset = offsets[partition]
        if isinstance(start, int):
          first, _ = kafkaclient.bounds(self._consumer, partition)
          offset = max(first, offset - offset % SEGMENT)
        self._places[partition] = _Place(offset, end=ends.get(partition))
        self._fetched[partition] = offset
    if new or not self._refreshed:
      kafkaclient.assign(self._consumer, self._fetched)
    self._resumed = True
    self._refreshed = time.monotonic()

  def _reader_of(self, partition: Partition) -> int:
    """The reader of a partition, the same whatever others there are."""
    return (zlib.crc32(partition.topic.encode()) + partition.number) % self._read.readers

  def _fetch(self) -> None:
    found, errors, self._catching_up = kafkaclient.fetch(self._consumer, _FETCH, _FETCH_SECS)
    for message in errors:
      partition, error = Partition(message.topic(), message.partition()), message.error()
      if kafkaclient.is_end(error):
        self._ends[partition] = time.monotonic(), message.offset()
      elif partition in self._fetched:
        kafkaclient.refuse(error, self._consumer, partition, self._fetched[partition])
    for partition, ours in found.items():
      # An end that stands before these messages is none.
      if self._ends.get(partition, (0.0, 0))[1] <= ours.offsets[-1]:
        self._ends.pop(partition, None)
      ours = _before(ours, self._places[partition].end)
      for block, tombstones, size in blocks_of(
          partition, ours, self._fetched[partition], int(time.time())):
        self._fetched[partition] = block.origin.end
        self._ready.append(_Fetched(partition, block, self._pool.submit(
            self._counter.count, block)))
        self._messages.inc(_lines(block) + tombstones)
        self._tombstones.inc(tombstones)
        self._bytes.inc(size)

  def _judged(self, fetched: _Fetched) -> EventBlock:
    """The next block: its messages that are too late, by what came before them in their partition,
    are marked; if there is none it is counted already."""
    block, place, rules = fetched.block, self._places[fetched.partition], self._read.rules
    counted = fetched.counted.result()
    newest_ms = counted.latest_ms if place.newest_ms is None else max(
        counted.latest_ms or 0, place.newest_ms)
    # The watermark as it was before: nothing in the block is behind what it says itself.
    block.watermark_secs = self._watermark_secs
    if _all_in_time(counted, rules, newest_ms, self._read.out_of_orderness_secs,
                    self._watermark_secs):
      block.counted = counted
    else:
      block.late = late_lines(self._counter.event_times(block), place.newest_ms, rules,
                              self._read.out_of_orderness_secs)
    self._places[fetched.partition] = place._replace(offset=block.origin.end, newest_ms=newest_ms)
    return block

  def _move_watermark(self) -> None:
    """To the least of all partitions but the idle ones; nowhere while one of those tells no time.
    Where all are idle, to the least of those that tell one, or after the clock."""
    busy = [place for partition, place in self._places.items() if not self._idle(partition)]
    if not busy and self._number is not None and self._read.idle_secs:
      told = int(time.time()) - self._read.idle_secs - self._read.out_of_orderness_secs
      self._watermark_secs = max(told, self._watermark_secs or told)
    asked = busy or self._places.values()
    known = [place.newest_ms for place in asked if place.newest_ms is not None]
    if known and (len(known) == len(asked) or not busy):
      told = min(known) // 1000 - self._read.out_of_orderness_secs
      self._watermark_secs = max(told, self._watermark_secs or told)
    self._lag.set(sum(map(self._behind, self._places)))
    if self._watermark_secs is not None:
      self._age.set(max(0, int(time.time()) - self._watermark_secs))

  def _behind(self, partition: Partition) -> int:
    """Offsets still to be fetched, which at the end of a partition are none."""
    _, end = self._ends.get(partition, (0.0, 0))
    return kafkaclient.known_lag(self._consumer, partition,
                                 max(end, self._places[partition].offset))

  def _idle(self, partition: Partition) -> bool:
    """Whether nothing has come for long. A partition with messages to fetch never is: a replay
    must not set apart what the first attempt counted."""
    if not self._read.idle_secs or partition not in self._ends:
      return False
    since, _ = self._ends[partition]
    return time.monotonic() >= since + self._read.idle_secs and not self._behind(partition)

  def _at_last_end(self) -> bool:
    """Whether every partition has come to the end that it had at the start."""
    return self._read.stop_at_end and all(
        place.end is not None and (place.offset >= place.end or partition in self._ends)
        for partition, place in self._places.items())


def _before(messages: Fetched, end: int | None) -> Fetched:
  """The messages whose offset is below `end`."""
  behind = len(messages.offsets) if end is None else bisect.bisect_left(messages.offsets, end)
  return Fetched(messages.offsets[:behind], messages.values[:behind])


def blocks_of(partition: Partition, messages: Fetched, offset: int, read_secs: int
              ) -> Iterator[tuple[EventBlock, int, int]]:
  """Cuts consecutive messages of a partition into blocks that follow on `offset` without a gap.

  Yields:
    A block, the number of its tombstones (messages that delete a key: no events, and no lines),
    and the bytes of its messages.
  """
  offsets, values = np.array(messages.offsets, np.int64), messages.values
  lengths = np.array([0 if value is None else len(value) for value in values], np.int64)
  for first, behind in _cuts(offsets, lengths):
    segment = int(offsets[first]) // SEGMENT * SEGMENT
    last = int(offsets[behind - 1])
    # Offsets have gaps: before the first of a segment, and behind its last.
    start = max(offset, segment)
    goes_on = behind < len(offsets) and offsets[behind] >= segment + SEGMENT
    offset = segment + SEGMENT if goes_on else last + 1
    lines = [value for value in values[first:behind] if value is not None]
    places = offsets[first:behind]
    tombstones = len(places) - len(lines)
    if tombstones:
      places = places[[value is not None for value in values[first:behind]]]
    data, raw = joined(lines)
    yield (EventBlock(OriginRange(f'kafka://{partition.topic}', partition.number, start, offset),
                      data, None, read_secs, places, None, raw),
           tombstones, int(lengths[first:behind].sum()))


def _cuts(offsets: np.ndarray, lengths: np.ndarray) -> Iterator[tuple[int, int]]:
  """(first, behind the last) of the messages of each block: it ends with its segment, or as soon as
  it is large."""
  segments = offsets // SEGMENT
  ends = [*(np.flatnonzero(np.diff(segments)) + 1).tolist(), len(offsets)]
  sizes = np.cumsum(lengths)
  first = 0
  for end in ends if len(offsets) else ():
    while first < end:
      before = int(sizes[first - 1]) if first else 0
      full = int(np.searchsorted(sizes, before + BLOCK_BYTES)) + 1
      yield first, min(full, end)
      first = min(full, end)


def joined(values: list[bytes]) -> tuple[bytes, dict[int, bytes] | None]:
  """Messages as lines; and those that are none as they came, by their place."""
  data = b'\n'.join([*values, b''])
  view = np.frombuffer(data, np.uint8)
  newlines = np.flatnonzero(view == ord('\n'))
  if len(newlines) == len(values) and (
      view[np.concatenate(([0], newlines + 1))[:-1]] > ord(' ')).all():
    return data, None
  lines = list(map(as_line, values))
  raw = {place: value for place, (value, line) in enumerate(zip(values, lines, strict=True))
         if line is not value}
  return b'\n'.join([*lines, b'']), raw or None


def _lines(block: EventBlock) -> int:
  return 0 if block.offsets is None else len(block.offsets)


def as_line(value: bytes) -> bytes:
  """A message as one line, itself where it is one already.

  A newline between the tokens of JSON is like a space. What is no JSON, and has newlines or
  nothing in it, stands for one malformed event.
  """
  if value.isspace() or not value:
    return _NO_LINE
  if b'\n' not in value:
    return value
  try:
    json.loads(value)
  except (ValueError, RecursionError):
    return _NO_LINE
  return value.replace(b'\n', b' ').replace(b'\r', b' ')


def late_lines(times_ms: np.ndarray, newest_ms: int | None, rules: CountingRules,
               out_of_orderness_secs: int) -> np.ndarray | None:
  """Which messages are too late: bool[lines], or None for none.

  Args:
    times_ms: their event times, in order; -1 where one tells none.
    newest_ms: newest event time in the partition before them.
  """
  before = np.concatenate(([-1 if newest_ms is None else newest_ms], times_ms[:-1]))
  newest = np.maximum.accumulate(before)
  watermarks = newest // 1000 - out_of_orderness_secs
  ends = _window_ends(times_ms // 1000, rules.base)
  late = ((times_ms >= 0) & (newest >= 0)
          & (ends + rules.allowed_lateness_secs <= watermarks))
  return late if late.any() else None


def _all_in_time(counted: CountedBlock, rules: CountingRules, newest_ms: int | None,
                 out_of_orderness_secs: int, watermark_secs: int | None) -> bool:
  """Whether no event of a block can be too late, even if the newest of all had come first."""
  if newest_ms is None or not counted.cells:
    return True
  bar = newest_ms // 1000 - out_of_orderness_secs
  if watermark_secs is not None:
    bar = max(bar, watermark_secs)
  oldest = min(cell.start for cell in counted.cells)
  return rules.base.end(oldest) + rules.allowed_lateness_secs > bar


def _window_ends(secs: np.ndarray, size: WindowSize) -> np.ndarray:
  if size.fixed:
    return secs - secs % size.secs + size.secs
  moments, places = np.unique(secs, return_inverse=True)
  return np.array([size.end(size.start(int(moment))) for moment in moments], np.int64)[places]


def _timestamp(epoch_secs: int | None) -> Timestamp:
  return MIN_TIMESTAMP if epoch_secs is None else Timestamp(epoch_secs)


@dataclasses.dataclass
class ReadKafkaRange(beam.PTransform):
  """Reads the events of a time that is over, whenever they came.

  Messages are looked at from the broker's timestamp of the time's start - `max_future_secs` of the
  rules, so far may an event be ahead of its arrival, to the end that a partition has now.

  Args:
    from_secs, to_secs: events of [from, to), epoch seconds; a message that tells no time is none.
  Input: the pipeline.  Output: EventBlock of what is within, its source named by the time too.
  """
  servers: str
  topics: str
  rules: CountingRules
  from_secs: int
  to_secs: int
  config: Mapping[str, str] = dataclasses.field(default_factory=dict)

  def expand(self, pipeline: Any) -> beam.PCollection:
    read = _RangeFn(self.servers, self.config, self.rules, self.from_secs, self.to_secs)
    return (pipeline
            | 'Topics' >> beam.Create([self.topics])
            | 'Partitions' >> beam.ParDo(_PartitionsFn(
                self.servers, self.config, self.from_secs - self.rules.max_future_secs))
            | 'Spread' >> beam.Reshuffle()
            | 'Read' >> beam.ParDo(read))


class _PartitionsFn(beam.DoFn):

  def __init__(self, servers: str, config: Mapping[str, str], from_secs: int) -> None:
    self._servers = servers
    self._config = dict(config)
    self._from_secs = from_secs

  def process(self, topics: str) -> Iterator[tuple[Partition, int, int]]:
    with contextlib.closing(
        kafkaclient.open_consumer(self._servers, self._config, None)) as consumer:
      found = kafkaclient.partitions_of(consumer, topics)
      starts = kafkaclient.start_offsets(consumer, found, self._from_secs)
      ends = kafkaclient.end_offsets(consumer, found)
    for partition in found:
      yield partition, starts[partition], ends[partition]


class _RangeFn(beam.DoFn):

  def __init__(self, servers: str, config: Mapping[str, str], rules: CountingRules,
               from_secs: int, to_secs: int) -> None:
    self._servers = servers
    self._config = dict(config)
    self._rules = rules
    self._times = from_secs * 1000, to_secs * 1000

  def process(self, stretch: tuple[Partition, int, int]) -> Iterator[EventBlock]:
    with (contextlib.closing(
        kafkaclient.open_consumer(self._servers, self._config, None)) as consumer,
          contextlib.closing(BlockCounter(self._rules)) as counter):
      yield from self._read(consumer, counter, *stretch)

  def _read(self, consumer: Any, counter: BlockCounter, partition: Partition, offset: int,
            end: int) -> Iterator[EventBlock]:
    kafkaclient.assign(consumer, {partition: offset})
    ended = offset >= end
    while not ended:
      found, errors, _ = kafkaclient.fetch(consumer, _FETCH, _FETCH_SECS)
      messages = found.get(partition, Fetched([], []))
      ended = bool(messages.offsets) and messages.offsets[-1] >= end
      messages = _before(messages, end)
      for message in errors:
        if kafkaclient.is_end(message.error()):
          ended = True
        else:
          kafkaclient.refuse(message.error(), consumer, partition, offset)
      for block, _, _ in blocks_of(partition, messages, offset, int(time.time())):
        offset = block.origin.end
        ended = ended or offset >= end
        if _lines(block):
          yield _within(block, counter.event_times(block), *self._times)


def _within(block: EventBlock, times_ms: np.ndarray, from_ms: int, to_ms: int) -> EventBlock:
  """The lines of a block whose time lies in [from, to)."""
  assert block.offsets is not None and isinstance(block.data, (bytes, memoryview))
  kept = np.flatnonzero((times_ms >= from_ms) & (times_ms < to_ms))
  lines = bytes(block.data).split(b'\n')
  raw = block.raw or {}
  # A name of its own: what the live job wrote of these offsets, with all of them, must stay.
  source = f'{block.origin.source}/{from_ms // 1000}-{to_ms // 1000}'
  return dataclasses.replace(
      block, origin=block.origin._replace(source=source),
      data=b'\n'.join([*(lines[line] for line in kept), b'']), read_secs=None,
      offsets=block.offsets[kept],
      raw={new: raw[old] for new, old in enumerate(kept.tolist()) if old in raw} or None)


@dataclasses.dataclass
class WriteRejectsToKafka(beam.PTransform):
  """Sends refused events to a topic, one message each, as they came.

  The key is where the event stood, so that a compacted topic keeps one of those that a retried
  bundle sends again; headers tell reason, field, source, partition and offset.

  Args:
    servers, config: see ReadFromKafka.
    topic: exists already.
  Input: RefusedBlock.
  """
  servers: str
  topic: str
  config: Mapping[str, str] = dataclasses.field(default_factory=dict)

  def expand(self, refused: beam.PCollection) -> beam.PCollection:
    return refused | 'Send' >> beam.ParDo(_SendFn(self.servers, self.topic, self.config))


class _SendFn(beam.DoFn):

  def __init__(self, servers: str, topic: str, config: Mapping[str, str]) -> None:
    self._servers = servers
    self._topic = topic
    self._config = dict(config)
    self._sent = Metrics.counter('WriteRejectsToKafka', 'dead_letters_written')

  def setup(self) -> None:
    self._producer = kafkaclient.open_producer(self._servers, self._config)

  def start_bundle(self) -> None:
    self._failures: list[str] = []

  def process(self, block: RefusedBlock) -> None:
    for event in block.refused:
      origin = f'{event.source}/{event.partition}/{event.offset}'
      kafkaclient.send(self._producer, self._topic, origin.encode(), event.data, {
          'reason': event.reason, 'field': event.field, 'source': event.source,
          'partition': str(event.partition), 'offset': str(event.offset)}, self._failures)
      self._sent.inc()

  def finish_bundle(self) -> None:
    kafkaclient.flush(self._producer, self._topic, self._failures)
