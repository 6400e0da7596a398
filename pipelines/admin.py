"""Looks after the stores: brings the schema up to date, tells their state, forgets jobs, prunes.

    python -m leaderboard.pipelines.admin status --postgres=postgresql://db/boards
"""
import argparse
import dataclasses
import sys
from collections.abc import Iterator, Sequence

from leaderboard.io import postgresio, redisio
from leaderboard.pipelines.checks import Parser, Problems, UsageError, utc
from leaderboard.pipelines.command import command
from leaderboard.pipelines.stores import Stores, add_store_flags, resolve_stores

PROG = 'python -m leaderboard.pipelines.admin'
EPILOG = """\
examples:
  %(prog)s migrate --postgres=postgresql://db/boards
  %(prog)s status --postgres=postgresql://db/boards --redis=redis://cache:6379/0
  %(prog)s forget old-job --postgres=postgresql://db/boards --redis=redis://cache:6379/0
  %(prog)s prune --postgres=postgresql://db/boards

migrate   brings the schema up to date, as every job does when it starts
status    tells schema, partitions, boards and how far each job has come
forget    takes the watermark of a job that is over out of the stores: what is final is told by the
          slowest job of all
prune     deletes boards older than `retention_days` of their event type (table event_types)

Exit codes: 0 done, 1 it failed, 2 the options are wrong or a store is out of reach.
"""
_FLAGS = ('redis', 'postgres', 'data_dir')


@dataclasses.dataclass
class Done:
  """What an action found or did: lines to print."""
  lines: list[str]
  balanced: bool = True


def parse(argv: Sequence[str]) -> tuple[str, str | None, Stores]:
  """Reads and checks the flags: action, name of a job, and stores.

  Raises:
    UsageError: with every problem at once.
  """
  parser = Parser(prog=PROG, epilog=EPILOG, allow_abbrev=False,
                  formatter_class=argparse.RawDescriptionHelpFormatter,
                  description='Looks after the stores.')
  parser.add_argument('action', choices=['migrate', 'status', 'forget', 'prune'])
  parser.add_argument('job', nargs='?', help='of forget: the name that status tells')
  add_store_flags(parser, _FLAGS)
  args = parser.parse_args(argv)
  problems = Problems()
  if args.action in ('migrate', 'prune') and not args.postgres:
    problems.found.append(f'--postgres: is required for {args.action}')
  elif not (args.redis or args.postgres):
    problems.found.append('--postgres: is required, or --redis')
  if (args.action == 'forget') != bool(args.job):
    problems.found.append(f'job: goes with forget; got {args.action} {args.job or "without it"}')
  args.parquet = None
  stores = resolve_stores(
      problems, args, () if args.action == 'migrate' else ('redis', 'postgres'),
      written=args.action == 'migrate')
  if problems.found:
    raise UsageError(problems.found)
  return args.action, args.job, stores


def run(argv: Sequence[str] | None = None) -> Done:
  """Does it and prints what was found.

  Raises:
    UsageError: the options are wrong, a store is out of reach, or knows no such job.
  """
  action, job, wanted = parse(sys.argv[1:] if argv is None else argv)
  with wanted.open() as stores:   # that migrates
    lines = list(_status(stores)) if action in ('migrate', 'status') else (
        _forget(stores, job or '') if action == 'forget' else _prune(stores.postgres or ''))
  print('\n'.join(lines))
  return Done(lines)


def _status(stores: Stores) -> Iterator[str]:
  if stores.postgres:
    with postgresio.connect(stores.postgres) as connection:
      (version,) = connection.execute('select max(version) from schema_version').fetchone() or (0,)
      months = [name for (name,) in connection.execute(
          "select relname from pg_class where relname ~ '^board_windows_[0-9]{4}_[0-9]{2}$' "
          "and relkind = 'r' order by relname")]
      yield f'postgres  schema {version}, {_listed(months)}'
      for size, boards, events, last in connection.execute(
          'select window_size, count(*), sum(events), '
          'extract(epoch from max(window_end))::bigint from board_windows '
          'group by window_size order by max(window_end - window_start), window_size'):
        yield f'  {size:<14}{boards:>11,} boards of {events:>14,} events, until {utc(last)}'
    boards = postgresio.PostgresBoards(stores.postgres)
    yield from _jobs(boards.watermarks())
    boards.close()
  if stores.redis:
    with redisio.connect(stores.redis, decode_responses=True) as client:
      keys = client.dbsize()
      used = client.info('memory')
      # Of a cluster every node answers.
      nodes = [used] if 'used_memory_human' in used else list(used.values())
      yield f'redis     {keys:,} keys in {", ".join(node["used_memory_human"] for node in nodes)}'
    live = redisio.RedisBoards(stores.redis)
    yield from _jobs(live.watermarks())
    live.close()


def _listed(months: list[str]) -> str:
  if not months:
    return 'no partition yet, or a hypertable'
  first, last = (name.removeprefix('board_windows_').replace('_', '-')
                 for name in (months[0], months[-1]))
  return f'{len(months)} monthly partitions from {first} to {last}'


def _jobs(watermarks: list[tuple[str, int, int]]) -> Iterator[str]:
  for job, watermark_secs, lateness_secs in watermarks:
    yield (f'  job {job}: watermark {utc(watermark_secs)}, final until '
           f'{utc(watermark_secs - lateness_secs)}')


def _forget(stores: Stores, job: str) -> list[str]:
  found = []
  if stores.postgres:
    with postgresio.connect(stores.postgres) as connection:
      if connection.execute('delete from job_state where job = %s', [job]).rowcount:
        found.append('postgres')
  if stores.redis:
    live = redisio.RedisBoards(stores.redis)
    if live.forget(job):
      found.append('redis')
    live.close()
  if not found:
    raise UsageError([f'job: no store knows {job!r}; status lists the jobs'])
  return [f'{job} is forgotten in {" and ".join(found)}']


def _prune(dsn: str) -> list[str]:
  with postgresio.connect(dsn) as connection:
    deleted = connection.execute(
        'delete from board_windows as boards using event_types as types '
        'where types.retention_days is not null and boards.tenant_id = types.tenant_id '
        'and boards.event_type = types.event_type '
        "and boards.window_end < now() - types.retention_days * interval '1 day'").rowcount
  return [f'{deleted:,} boards are deleted']


def main(argv: Sequence[str] | None = None) -> int:
  """The command line: exit codes as `--help` tells them."""
  return command('admin', run, argv)


if __name__ == '__main__':
  sys.exit(main())
