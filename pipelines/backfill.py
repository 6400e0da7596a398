"""Recomputes the boards of a time that is over from archive or Kafka, beside a live job.

    python -m leaderboard.pipelines.backfill --archive=data/parquet --from=2013-07-01 \\
        --to=2013-07-08 --redis=redis://cache:6379/0 --postgres=postgresql://db/boards

The boards get the next generation, so they replace those that are there, whatever they hold.
"""
import dataclasses
import sys
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from leaderboard.io.filesio import local_path
from leaderboard.io.ledgerio import Ledger
from leaderboard.pipelines import topk
from leaderboard.pipelines.boardrules import resolve_boards
from leaderboard.pipelines.checks import (
    OFF,
    ONLY,
    Problems,
    UsageError,
    beam_options,
    moment,
    refuse_shown_secrets,
    refuse_unknown,
    utc,
    whole,
    write_report,
)
from leaderboard.pipelines.command import command, hear
from leaderboard.pipelines.jobs import TopKJob, check_running, out_of_reach, resolve_rules
from leaderboard.pipelines.options import (
    BackfillOptions,
    BoardOptions,
    EventOptions,
    KafkaOptions,
    RunOptions,
    StoreOptions,
)
from leaderboard.pipelines.report import Progress, Report, Run, run_account, wrote_accounts
from leaderboard.pipelines.sources import (
    Archive,
    KafkaRange,
    Source,
    read_kafka_config,
    resolve_topics,
)
from leaderboard.pipelines.stores import resolve_stores
from leaderboard.transforms.boards import WindowSize

PROG = 'python -m leaderboard.pipelines.backfill'
EPILOG = """\
examples:
  %(prog)s --archive=data/parquet --from=2013-07-01 --to=2013-07-08 --postgres=embedded
  %(prog)s --archive=gs://bucket/boards --from=2013-07-01 --to=2013-08-01 --windows=1h,1d,1mo \\
      --redis=redis://cache:6379/0 --postgres=postgresql://db/boards --rejects=gs://bucket/boards
  %(prog)s --kafka=kafka:9092 --topics=events --from=2013-07-01 --to=2013-07-02 --postgres=...

Both moments must be ends of windows of every size, and behind what the live job may still change.
Give the window sizes and the ledger (--rejects) of the live job. Exit codes: 0 done, 1 the job
failed or its accounts do not agree, 2 the options are wrong or a store is out of reach.
"""
OPTIONS = (BackfillOptions, KafkaOptions, EventOptions, BoardOptions, StoreOptions, RunOptions)


@dataclasses.dataclass(frozen=True)
class Backfill:
  """The options, checked and resolved.

  Attributes:
    from_secs, to_secs: the windows of [from, to), epoch seconds.
    generation: None for the next.
    job: like the main job, of archived events.
  """
  from_secs: int
  to_secs: int
  generation: int | None
  job: TopKJob


def parse(argv: Sequence[str]) -> Backfill:
  """Reads and checks the flags.

  Raises:
    UsageError: with every problem at once.
  """
  refuse_unknown(PROG, EPILOG, 'Recomputes boards into the next generation.',
                 OPTIONS, argv)
  return _resolve(beam_options(argv))


def _resolve(options: PipelineOptions) -> Backfill:
  wanted, kafka, told, flags, places, running = (options.view_as(one) for one in OPTIONS)
  problems = Problems()
  boards = resolve_boards(problems, flags, streaming=False)
  if options.view_as(StandardOptions).streaming:
    problems.found.append('--streaming: a backfill ends; leave it out')
  from_secs, to_secs = (
      _boundary(problems, flag, text, boards.windows, flags.time_zone) if boards.windows else None
      for flag, text in (('--from', wanted.from_moment), ('--to', wanted.to_moment)))
  if from_secs is not None and to_secs is not None and to_secs <= from_secs:
    problems.found.append(f'--to: must be later than --from={wanted.from_moment}; got '
                          f'{wanted.to_moment}')
  generation = problems.check('--generation', whole, flags.generation, 0, 2**31 - 1)
  stores = resolve_stores(problems, places)
  rules = resolve_rules(problems, told, boards, keep_events=False)
  archive = wanted.archive or (None if kafka.kafka else stores.parquet)
  source: Source | None = None
  if wanted.archive and kafka.kafka:
    problems.found.append(f'--archive: one source at a time; got --kafka={kafka.kafka} too')
  elif not archive and not kafka.kafka:
    problems.found.append('--archive: is required: the --parquet folder of the job that archived '
                          'the events (or --kafka)')
  elif from_secs is not None and to_secs is not None and from_secs < to_secs:
    if kafka.kafka:
      source = KafkaRange(kafka.kafka, resolve_topics(problems, kafka), from_secs, to_secs,
                          read_kafka_config(problems, kafka))
    elif archive:
      source = Archive(local_path(archive), from_secs, to_secs)
  check_running(problems, running)
  refuse_shown_secrets(problems, options, redis=places.redis, postgres=places.postgres)
  if problems.found or source is None or from_secs is None or to_secs is None:
    raise UsageError([*problems.found, *out_of_reach(options, source, stores)])
  job = TopKJob(
      source=source, stream=None, rules=rules,
      boards=boards, generation=0, stores=stores, report=running.report,
      preflight=running.preflight, log_level=running.log_level, beam=options)
  return Backfill(from_secs, to_secs, generation or None, job)


