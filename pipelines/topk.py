"""The main job: counts events, ranks the top K per tenant, event type and window, publishes.

    python -m leaderboard.pipelines.topk --input=events.jsonl --redis=embedded
"""
import contextlib
import sys
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import apache_beam as beam

from leaderboard.io import postgresio, redisio
from leaderboard.io.ledgerio import Ledger, WriteAccounts
from leaderboard.io.parquetio import WriteArchive
from leaderboard.io.rejectsio import REJECTS, TOO_LATE, WriteRejects
from leaderboard.pipelines import runners, show
from leaderboard.pipelines.checks import EMBEDDED, ONLY, write_report
from leaderboard.pipelines.command import command, hear
from leaderboard.pipelines.jobs import TopKJob, parse
from leaderboard.pipelines.preflight import print_tried
from leaderboard.pipelines.report import Progress, Report, Run, close_account, wrote_accounts
from leaderboard.pipelines.stores import Stores
from leaderboard.transforms.countevents import CountEvents
from leaderboard.transforms.finality import Finality
from leaderboard.transforms.hotkeys import SpreadHotKeys
from leaderboard.transforms.ranking import RankBoards
from leaderboard.transforms.windows import CascadeWindows

PROG = 'python -m leaderboard.pipelines.topk'
JOB = 'topk'   # the name under which the stores know the watermark


def build(pipeline: beam.Pipeline, job: TopKJob, run: str, stores: Stores) -> None:
  """The way of an event, from its source to the stores.

  Args:
    run: name under which this run's accounts are kept.
    stores: opened.
  """
  publish(job.source.read(pipeline, job.rules), job, run, stores)


def publish(blocks: beam.PCollection, job: TopKJob, run: str, stores: Stores) -> None:
  """The way of an event from its block on, the same for every source."""
  counted = blocks | 'CountEvents' >> CountEvents(job.rules)
  counted.accounts | 'WriteAccounts' >> WriteAccounts(
      stores.ledger, run, job.generation)
  job.source.return_rejects(counted.rejects)
  counted.rejects | 'WriteRejects' >> WriteRejects(stores.ledger, REJECTS)
  counted.too_late | 'WriteTooLate' >> WriteRejects(stores.ledger, TOO_LATE)
  if stores.parquet and job.rules.keep_events:
    counted.kept | 'WriteArchive' >> WriteArchive(stores.parquet)

  deltas, lateness_secs = counted.deltas, job.rules.allowed_lateness_secs
  if job.stream and job.stream.hot_key_shards:
    deltas = deltas | 'SpreadHotKeys' >> SpreadHotKeys(
        job.rules.base, job.rules.parameters, lateness_secs, job.stream.early_secs,
        job.stream.hot_key_shards, job.stream.hot_deltas)
  boards = deltas | 'CascadeWindows' >> CascadeWindows(
      job.boards.windows, job.rules.parameters, not job.stream, lateness_secs,
      job.stream and job.stream.early_secs)
  written = [
      stores.write(boards[size.label] | f'RankBoards{size.label}' >> RankBoards(
          size, job.boards.keep, job.generation, summaries=bool(stores.postgres)), size.label)
      for size in job.boards.windows]

  # Only a live job's watermark tells what is final: another load of files may always follow.
  # A Redis that may lack boards tells nothing as final; its repair does.
  if job.stream and stores.redis and not stores.skip_redis:
    ([ends['redis'] for ends in written] | 'InRedis' >> beam.Flatten()
     | 'FinalInRedis' >> Finality(job.rules.base.secs, lateness_secs)
     | 'TellRedis' >> redisio.PublishWatermarkToRedis(
         stores.redis, JOB, lateness_secs))
  if job.stream and stores.postgres:
    ([ends['postgres'] for ends in written] | 'InPostgres' >> beam.Flatten()
     | 'FinalInPostgres' >> Finality(job.rules.base.secs, lateness_secs)
     | 'TellPostgres' >> postgresio.PublishWatermarkToPostgres(
         stores.postgres, JOB, lateness_secs))


def run(argv: Sequence[str] | None = None) -> Report:
  """Runs the job to its end and reads its account back from the stores.

  Raises:
    UsageError: the options are wrong or a store is out of reach.
  """
  job = parse(sys.argv[1:] if argv is None else argv, PROG)
  hear(job.log_level)
  with opened(job) as stores:
    if job.preflight == ONLY:
      return tried(job)
    ledger = Ledger(stores.ledger)
    pipeline = beam.Pipeline(options=job.beam)
    run = Run(uuid.uuid4().hex, job.generation, job.source.names())
    build(pipeline, job, run.name, stores)
    with Progress(run.name, ledger, job.boards.windows):
      result = pipeline.run()
      result.wait_until_finish()
    with stores.readers() as readers:
      report = close_account(run, wrote_accounts(result), ledger, readers, job.boards.windows,
                             stores.parquet)
      print(report.as_text())
      if report.largest and readers:
        tenant_id, event_type, start = report.largest
        board = next(iter(readers.values())).read_board(
            tenant_id, event_type, job.boards.windows[-1].label, start)
        print('\n' + show.as_table(board, job.boards.ks[0]) + '\n')
  for line in job.stores.whereabouts(stores):
    print(line)
  if EMBEDDED in (job.stores.redis, job.stores.postgres):
    print(f'Read any board with: {show.PROG} --help')
  if job.report:
    write_report(job.report, report.as_json())
  return report


def launch(argv: Sequence[str] | None = None) -> Any:
  """Starts the job on a cluster and returns at once: what a template's launcher calls.

  Raises:
    UsageError: the options are wrong or a store is out of reach.
  """
  job = parse(sys.argv[1:] if argv is None else argv, PROG)
  return submit(job)


def submit(job: TopKJob) -> Any:
  """Starts a job that outlives this process; the runner's own handle, or None where the job was
  only tried."""
  runners.refuse_local(job.beam, job.stores, job.source)
  hear(job.log_level)
  with opened(job) as stores:
    if job.preflight == ONLY:
      tried(job)
      return None
    pipeline = beam.Pipeline(options=job.beam)
    build(pipeline, job, uuid.uuid4().hex, stores)
    return runners.start(pipeline)


@contextlib.contextmanager
def opened(job: TopKJob) -> Iterator[Stores]:
  """The stores of a job, once they and its source were tried.

  Raises:
    UsageError: with all that is out of reach.
  """
  with job.stores.open(job.preflight, job.probes()) as stores:
    yield stores


def tried(job: TopKJob) -> Report:
  """Says that everything is in reach; the report of a job that counted nothing."""
  print_tried([*job.probes(), *job.stores.probes()])
  return Report(0, 0, {}, 0, {}, 0, None, 0, 0.0)


def main(argv: Sequence[str] | None = None) -> int:
  """The command line: exit code 0, 1 when the job failed, 2 when it could not start."""
  return command('topk', run, argv)


if __name__ == '__main__':
  sys.exit(main())
