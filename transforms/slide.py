"""Sliding boards from the sums of their steps: of bounded input by blocks, of endless input by
windows."""
import bisect
import collections
import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam.transforms import window
from apache_beam.utils.timestamp import Timestamp

from leaderboard.transforms.boards import WindowSize
from leaderboard.transforms.columnar import sum_encoded
from leaderboard.transforms.countevents import BoardCell

_Step = tuple[int, bytes]   # start of a step (epoch seconds), its encoded summary


def slide(steps: Iterable[_Step], size: WindowSize, block: int) -> Iterator[_Step]:
  """The windows whose last step lies in one block, a stretch as long as a window: three merges a
  window, however many steps it has.

  Such a window is the end of the block before and the beginning of this one, so that sums from
  each step of the block before to its end, and from the start of this block on, make them all.
  Source: Gil & Werman 1993 (running sums by blocks, where nothing can be taken off again).

  Args:
    steps: those of this block and of the one before it, each start once.
    size: a sliding size.
    block: start of the block, epoch seconds.
  Yields:
    (start, encoded summary) of every window that is not empty.
  """
  ordered = sorted(steps)
  here = bisect.bisect_left(ordered, block, key=lambda step: step[0])
  beginnings = collections.deque(ordered[here:])
  ends: list[_Step] = []   # sums from a step to the end of the block before, the longest last
  for start, summary in reversed(ordered[:here]):
    ends.append((start, _sum([summary, *(later for _, later in ends[-1:])])))
  beginning: list[bytes] = []   # the sum of this block so far, if there is any
  content = b''
  for last in range(block, block + size.secs, size.period_secs):
    first = last - size.secs + size.period_secs
    before = len(ends), len(beginnings)
    while ends and ends[-1][0] < first:
      ends.pop()
    while beginnings and beginnings[0][0] <= last:
      beginning = [_sum([*beginning, beginnings.popleft()[1]])]
    if last == block or before != (len(ends), len(beginnings)):
      content = _sum([*(summary for _, summary in ends[-1:]), *beginning])
    if content:
      yield first, content


def _sum(parts: list[bytes]) -> bytes:
  return sum_encoded(parts) if len(parts) > 1 else b''.join(parts)


@dataclasses.dataclass
class SlideBlocks(beam.PTransform):
  """Sliding boards of bounded input.

  Args:
    size: a sliding size.
  Input: (BoardCell, encoded summary) of its steps, each once.
  Output: the same of every window that is not empty.
  """
  size: WindowSize

  def expand(self, steps: beam.PCollection) -> beam.PCollection:
    return (steps
            | 'Key' >> beam.FlatMap(_to_blocks, self.size).with_output_types(
                tuple[BoardCell, _Step])
            | 'Group' >> beam.GroupByKey()
            | 'Slide' >> beam.FlatMap(_windows, self.size).with_output_types(
                tuple[BoardCell, bytes]))


def _to_blocks(step: tuple[BoardCell, bytes], size: WindowSize
               ) -> Iterator[tuple[BoardCell, _Step]]:
  (tenant_id, event_type, start), summary = step
  block = start - start % size.secs
  for touched in (block, block + size.secs):
    yield (tenant_id, event_type, touched), (start, summary)


def _windows(group: tuple[BoardCell, Iterable[_Step]], size: WindowSize
             ) -> Iterator[tuple[BoardCell, bytes]]:
  (tenant_id, event_type, block), steps = group
  for start, summary in slide(steps, size, block):
    yield (tenant_id, event_type, start), summary


def to_windows(step: tuple[BoardCell, bytes], size: WindowSize) -> Iterator[Any]:
  """Hands a step's delta to each window that holds it: the key names the window, and the
  timestamp lies in its last step, so that this step's window, of fixed length, ends when it does.

  So one key has one window, where local runners take time quadratic in them, and no runner needs
  to know a window function that is not Beam's own.
  """
  (tenant_id, event_type, start), summary = step
  for window_start in size.starts(start):
    yield window.TimestampedValue(((tenant_id, event_type, window_start), summary),
                                  Timestamp(size.end(window_start)).predecessor())
