"""Replays files as an endless source does: in order, in small blocks, with a watermark.

What a live stream would have made of the same events: boards appear early, late events refine
them, and what comes too late is set apart. A replay ends when its files do, unless it watches for
new ones.
"""
import dataclasses
import hashlib
import itertools
import math
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.coders import Coder, PickleCoder
from apache_beam.io.unbounded_source import CheckpointMark, UnboundedReader, UnboundedSource
from apache_beam.utils.timestamp import MAX_TIMESTAMP, MIN_TIMESTAMP, Timestamp

from leaderboard.io import filesio
from leaderboard.io.endlessio import ReadEndless
from leaderboard.transforms.blocks import EventBlock
from leaderboard.transforms.counting import BlockCounter, CountingRules

REPLAY_BYTES = 1 << 20
# Short bundles: the watermark, and a checkpoint, wait for the end of one.
_BUNDLE_BLOCKS = 20
_BUNDLE_SECS = 1.0
_POLL_SECS = 0.2


@dataclasses.dataclass
class ReplayFiles(beam.PTransform):
  """Reads files in the order of their paths, each from its start, as an endless source.

  The watermark stays `out_of_orderness_secs` behind the newest event read, and never runs
  ahead of the clock. There is one reader, so that order holds.

  Args:
    patterns: comma-separated paths and globs.
    rules: how an event tells its time.
    out_of_orderness_secs: how far behind the newest event another may follow on time.
    block_bytes: size of a block, the step in which the watermark moves.
    watch_secs: looks for new files so often, and never ends; None for not at all. A file is taken
      when two looks found the same size and time of it, once, by its path; files that are found
      together are read in order of time. A checkpoint holds 8 bytes for each file ever taken.
  Input: the pipeline.  Output: EventBlock, unbounded.
  """
  patterns: str
  rules: CountingRules
  out_of_orderness_secs: int = 0
  block_bytes: int = REPLAY_BYTES
  watch_secs: int | None = None

  def expand(self, pipeline: Any) -> beam.PCollection:
    # Those that are there are listed once, so that every reader begins alike.
    files = [] if self.watch_secs else filesio.match_files(self.patterns)
    source = _Replay(files, self.rules, self.out_of_orderness_secs, self.block_bytes,
                     self.patterns, self.watch_secs)
    return pipeline | 'Read' >> ReadEndless(source, False, _POLL_SECS, _BUNDLE_BLOCKS, _BUNDLE_SECS)


class _Place(NamedTuple):
  """How far a replay has come.

  Attributes:
    files: still to be read, the first of them in part.
    blocks: done of the first.
    watermark_secs: epoch seconds; None before the first event.
    taken: digests of all paths that were ever taken, where new ones are watched for.
  """
  files: tuple[filesio.InputFile, ...]
  blocks: int
  watermark_secs: int | None
  taken: frozenset[bytes] = frozenset()


class _Mark(CheckpointMark):

  def __init__(self, place: _Place) -> None:
    self.place = place


class _Replay(UnboundedSource):

  def __init__(self, files: list[filesio.InputFile], rules: CountingRules,
               out_of_orderness_secs: int, block_bytes: int, patterns: str = '',
               watch_secs: int | None = None) -> None:
    self.files = files
    self.patterns = patterns
    self.watch_secs = watch_secs
    self.rules = rules
    self.out_of_orderness_secs = out_of_orderness_secs
    self.block_bytes = block_bytes

  def split(self, desired_num_splits: int, options: Any = None) -> list['_Replay']:
    return [self]

  def create_reader(self, options: Any, checkpoint_mark: _Mark | None) -> '_Reader':
    return _Reader(self, checkpoint_mark.place if checkpoint_mark else _Place(
        tuple(self.files), 0, None))

  def get_checkpoint_mark_coder(self) -> Coder:
    return PickleCoder()


class _Reader(UnboundedReader):

  def __init__(self, replay: _Replay, place: _Place) -> None:
    self._replay = replay
    self._place = place
    self._blocks = self._rest(place)
    self._looked = -math.inf
    self._seen: dict[str, filesio.FoundFile] = {}
    self._counter = BlockCounter(replay.rules)
    self._ended = False

  def _rest(self, place: _Place) -> Iterator[tuple[tuple[filesio.InputFile, ...], int, EventBlock]]:
    """The blocks after a place, each with the files from its own on and its number."""
    for number, file in enumerate(place.files):
      done = 0 if number else place.blocks
      blocks = _blocks_of(file, self._replay.block_bytes)
      for count, block in enumerate(itertools.islice(blocks, done, None), done + 1):
        yield place.files[number:], count, block

  def _watch(self) -> None:
    """Takes the new files that have stopped growing."""
    assert self._replay.watch_secs
    if time.monotonic() < self._looked + self._replay.watch_secs:
      return
    found = {file.path: file for file in filesio.find_files(self._replay.patterns)
             if _digest(file.path) not in self._place.taken}
    ripe = sorted((file for file in found.values() if self._seen.get(file.path) == file),
                  key=lambda file: (file.written_secs, file.path))
    self._looked, self._seen = time.monotonic(), found
    if ripe:
      self._place = _Place(tuple(filesio.InputFile(file.path, file.size) for file in ripe), 0,
                           self._place.watermark_secs,
                           self._place.taken | {_digest(file.path) for file in ripe})
      self._blocks = self._rest(self._place)

  def start(self) -> bool:
    return self.advance()

  def advance(self) -> bool:
    following = next(self._blocks, None)
    if following is None and self._replay.watch_secs:
      self._place = self._place._replace(files=(), blocks=0)
      self._watch()
      following = next(self._blocks, None)
    if following is None:
      self._ended = not self._replay.watch_secs
      return False
    files, blocks, block = following
    block.watermark_secs = self._place.watermark_secs
    block.read_secs = int(time.time())
    self._current = block
    self._place = self._place._replace(
        files=files, blocks=blocks, watermark_secs=self._watermark_after(block))
    return True

  def _watermark_after(self, block: EventBlock) -> int | None:
    latest = self._counter.latest_secs(block)
    known = [] if block.watermark_secs is None else [block.watermark_secs]
    if latest is not None:
      known.append(latest - self._replay.out_of_orderness_secs)
    return max(known, default=None)

  def get_current(self) -> EventBlock:
    return self._current

  def get_current_timestamp(self) -> Timestamp:
    # Never behind the watermark, or a runner could take the block for late data.
    return _timestamp(self._current.watermark_secs)

  def get_watermark(self) -> Timestamp:
    return MAX_TIMESTAMP if self._ended else _timestamp(self._place.watermark_secs)

  def get_checkpoint_mark(self) -> _Mark:
    return _Mark(self._place)

  def close(self) -> None:
    self._counter.close()


def _digest(path: str) -> bytes:
  return hashlib.sha256(path.encode()).digest()[:8]


def _timestamp(epoch_secs: int | None) -> Timestamp:
  return MIN_TIMESTAMP if epoch_secs is None else Timestamp(epoch_secs)


def _blocks_of(file: filesio.InputFile, block_bytes: int) -> Iterator[EventBlock]:
  return itertools.chain.from_iterable(
      filesio.read_range(part, block_bytes) for part in filesio.ranges_of(file, block_bytes))
