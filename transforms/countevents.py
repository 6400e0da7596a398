"""CountEvents: blocks of events in, columnar deltas out, and everything that was not counted."""
import collections
import concurrent.futures
import dataclasses
from collections.abc import Iterator
from typing import Any, NamedTuple

import apache_beam as beam
import pyarrow as pa
from apache_beam.metrics import Metrics
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from leaderboard.transforms import memory
from leaderboard.transforms.blockcoder import BlockCoder
from leaderboard.transforms.blocks import EventBlock, OriginRange
from leaderboard.transforms.counting import BlockCounter, CountedBlock, CountingRules
from leaderboard.transforms.events import Refused

# Two single-threaded queries use two cores better than one query with two threads.
_IN_FLIGHT = 2

BoardCell = tuple[str, str, int]   # tenant, event type, start of the base window (epoch seconds)


class Account(NamedTuple):
  """What a block held: `read` events, of which so many went to each board of the base window."""
  origin: OriginRange
  read: int
  counted: list[tuple[BoardCell, int]]


class RefusedBlock(NamedTuple):
  """The refused events of one block; none is news too, since it replaces an earlier attempt."""
  origin: OriginRange
  refused: list[Refused]


@dataclasses.dataclass
class KeptBlock:
  """The valid events of one block, decoded: what the archive keeps."""
  origin: OriginRange
  events: pa.Table


beam.coders.registry.register_coder(EventBlock, BlockCoder)
beam.coders.registry.register_coder(KeptBlock, BlockCoder)


@dataclasses.dataclass
class CountEvents(beam.PTransform):
  """Counts blocks of events per board of the base window.

  Args:
    rules: what counts.
  Input: EventBlock.
  Output: PCollections by tag: `deltas` (BoardCell, encoded summary) in the global window
    with the timestamp of the window's start; `accounts` Account; `rejects` and `too_late`
    RefusedBlock; `kept` KeptBlock (only with rules.keep_events).
  """
  rules: CountingRules

  def expand(self, blocks: beam.PCollection) -> Any:
    counted = blocks | 'Count' >> beam.ParDo(_CountFn(self.rules)).with_outputs(
        'accounts', 'rejects', 'too_late', 'kept', main='deltas')
    counted.deltas.element_type = tuple[BoardCell, bytes]
    counted.kept.element_type = KeptBlock
    return counted


class _CountFn(beam.DoFn):
  """Keeps two blocks in flight; what a block yields leaves when a later one arrives or the
  bundle ends, so nothing outlives its bundle."""

  def __init__(self, rules: CountingRules) -> None:
    self._rules = rules
    self._read = Metrics.counter('CountEvents', 'events_read')
    self._rejected = Metrics.counter('CountEvents', 'events_rejected')
    self._too_late = Metrics.counter('CountEvents', 'events_too_late')

  def setup(self) -> None:
    memory.keep_freed()
    self._counter = BlockCounter(self._rules)
    self._pool = concurrent.futures.ThreadPoolExecutor(_IN_FLIGHT)

  def start_bundle(self) -> None:
    # What a failed bundle left behind belongs to nobody.
    self._flying: collections.deque[concurrent.futures.Future[CountedBlock]] = collections.deque()

  def process(self, block: EventBlock) -> Iterator[Any]:
    if block.counted is not None:
      yield from self._outputs(block.counted)
      return
    self._flying.append(self._pool.submit(self._counter.count, block))
    while len(self._flying) > _IN_FLIGHT:
      yield from self._outputs(self._flying.popleft().result())

  def finish_bundle(self) -> Iterator[Any]:
    while self._flying:
      for output in self._outputs(self._flying.popleft().result()):
        if isinstance(output, beam.pvalue.TaggedOutput):
          yield beam.pvalue.TaggedOutput(output.tag, _in_global_window(output.value, 0))
        else:
          yield _in_global_window(output.value, output.timestamp)

  def teardown(self) -> None:
    self._pool.shutdown()
    self._counter.close()

  def _outputs(self, counted: CountedBlock) -> Iterator[Any]:
    self._read.inc(counted.read)
    self._rejected.inc(len(counted.rejects))
    self._too_late.inc(len(counted.too_late))
    origin = counted.origin
    cells = [((cell.tenant_id, cell.event_type, cell.start), cell) for cell in counted.cells]
    yield beam.pvalue.TaggedOutput('accounts', Account(
        origin, counted.read, [(board, cell.events) for board, cell in cells]))
    yield beam.pvalue.TaggedOutput('rejects', RefusedBlock(origin, counted.rejects))
    yield beam.pvalue.TaggedOutput('too_late', RefusedBlock(origin, counted.too_late))
    if counted.kept is not None:
      yield beam.pvalue.TaggedOutput('kept', KeptBlock(origin, counted.kept))
    for board, cell in cells:
      yield beam.window.TimestampedValue((board, cell.delta), cell.start)


def _in_global_window(value: Any, timestamp: Any) -> WindowedValue:
  return WindowedValue(value, timestamp, (GlobalWindow(),))
