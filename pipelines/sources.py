"""Where events come from: each source says what it is and reads itself as blocks of events."""
import dataclasses
from typing import Any, Protocol

import apache_beam as beam

from leaderboard.io.archiveio import ReadArchive
from leaderboard.io.filesio import ReadBlocks, match_files
from leaderboard.io.replayio import ReplayFiles
from leaderboard.pipelines.checks import Problems, duration, whole
from leaderboard.transforms.counting import CountingRules


class Source(Protocol):
  """A source of events."""

  def read(self, pipeline: beam.Pipeline, rules: CountingRules) -> beam.PCollection:
    """The events as EventBlock."""


@dataclasses.dataclass(frozen=True)
class Files:
  """Files that are read to their end, in any order.

  Attributes:
    patterns: see ReadBlocks.
  """
  patterns: str

  def read(self, pipeline: beam.Pipeline, rules: CountingRules) -> beam.PCollection:
    return pipeline | 'ReadFiles' >> ReadBlocks(self.patterns)


@dataclasses.dataclass(frozen=True)
class Replay:
  """Files as an endless source; see ReplayFiles."""
  patterns: str
  out_of_orderness_secs: int
  block_bytes: int

  def read(self, pipeline: beam.Pipeline, rules: CountingRules) -> beam.PCollection:
    return pipeline | 'ReplayFiles' >> ReplayFiles(
        self.patterns, rules, self.out_of_orderness_secs, self.block_bytes)


@dataclasses.dataclass(frozen=True)
class Archive:
  """The archived events of [from, to), epoch seconds."""
  root: str
  from_secs: int
  to_secs: int

  def read(self, pipeline: beam.Pipeline, rules: CountingRules) -> beam.PCollection:
    return pipeline | 'ReadArchive' >> ReadArchive(self.root, self.from_secs, self.to_secs)


def resolve_files(problems: Problems, inputs: Any, streams: Any, streaming: bool) -> Source:
  """The source that --input names; what is wrong goes to `problems`."""
  problems.check('--input', _check_input, inputs.input)
  out_of_orderness = problems.check('--out_of_orderness', duration, streams.out_of_orderness)
  replay_bytes = problems.check('--replay_bytes', whole, streams.replay_bytes, 1, 1 << 30)
  if streaming:
    return Replay(inputs.input, out_of_orderness, replay_bytes)
  return Files(inputs.input)


def _check_input(patterns: str | None) -> None:
  if not patterns:
    raise ValueError('is required: the path or glob of the events to count')
  match_files(patterns)
