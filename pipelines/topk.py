"""The main job: counts events, ranks the top K per tenant, event type and window, publishes.

    python -m leaderboard.pipelines.topk --input=events.jsonl --redis=embedded
"""
import contextlib
import json
import logging
import pathlib
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import apache_beam as beam

from leaderboard.io import embedded, postgresio, redisio
from leaderboard.io.filesio import ReadBlocks
from leaderboard.io.ledgerio import Ledger, WriteAccounts
from leaderboard.io.parquetio import ParquetBoards, WriteArchive, WriteToParquet
from leaderboard.io.rejectsio import REJECTS, TOO_LATE, WriteRejects
from leaderboard.io.replayio import ReplayFiles
from leaderboard.pipelines import show
from leaderboard.pipelines.checks import EMBEDDED, UsageError
from leaderboard.pipelines.jobs import TopKJob, parse
from leaderboard.pipelines.report import Progress, Report, close_account
from leaderboard.transforms.countevents import CountEvents
from leaderboard.transforms.finality import Finality
from leaderboard.transforms.hotkeys import SpreadHotKeys
from leaderboard.transforms.ranking import RankBoards
from leaderboard.transforms.windows import CascadeWindows

_TERMINATED = 143   # 128 + SIGTERM, as shells tell it
PROG = 'python -m leaderboard.pipelines.topk'
JOB = 'topk'   # the name under which the stores know the watermark


def build(pipeline: beam.Pipeline, job: TopKJob, run: str, redis: str | None,
          postgres: str | None) -> None:
  """The way of an event, from its file to the stores.

  Args:
    run: name under which this run's accounts are kept.
    redis, postgres: where the servers are; None leaves a store out.
  """
  if job.stream:
    blocks = pipeline | 'ReplayFiles' >> ReplayFiles(
        job.input, job.rules, job.stream.out_of_orderness_secs, job.stream.replay_bytes)
  else:
    blocks = pipeline | 'ReadFiles' >> ReadBlocks(job.input)
  publish(blocks, job, run, redis, postgres)


def publish(blocks: beam.PCollection, job: TopKJob, run: str, redis: str | None,
            postgres: str | None) -> None:
  """The way of an event from its block on, the same for every source."""
  counted = blocks | 'CountEvents' >> CountEvents(job.rules)
  counted.accounts | 'WriteAccounts' >> WriteAccounts(
      job.ledger, run, job.generation)
  counted.rejects | 'WriteRejects' >> WriteRejects(job.ledger, REJECTS)
  counted.too_late | 'WriteTooLate' >> WriteRejects(job.ledger, TOO_LATE)
  if job.parquet:
    counted.kept | 'WriteArchive' >> WriteArchive(job.parquet)

  deltas, lateness_secs = counted.deltas, job.rules.allowed_lateness_secs
  if job.stream and job.stream.hot_key_shards:
    deltas = deltas | 'SpreadHotKeys' >> SpreadHotKeys(
        job.rules.base, job.rules.parameters, lateness_secs, job.stream.early_secs,
        job.stream.hot_key_shards, job.stream.hot_deltas)
  boards = deltas | 'CascadeWindows' >> CascadeWindows(
      job.windows, job.rules.parameters, not job.stream, lateness_secs,
      job.stream and job.stream.early_secs)
  written = [
      write_boards(boards[size.label] | f'RankBoards{size.label}' >> RankBoards(
          size, job.keep, job.generation), size.label, redis, postgres, job.parquet)
      for size in job.windows]

  # Only a live job's watermark tells what is final: another load of files may always follow.
  if job.stream and redis:
    ([ends['redis'] for ends in written] | 'InRedis' >> beam.Flatten()
     | 'FinalInRedis' >> Finality(job.rules.base.secs, lateness_secs)
     | 'TellRedis' >> redisio.PublishWatermarkToRedis(redis, JOB, lateness_secs))
  if job.stream and postgres:
    ([ends['postgres'] for ends in written] | 'InPostgres' >> beam.Flatten()
     | 'FinalInPostgres' >> Finality(job.rules.base.secs, lateness_secs)
     | 'TellPostgres' >> postgresio.PublishWatermarkToPostgres(postgres, JOB, lateness_secs))


def write_boards(records: beam.PCollection, label: str, redis: str | None, postgres: str | None,
                 parquet: str | None) -> dict[str, beam.PCollection]:
  """Writes the boards of one window size; None leaves a store out.

  Returns:
    Of Redis and PostgreSQL the window ends (epoch seconds) that are written.
  """
  written = {}
  if redis:
    written['redis'] = records | f'WriteToRedis{label}' >> redisio.WriteToRedis(redis)
  if postgres:
    written['postgres'] = records | f'WriteToPostgres{label}' >> postgresio.WriteToPostgres(
        postgres)
  if parquet:
    records | f'WriteToParquet{label}' >> WriteToParquet(parquet)
  return written


