"""The stores of a job: the flags that name them, checked, and the stores themselves, opened."""
import argparse
import contextlib
import dataclasses
import functools
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems

from leaderboard.io import embedded, filesio, postgresio, redisio
from leaderboard.io.disks import DiskFull, full_disk
from leaderboard.io.parquetio import ParquetBoards, WriteToParquet
from leaderboard.io.rejectsio import REJECTS
from leaderboard.pipelines.checks import (
    EMBEDDED,
    OFF,
    ON,
    ONLY,
    Problems,
    UsageError,
    one_of,
    writable,
)
from leaderboard.pipelines.preflight import Probe, failures
from leaderboard.transforms.boards import parse_secs

FAIL, SKIP = 'fail', 'skip'
_FLAGS: dict[str, dict[str, str]] = {
    'redis': {
        'metavar': 'URL',
        'help': 'real-time boards: redis://[user:password@]host:port/db, with TLS rediss://..., '
        'a cluster redis+cluster://..., `embedded` for a server of its own under --data_dir, or '
        'a reference to the URL: env:NAME, file:PATH or secret://projects/P/secrets/NAME'},
    'redis_ttl': {
        'metavar': 'SIZE=DURATION,...', 'default': '',
        'help': 'how long a board of a size stays in Redis after its last write (default: for '
        'ever). Example: 1m=2h,5m=6h,1h=7d'},
    'on_redis_failure': {
        'metavar': 'POLICY', 'default': FAIL,
        'help': 'what a Redis that stays away does to the job: fail (default), so that the runner '
        'tries again, or skip: the other stores go on, Redis tells nothing as final, and '
        'topk-repair mends it from --postgres'},
    'postgres': {
        'metavar': 'DSN',
        'help': 'board history: postgresql://user:password@host:port/db, `embedded`, or a '
        'reference as of --redis'},
    'parquet': {
        'metavar': 'PATH',
        'help': 'raw events and board snapshots under this folder of any Beam file system'},
    'rejects': {
        'metavar': 'PATH',
        'help': 'folder for rejects/, too_late/ and accounts/ (default: --parquet, else '
        '--data_dir)'},
    'data_dir': {
        'metavar': 'DIR', 'default': 'data',
        'help': 'where embedded servers keep their data for the next run (default data)'},
}
READ = ('redis', 'postgres', 'parquet', 'data_dir')
WRITTEN = (*READ, 'redis_ttl')
ALL = (*WRITTEN, 'on_redis_failure', 'rejects')
ACCOUNTED = (*READ, 'rejects')