def _boundary(problems: Problems, flag: str, text: str | None, sizes: Sequence[WindowSize],
              zone: str) -> int | None:
  """Epoch seconds of a moment at which a window of every size ends and another starts."""
  if not text:
    problems.found.append(f'{flag}: is required: a date or time such as 2013-07-01')
    return None
  secs: int | None = problems.check(flag, moment, text, zone)
  if secs is None:
    return None
  for size in sizes:
    if size.period_secs:
      problems.found.append(f'--sliding: a sliding window reaches beyond --from and --to; leave '
                            f'{size.label} out and make it with {_ROLL_UP}')
      return None
    if size.start(secs) != secs:
      problems.found.append(f'{flag}: must be a start of a window of {size.label}, such as '
                            f'{utc(size.start(secs))}; got {text}')
      return None
  return secs


_ROLL_UP = 'python -m leaderboard.pipelines.rollup'


def run(argv: Sequence[str] | None = None) -> Report:
  """Recomputes the boards and reads their account back from the stores.

  Raises:
    UsageError: the options are wrong, a store is out of reach, or the live job may still change
      a board of this time.
  """
  wanted = parse(sys.argv[1:] if argv is None else argv)
  job = wanted.job
  hear(job.log_level)
  if job.preflight == ONLY:
    with topk.opened(job):
      return topk.tried(job)
  with topk.opened(job) as stores, stores.readers() as readers:
    ledger = Ledger(stores.ledger)
    _refuse_open_windows(readers, wanted.to_secs)
    job = dataclasses.replace(job, generation=wanted.generation or _next_generation(ledger))
    pipeline = beam.Pipeline(options=job.beam)
    run = Run(uuid.uuid4().hex, job.generation, job.source.names())
    topk.build(pipeline, job, run.name, stores)
    with Progress(run.name, ledger, job.boards.windows):
      result = pipeline.run()
      result.wait_until_finish()
    report = run_account(run, wrote_accounts(result), ledger, readers, job.boards.windows)
  print(f'generation {job.generation}: boards from {utc(wanted.from_secs)} to '
        f'{utc(wanted.to_secs)}')
  print(report.as_text())
  if job.report:
    write_report(job.report, report.as_json())
  return report


def launch(argv: Sequence[str] | None = None) -> Any:
  """Starts the backfill on a cluster and returns at once: what a template's launcher calls.

  Raises:
    UsageError: as `run`.
  """
  wanted = parse(sys.argv[1:] if argv is None else argv)
  job = wanted.job
  if job.preflight == ONLY:
    return topk.submit(job)
  if job.preflight != OFF:
    with topk.opened(job) as stores, stores.readers() as readers:
      _refuse_open_windows(readers, wanted.to_secs)
  generation = wanted.generation or _next_generation(Ledger(job.stores.ledger))
  return topk.submit(dataclasses.replace(job, generation=generation))


def _refuse_open_windows(readers: Mapping[str, Any], to_secs: int) -> None:
  """Sees that no live job changes a board that ends by then.

  Raises:
    UsageError: a store's live watermark has not passed it.
  """
  problems = []
  for name, store in readers.items():
    until = store.final_until() if hasattr(store, 'final_until') else None
    if until is not None and until < to_secs:
      problems.append(f'--to: the live job may still change boards in {name} that end after '
                      f'{utc(until)}; got {utc(to_secs)}: name an earlier moment or wait')
  if problems:
    raise UsageError(problems)


def _next_generation(ledger: Ledger) -> int:
  return 1 + max((load.generation for load in ledger.loads().values()), default=0)


def main(argv: Sequence[str] | None = None) -> int:
  """The command line: exit codes as `--help` tells them."""
  return command('backfill', run, argv)


if __name__ == '__main__':
  sys.exit(main())
