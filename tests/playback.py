"""Plays a scenario through the main job's graph on any runner and reads the stores back."""
import collections
import dataclasses
import time
import uuid

import apache_beam as beam
import redis
from apache_beam.coders import PickleCoder
from apache_beam.io.unbounded_source import (
  CheckpointMark,
  ReadFromUnboundedSource,
  UnboundedReader,
  UnboundedSource,
)
from apache_beam.testing.test_stream import TestStream
from apache_beam.utils.timestamp import MAX_TIMESTAMP, MIN_TIMESTAMP, Timestamp
from scenarios import START, Scenario, as_line, outcome

from leaderboard.io.ledgerio import Ledger
from leaderboard.io.redisio import RedisBoards
from leaderboard.io.rejectsio import REJECTS, TOO_LATE
from leaderboard.pipelines import topk
from leaderboard.pipelines.jobs import TopKJob, parse
from leaderboard.transforms.blocks import EventBlock, OriginRange


def blocks_of(scenario: Scenario) -> list[tuple[EventBlock | None, int | None, float]]:
  """(block, watermark afterwards in epoch seconds, pause) of each step."""
  watermark, offset, played = None, 0, []
  for step in scenario.steps:
    block = None
    if step.events:
      data = b''.join(map(as_line, step.events))
      block = EventBlock(OriginRange(scenario.name, 0, offset, offset + len(data)), data,
                         watermark, START + scenario.read_secs)
      offset += len(data)
    if step.watermark is not None:
      watermark = START + step.watermark
    played.append((block, watermark, step.pause_secs))
  return played


@dataclasses.dataclass
class _Mark(CheckpointMark):
  """Steps done, and until when the source is silent: a runner may go on with another reader."""
  place: int = 0
  silent_until: float = 0.0


class ScenarioSource(UnboundedSource):
  """A finite endless source: one block a step."""

  def __init__(self, scenario: Scenario) -> None:
    self.steps = blocks_of(scenario)

  def split(self, desired_num_splits, options=None):
    return [self]

  def create_reader(self, options, checkpoint_mark):
    return _Reader(self.steps, checkpoint_mark or _Mark())

  def get_checkpoint_mark_coder(self):
    return PickleCoder()


class _Reader(UnboundedReader):

  def __init__(self, steps, mark):
    self._steps = steps
    self._place = mark.place
    self._silent_until = mark.silent_until

  def start(self):
    return self.advance()

  def advance(self):
    if time.time() < self._silent_until:
      time.sleep(0.05)   # a runner may ask in a busy loop
      return False
    if self._place == len(self._steps):
      self._place += 1   # the end is told once everything before it was seen
    if self._place > len(self._steps):
      return False
    self._block, _, pause_secs = self._steps[self._place]
    self._place += 1
    self._silent_until = time.time() + pause_secs
    return self._block is not None

  def get_current(self):
    return self._block

  def get_current_timestamp(self):
    return _timestamp(self._block.watermark_secs)

  def get_watermark(self):
    if self._place > len(self._steps):
      return MAX_TIMESTAMP
    return _timestamp(self._steps[self._place - 1][1]) if self._place else MIN_TIMESTAMP

  def get_checkpoint_mark(self):
    return _Mark(self._place, self._silent_until)


def _timestamp(epoch_secs):
  return MIN_TIMESTAMP if epoch_secs is None else Timestamp(epoch_secs)


def from_source(pipeline, scenario: Scenario) -> beam.PCollection:
  # One block a bundle: the watermark moves between all steps.
  return pipeline | 'Play' >> ReadFromUnboundedSource(
      ScenarioSource(scenario), poll_interval=0.1, max_records_per_bundle=1)


def from_test_stream(pipeline, scenario: Scenario) -> beam.PCollection:
  stream = TestStream()
  before = None
  for block, watermark, _ in blocks_of(scenario):
    if block is not None:
      stream.add_elements([beam.window.TimestampedValue(block, _timestamp(before))])
    if watermark is not None and watermark != before:
      stream.advance_watermark_to(watermark)
      before = watermark
  return pipeline | 'Play' >> stream.advance_watermark_to_infinity()


def job_for(scenario: Scenario, flags: list[str], folder) -> TopKJob:
  events = folder / 'unread.jsonl'   # the scenario plays instead
  events.write_bytes(b'{}\n')
  return parse([f'--input={events}', f'--windows={scenario.windows}', '--streaming',
                f'--allowed_lateness={scenario.lateness}s', f'--data_dir={folder}',
                *scenario.flags, *flags], 'test')


def start(scenario: Scenario, flags: list[str], folder, url: str, read=from_source):
  """Starts the graph of the main job behind the scenario's own source."""
  job = job_for(scenario, flags, folder)
  pipeline = beam.Pipeline(options=job.beam)
  stores = dataclasses.replace(job.stores, redis=url)
  topk.publish(read(pipeline, scenario), job, uuid.uuid4().hex, stores)
  return pipeline.run()


def play(scenario: Scenario, flags: list[str], folder, url: str, read=from_source) -> None:
  """Runs a scenario to its end."""
  start(scenario, flags, folder, url, read).wait_until_finish()


def stored_boards(url: str) -> dict[str, dict[tuple[str, str, int], collections.Counter[str]]]:
  """Every board in Redis: {size label: {board: {item: count}}}; its bounds are checked."""
  stored: dict = collections.defaultdict(dict)
  boards = RedisBoards(url)
  with redis.Redis.from_url(url, decode_responses=True) as client:
    for key in client.scan_iter('topk:*:board', count=10_000):
      family, start, _ = key.rsplit(':', 2)
      tag, size = family.rsplit(':', 1)
      tenant, event_type = tag[len('topk:{'):-1].split(':')
      record = boards.read_board(tenant, event_type, size, int(start))
      counts = collections.Counter({row.item: row.count for row in record.rows})
      assert all(row.count == row.upper for row in record.rows)
      assert record.events == record.total == counts.total()
      stored[size][tenant, event_type, int(start)] = counts
  boards.close()
  return dict(stored)


def check(scenario: Scenario, folder, url: str) -> None:
  """Asserts that the stores hold what the rules say, to the event and on every level."""
  expected = outcome(scenario)
  assert (len(expected.too_late), len(expected.rejected)) == (scenario.too_late, scenario.rejected)
  ledger = Ledger(str(folder))
  loads = ledger.loads()
  origins = [origin for load in loads.values() for origin in load.origins]
  assert sum(load.read for load in loads.values()) == len(scenario.events)
  for kind, events in ((TOO_LATE, expected.too_late), (REJECTS, expected.rejected)):
    refused = ledger.refused(kind, origins)
    found = refused['data'].to_pylist() if refused.num_rows else []
    assert sorted(found) == sorted(as_line(event).rstrip() for event in events), kind
  boards = stored_boards(url)
  set_apart = scenario.too_late + scenario.rejected
  for size in expected.boards:
    # First the totals: an event lost or doubled shows here by its number.
    counted = sum(counts.total() for counts in boards[size].values())
    assert counted + set_apart == len(scenario.events), size
    assert boards[size] == dict(expected.boards[size]), size
  assert boards.keys() == expected.boards.keys()


def published(scenario: Scenario, url: str) -> tuple[int, ...]:
  """Events of the first minute's board at each time it was published."""
  with redis.Redis.from_url(url, decode_responses=True) as client:
    changes = client.xrange('topk:{acme:play}:1m:changes')
  return tuple(int(change['events']) for _, change in changes if int(change['start']) == START)