@dataclasses.dataclass(frozen=True)
class Stores:
  """Where boards, and what is kept beside them, go.

  Attributes:
    redis, postgres: None, `embedded`, or where the server is.
    parquet: folder of raw events and snapshots, or None.
    ledger: folder of rejects/, too_late/ and accounts/.
    data_dir: of embedded servers.
    redis_ttl_secs: window size -> seconds that a board stays in Redis.
    skip_redis: see WriteToRedis.
    folders: (flag, folder) of all that is written to.
  """
  redis: str | None
  postgres: str | None
  parquet: str | None
  ledger: str
  data_dir: pathlib.Path
  redis_ttl_secs: Mapping[str, int] = dataclasses.field(default_factory=dict)
  skip_redis: bool = False
  folders: tuple[tuple[str, str], ...] = ()

  def probes(self) -> list[Probe]:
    """The servers and folders to be tried, of which none is started or made."""
    servers = [
        Probe(f'--{name}', self._place(name, url, shown(url)),
              functools.partial(embedded.check_installed, name) if url == EMBEDDED
              else functools.partial(check, url))
        for name, url, shown, check in (
            ('redis', self.redis, redisio.shown, redisio.check),
            ('postgres', self.postgres, postgresio.shown, postgresio.check))
        if url]
    return servers + [Probe(flag, folder, functools.partial(writable, folder))
                      for flag, folder in self.folders]

  @contextlib.contextmanager
  def open(self, preflight: str = ON, others: Sequence[Probe] = ()) -> Iterator['Stores']:
    """Tries the stores, starts the embedded servers that were asked for, and brings the schema of
    PostgreSQL up to date.

    Args:
      preflight: `only` starts and changes nothing, `off` tries nothing and leaves the schema of a
        server of others alone.
      others: is tried at the same time.

    Yields:
      These stores, with the URLs of their servers.

    Raises:
      UsageError: a server is out of reach.
    """
    with contextlib.ExitStack() as stack:
      problems = [] if preflight == OFF else failures([*others, *self.probes()])
      if preflight == ONLY and not problems:
        yield self
        return
      if problems:
        raise UsageError(problems)
      redis, postgres = self.redis, self.postgres
      try:
        if redis == EMBEDDED:
          redis = stack.enter_context(embedded.start_redis(self.data_dir)).url
      except embedded.EmbeddedServerError as error:
        problems.append(f'--redis: {error}')
      try:
        if postgres == EMBEDDED:
          postgres = stack.enter_context(embedded.start_postgres(self.data_dir)).url
      except embedded.EmbeddedServerError as error:
        problems.append(f'--postgres: {error}')
      if problems:
        raise UsageError(problems)
      try:
        if postgres and (preflight == ON or self.postgres == EMBEDDED):
          postgresio.migrate(postgres)
        yield dataclasses.replace(self, redis=redis, postgres=postgres)
      except Exception as error:
        if full := full_disk(error):
          raise DiskFull(full.reason, self._flagged(full.place)) from None
        raise

  def _flagged(self, place: str) -> str:
    """A place with the flag that names it."""
    for name, option in (('redis', self.redis), ('postgres', self.postgres)):
      if place.startswith(f'the disk of {embedded.NAMES[name]} '):
        return f'--data_dir: {self.data_dir / name}' if option == EMBEDDED else f'--{name}: {place}'
    # The longest: one may lie in another.
    for flag, folder in sorted(self.folders, key=lambda named: -len(named[1])):
      if place.startswith(folder):
        return f'{flag}: {place}'
    return place

  @contextlib.contextmanager
  def readers(self) -> Iterator[dict[str, Any]]:
    """The open stores by name, to be read."""
    with contextlib.ExitStack() as stack:
      readers: dict[str, Any] = {}
      if self.redis:
        readers['redis'] = stack.enter_context(
            contextlib.closing(redisio.RedisBoards(self.redis)))
      if self.postgres:
        readers['postgres'] = stack.enter_context(
            contextlib.closing(postgresio.PostgresBoards(self.postgres)))
      if self.parquet:
        readers['parquet'] = ParquetBoards(self.parquet)
      yield readers

  def write(self, records: beam.PCollection, label: str) -> dict[str, beam.PCollection]:
    """Writes the boards of one window size to the open stores.

    Returns:
      Of Redis and PostgreSQL the window ends (epoch seconds) that are written.
    """
    written = {}
    if self.redis:
      written['redis'] = records | f'WriteToRedis{label}' >> redisio.WriteToRedis(
          self.redis, self.redis_ttl_secs, self.skip_redis)
    if self.postgres:
      written['postgres'] = records | f'WriteToPostgres{label}' >> postgresio.WriteToPostgres(
          self.postgres)
    if self.parquet:
      records | f'WriteToParquet{label}' >> WriteToParquet(self.parquet)
    return written

  def whereabouts(self, opened: 'Stores') -> Iterator[str]:
    """Says where the boards are."""
    if self.redis and opened.redis:
      yield f'redis     {self._place("redis", self.redis, redisio.shown(opened.redis))}'
    if self.postgres and opened.postgres:
      yield f'postgres  {self._place("postgres", self.postgres, postgresio.shown(opened.postgres))}'
    if self.parquet:
      yield f'parquet   {self.parquet}'
    yield f'rejects   {FileSystems.join(self.ledger, REJECTS)}'

  def _place(self, name: str, option: str, shown: str) -> str:
    if option == EMBEDDED:
      return f'{self.data_dir / name} (embedded: it runs while it is asked)'
    return shown


def add_store_flags(parser: Any, names: tuple[str, ...]) -> None:
  """Adds the flags of these names to a parser."""
  group = parser.add_argument_group('stores')
  for name in names:
    group.add_argument(f'--{name}', **_FLAGS[name])


def resolve_stores(problems: Problems, args: argparse.Namespace | Any,
                   read: Sequence[str] = (), written: bool = True) -> Stores:
  """What the flags of `add_store_flags` say; what is wrong goes to `problems`.

  Args:
    read: stores that are there already, since the program reads them.
    written: whether it writes to folders.
  """
  data_dir = pathlib.Path(args.data_dir).absolute()
  parquet = args.parquet and filesio.local_path(args.parquet)
  rejects = getattr(args, 'rejects', None)
  ledger = filesio.local_path(rejects or args.parquet or str(data_dir))
  folders = {}
  if EMBEDDED in (args.redis, args.postgres):
    folders[str(data_dir)] = '--data_dir'
  if hasattr(args, 'rejects'):
    folders[ledger] = '--rejects' if rejects else '--data_dir'
  if parquet:
    folders[parquet] = '--parquet'
  problems.check('--data_dir', embedded.check_there, data_dir, *(
      name for name in read if getattr(args, name, None) == EMBEDDED))
  if parquet and 'parquet' in read:
    problems.check('--parquet', filesio.check_folder, parquet)
  ttl_secs = problems.check('--redis_ttl', _ttl_secs, getattr(args, 'redis_ttl', ''))
  policy = getattr(args, 'on_redis_failure', FAIL)
  problems.check('--on_redis_failure', one_of, policy, (FAIL, SKIP))
  if policy == SKIP and not (args.redis and args.postgres):
    problems.found.append('--on_redis_failure: skip needs --redis, and --postgres to repair it '
                          'from')
  return Stores(redis=args.redis, postgres=args.postgres, parquet=parquet, ledger=ledger,
                data_dir=data_dir, redis_ttl_secs=ttl_secs, skip_redis=policy == SKIP,
                folders=tuple((flag, folder) for folder, flag in folders.items() if written))


def _ttl_secs(text: str) -> dict[str, int]:
  found = {}
  for part in filter(None, text.split(',')):
    label, equals, length = part.strip().partition('=')
    if not equals or not label:
      raise ValueError(f'must be SIZE=DURATION, such as 1m=2h; got {part!r}')
    found[label] = parse_secs(length)
  return found