def run(argv: Sequence[str] | None = None) -> Report:
  """Runs the job to its end and reads its account back from the stores.

  Raises:
    UsageError: the options are wrong or a store is out of reach.
  """
  job = parse(sys.argv[1:] if argv is None else argv, PROG)
  logging.basicConfig()
  logging.getLogger().setLevel(job.log_level)
  name = uuid.uuid4().hex
  started = time.monotonic()
  with servers(job.redis, job.postgres, job.data_dir) as (redis, postgres):
    ledger = Ledger(job.ledger)
    pipeline = beam.Pipeline(options=job.beam)
    build(pipeline, job, name, redis, postgres)
    with Progress(name, ledger):
      pipeline.run().wait_until_finish()
    with readers(redis, postgres, job.parquet) as stores:
      report = close_account(name, ledger, stores, job.windows, job.generation, job.parquet,
                             time.monotonic() - started)
      print(report.as_text())
      if report.largest and stores:
        tenant_id, event_type, start = report.largest
        board = next(iter(stores.values())).read_board(
            tenant_id, event_type, job.windows[-1].label, start)
        print('\n' + show.as_table(board, job.ks[0]) + '\n')
  for line in _whereabouts(job, redis, postgres):
    print(line)
  if job.report:
    with open(job.report, 'w', encoding='utf-8') as file:
      json.dump(report.as_json(), file, indent=2)
  return report


@contextlib.contextmanager
def readers(redis: str | None, postgres: str | None, parquet: str | None
            ) -> Iterator[dict[str, Any]]:
  """The stores that a job wrote to, by name, to be read."""
  with contextlib.ExitStack() as stack:
    stores: dict[str, Any] = {}
    if redis:
      stores['redis'] = stack.enter_context(contextlib.closing(redisio.RedisBoards(redis)))
    if postgres:
      stores['postgres'] = stack.enter_context(
          contextlib.closing(postgresio.PostgresBoards(postgres)))
    if parquet:
      stores['parquet'] = ParquetBoards(parquet)
    yield stores


def _whereabouts(job: TopKJob, redis: str | None, postgres: str | None) -> Iterator[str]:
  """Says where the boards are."""
  for name, option, url in (('redis', job.redis, redis), ('postgres', job.postgres, postgres)):
    if option == EMBEDDED:
      yield f'{name:<10}{job.data_dir / name} (embedded: it runs while it is asked)'
    elif url:
      yield f'{name:<10}{(redisio if name == "redis" else postgresio).shown(url)}'
  if job.parquet:
    yield f'parquet   {job.parquet}'
  yield f'rejects   {job.ledger}'
  if EMBEDDED in (job.redis, job.postgres):
    yield f'Read any board with: {show.PROG} --help'


@contextlib.contextmanager
def servers(redis: str | None, postgres: str | None, data_dir: pathlib.Path
            ) -> Iterator[tuple[str | None, str | None]]:
  """Starts the embedded servers that were asked for and tries the others.

  Yields:
    Where Redis and PostgreSQL are.
  """
  with contextlib.ExitStack() as stack:
    problems = []
    try:
      if redis == EMBEDDED:
        redis = stack.enter_context(embedded.start_redis(data_dir)).url
      elif redis:
        redisio.check(redis)
    except (embedded.EmbeddedServerError, redisio.RedisUnavailable) as error:
      problems.append(f'--redis: {error}')
    try:
      if postgres == EMBEDDED:
        postgres = stack.enter_context(embedded.start_postgres(data_dir)).url
      elif postgres:
        postgresio.check(postgres)
    except (embedded.EmbeddedServerError, postgresio.PostgresUnavailable) as error:
      problems.append(f'--postgres: {error}')
    if problems:
      raise UsageError(problems)
    if postgres:
      postgresio.migrate(postgres)
    yield redis, postgres


def main(argv: Sequence[str] | None = None) -> int:
  """The command line: exit code 0, 1 when the job failed, 2 when it could not start."""
  return command('topk', run, argv)


def command(name: str, job: Callable[[Sequence[str] | None], Any],
            argv: Sequence[str] | None) -> int:
  """Runs a job whose report says whether it is `balanced`; returns the exit code."""
  stopping = threading.Event()

  def stop(*_: object) -> None:
    stopping.set()
    sys.exit(_TERMINATED)

  with contextlib.suppress(ValueError):   # signals belong to the main thread
    signal.signal(signal.SIGTERM, stop)
  try:
    report = job(argv)
  except UsageError as error:
    for problem in error.problems:
      print(f'{name}: {problem}', file=sys.stderr)
    return 2
  except KeyboardInterrupt:
    return 130
  except Exception as error:
    if stopping.is_set():   # the runner wraps the exit of the signal
      print(f'{name}: stopped by SIGTERM; run it again to finish', file=sys.stderr)
      return _TERMINATED
    print(f'{name}: the job failed: {_first_cause(error)}', file=sys.stderr)
    return 1
  return 0 if report.balanced else 1


def _first_cause(error: BaseException) -> str:
  """What went wrong, in one line, without the layers of the runner around it."""
  while cause := error.__cause__ or (not error.__suppress_context__ and error.__context__):
    error = cause
  return ' '.join(str(error).split()) or type(error).__name__


if __name__ == '__main__':
  sys.exit(main())
