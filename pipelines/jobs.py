"""The main job: what its flags resolve to, checked before the graph is built."""
import dataclasses
import os
from collections.abc import Sequence
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from leaderboard.pipelines import runners
from leaderboard.pipelines.boardrules import BoardRules, resolve_boards
from leaderboard.pipelines.checks import (
  LOG_LEVELS,
  OFF,
  PREFLIGHT,
  Problems,
  UsageError,
  beam_options,
  one_of,
  refuse_shown_secrets,
  refuse_unknown,
  whole,
  writable,
)
from leaderboard.pipelines.options import (
  OWN_OPTIONS,
  BoardOptions,
  EventOptions,
  RunOptions,
  StoreOptions,
  StreamOptions,
)
from leaderboard.pipelines.preflight import Probe, failures
from leaderboard.pipelines.sources import Source, resolve_source
from leaderboard.pipelines.stores import Stores, resolve_stores
from leaderboard.pipelines.streams import Stream, resolve_stream
from leaderboard.transforms import events
from leaderboard.transforms.boards import parse_window_size
from leaderboard.transforms.counting import CountingRules

EPILOG = """\
examples:
  %(prog)s --input=events.jsonl --redis=embedded --postgres=embedded --parquet=data/parquet
  %(prog)s --input='gs://bucket/events/*.json.gz' --windows=1m,1h --redis=redis://cache:6379/0
  %(prog)s --input=day.parquet --item_path=song_play=metadata.song_id --postgres=postgresql://db/boards
  %(prog)s --kafka=kafka:9092 --topics=events --out_of_orderness=30s --allowed_lateness=1h \\
      --early=10s --redis=redis://cache:6379/0 --postgres=postgresql://db/boards
  %(prog)s --input='events-*.jsonl' --streaming --out_of_orderness=10m --allowed_lateness=2h \\
      --redis=embedded

Any option of Apache Beam may be given too, such as --runner=FlinkRunner or --streaming. Exit
codes: 0 done, 1 the job failed or its accounts do not agree, 2 the options are wrong or a store is
out of reach.
"""


@dataclasses.dataclass(frozen=True)
class TopKJob:
  """The main job's options, checked and resolved.

  Attributes:
    stream: None for bounded input.
  """
  source: Source
  stream: Stream | None
  rules: CountingRules
  boards: BoardRules
  generation: int
  stores: Stores
  report: str | None
  preflight: str
  log_level: str
  beam: PipelineOptions

  def probes(self) -> list[Probe]:
    """What is tried beside the stores."""
    return [*runners.probes(self.beam), *self.source.probes()]


def parse(argv: Sequence[str], prog: str) -> TopKJob:
  """Reads and checks the flags of the main job.

  Raises:
    UsageError: with every problem at once.
  """
  refuse_unknown(prog, EPILOG, 'Counts events per tenant, event type and window, ranks the top '
                 'items with proven bounds, and publishes the boards.', OWN_OPTIONS, argv)
  return _resolve(beam_options(argv))


def _resolve(beam: PipelineOptions) -> TopKJob:
  told, boards, streams, places, running = (beam.view_as(options) for options in (
      EventOptions, BoardOptions, StreamOptions, StoreOptions, RunOptions))
  standard = beam.view_as(StandardOptions)
  problems = Problems()
  source = resolve_source(problems, beam)
  wanted = resolve_boards(problems, boards, standard.streaming)
  generation = problems.check('--generation', whole, boards.generation, 0, 2**31 - 1)
  stream = resolve_stream(problems, streams, standard)
  stores = resolve_stores(problems, places)
  rules = resolve_rules(problems, told, wanted, bool(stores.parquet))
  check_running(problems, running)
  refuse_shown_secrets(problems, beam, redis=places.redis, postgres=places.postgres)
  runners.refuse_lossy(problems, beam)
  if problems.found or source is None:
    raise UsageError([*problems.found, *out_of_reach(beam, source, stores)])
  rules = dataclasses.replace(
      rules, max_future_secs=stream.max_future_secs, clamp_future=stream.clamp_future)
  return TopKJob(
      source=source, stream=stream if standard.streaming else None, rules=rules, boards=wanted,
      generation=generation, stores=stores, report=running.report, preflight=running.preflight,
      log_level=running.log_level, beam=beam)


def out_of_reach(beam: PipelineOptions, source: Source | None, stores: Stores) -> list[str]:
  """What a job whose options are wrong would not reach either, so that all is told at once."""
  if beam.view_as(RunOptions).preflight == OFF:
    return []
  return failures([
      *runners.probes(beam), *(source.probes() if source else ()), *stores.probes()])


def resolve_rules(problems: Problems, flags: Any, boards: BoardRules,
                  keep_events: bool) -> CountingRules:
  """What counts, by the event flags; what is wrong goes to `problems`."""
  max_bytes = problems.check('--max_event_bytes', whole, flags.max_event_bytes, 1, 1 << 30)
  paths = problems.check('--item_path', _item_paths, flags.item_path)
  known = problems.check('--timestamp_format', one_of, flags.timestamp_format,
                         events.TIMESTAMP_FORMATS)
  # Any base does where the sizes are wrong: that is told already.
  base = boards.windows[0] if boards.windows else parse_window_size('1m')
  return CountingRules(
      base=base, timestamp_format=known or 'epoch_ms',
      allowed_lateness_secs=boards.allowed_lateness_secs, max_event_bytes=max_bytes,
      item_paths=paths, parameters=boards.parameters, keep_events=keep_events)


def check_running(problems: Problems, running: Any) -> None:
  """Checks the flags of RunOptions."""
  if running.report:
    problems.check('--report', writable, os.path.dirname(os.path.abspath(running.report)))
  problems.check('--preflight', one_of, running.preflight, PREFLIGHT)
  problems.check('--log_level', one_of, running.log_level, LOG_LEVELS)


def _item_paths(text: str) -> dict[str, str]:
  paths = {}
  for part in filter(None, text.split(',')):
    event_type, equals, path = part.partition('=')
    if not (event_type and equals and path and all(path.split('.'))):
      raise ValueError(f'must be TYPE=PATH, such as song_play=metadata.song_id; got {part!r}')
    paths[event_type] = path
  return paths
