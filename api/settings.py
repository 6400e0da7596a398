"""The flags of the query service, checked once, all problems told together."""
import argparse
import dataclasses
import pathlib
from collections.abc import Sequence

import redis

from leaderboard.io import embedded, filesio, postgresio, redisio, secretsio
from leaderboard.io.flags import EMBEDDED, Parser, Problems, UsageError, whole
from leaderboard.transforms.boards import parse_secs

PROG = 'python -m leaderboard.api.serve'
EPILOG = """\
examples:
  %(prog)s --data_dir=data --redis=embedded --postgres=embedded --parquet=data/parquet
  %(prog)s --redis=redis://cache:6379/0 --postgres=env:BOARDS_DSN --host=0.0.0.0 --port=8080

Any store may be left out; what only it can answer is then refused. Exit codes: 0 stopped by SIGTERM
or Ctrl-C, 1 the service failed, 2 a flag is wrong or an embedded server does not start.
"""


@dataclasses.dataclass(frozen=True)
class Settings:
  """What the flags say.

  Attributes:
    redis, postgres: None, or where the server is (`embedded` is resolved before).
    parquet: folder of the archive, or None.
    data_dir: of embedded servers.
    redis_msec: how long Redis may take for one answer.
    postgres_msec: how long PostgreSQL may take for one statement.
    exact_secs: how long a question to the archive may take.
    exact_memory, exact_threads: what DuckDB may take for all of them.
    cache_entries, cache_secs: of answers in this process.
    shared_cache_secs: of merged summaries in Redis; 0 for none.
    rollup_secs: of merged summaries in PostgreSQL; 0 for none.
    warm: path and query of answers that are kept warm.
    cors_origins: web pages that may read the answers; `*` for all.
    admin_token: what a client shows to flush the caches; None refuses all.
  """
  host: str = '127.0.0.1'
  port: int = 8080
  redis: str | None = None
  postgres: str | None = None
  parquet: str | None = None
  data_dir: pathlib.Path = pathlib.Path('data')
  redis_msec: int = 500
  postgres_msec: int = 5000
  exact_secs: int = 60
  exact_memory: str = '1GB'
  exact_threads: int = 2
  cache_entries: int = 10_000
  cache_secs: int = 60
  shared_cache_secs: int = 300
  rollup_secs: int = 3600
  warm: tuple[str, ...] = ()
  cors_origins: tuple[str, ...] = ()
  admin_token: str | None = None
  access_log: bool = False


def parse(argv: Sequence[str]) -> Settings:
  """Reads and checks the flags.

  Raises:
    UsageError: with every problem at once.
  """
  args = _parser().parse_args(argv)
  problems = Problems()
  numbers = {name: problems.check(f'--{name}', whole, getattr(args, name), least, most)
             for name, (least, most) in _LIMITS.items()}
  if not (args.redis or args.postgres or args.parquet):
    problems.found.append('--redis, --postgres, --parquet: name at least one store, such as '
                          '--redis=embedded')
  if args.parquet and '://' in args.parquet:
    problems.found.append(f'--parquet: exact answers need a local or mounted folder; got '
                          f'{args.parquet!r}')
  elif args.parquet:
    problems.check('--parquet', filesio.check_folder, args.parquet)
  data_dir = pathlib.Path(args.data_dir).absolute()
  problems.check('--data_dir', embedded.check_there, data_dir, *(
      name for name in ('redis', 'postgres') if getattr(args, name) == EMBEDDED))
  redis = args.redis and problems.check('--redis', _redis_url, args.redis)
  postgres = args.postgres and problems.check('--postgres', _dsn, args.postgres)
  token = args.admin_token and problems.check('--admin_token', secretsio.resolve, args.admin_token)
  ages = {name: problems.check(f'--{name}', _duration, getattr(args, name))
          for name in ('cache', 'shared_cache', 'rollups')}
  problems.check('--exact_memory', _memory, args.exact_memory)
  for path in args.warm:
    if not path.startswith('/v1/'):
      problems.found.append(f'--warm: must be a path of this service, such as '
                            f'/v1/leaderboards/play?window=1h; got {path!r}')
  if problems.found:
    raise UsageError(problems.found)
  return Settings(
      host=args.host, redis=redis, postgres=postgres, parquet=args.parquet,
      data_dir=data_dir, exact_memory=args.exact_memory,
      cache_secs=ages['cache'], shared_cache_secs=ages['shared_cache'],
      rollup_secs=ages['rollups'], warm=tuple(args.warm),
      cors_origins=tuple(filter(None, args.cors_origins.split(','))),
      admin_token=token, access_log=args.access_log, **numbers)


_LIMITS = {'port': (0, 65_535), 'redis_msec': (10, 60_000), 'postgres_msec': (10, 600_000),
           'exact_secs': (1, 3600), 'exact_threads': (1, 256), 'cache_entries': (0, 10_000_000)}


def _parser() -> Parser:
  defaults = Settings()
  parser = Parser(prog=PROG, epilog=EPILOG, allow_abbrev=False,
                  formatter_class=argparse.RawDescriptionHelpFormatter,
                  description='Serves stored boards over HTTP, with one web page at /.')
  add = parser.add_argument
  add('--host', default=defaults.host, metavar='ADDRESS',
      help=f'where to listen (default {defaults.host}: this machine only; 0.0.0.0 for all)')
  add('--port', default=str(defaults.port), help=f'(default {defaults.port}; 0 for any free one)')
  stores = parser.add_argument_group('stores')
  stores.add_argument('--redis', metavar='URL', help='live boards: redis://..., rediss://..., '
                      'unix://..., a cluster redis+cluster://..., `embedded`, or a reference: '
                      'env:NAME, file:PATH or secret://projects/P/secrets/NAME')
  stores.add_argument('--postgres', metavar='DSN', help='board history: '
                      'postgresql://user:password@host:port/db, `embedded`, or a reference')
  stores.add_argument('--parquet', metavar='PATH', help='archive for exact answers: a local or '
                      'mounted folder')
  stores.add_argument('--data_dir', default='data', metavar='DIR',
                      help='where embedded servers keep their data (default data)')
  limits = parser.add_argument_group('limits')
  limits.add_argument('--redis_msec', default=str(defaults.redis_msec), metavar='MS',
                      help='how long Redis may take before another store answers '
                      f'(default {defaults.redis_msec})')
  limits.add_argument('--postgres_msec', default=str(defaults.postgres_msec), metavar='MS',
                      help='how long a statement in PostgreSQL may take '
                      f'(default {defaults.postgres_msec})')
  limits.add_argument('--exact_secs', default=str(defaults.exact_secs), metavar='SECONDS',
                      help='how long an exact answer may take '
                      f'(default {defaults.exact_secs})')
  limits.add_argument('--exact_memory', default=defaults.exact_memory, metavar='SIZE',
                      help='memory for exact answers; more goes to disk '
                      f'(default {defaults.exact_memory})')
  limits.add_argument('--exact_threads', default=str(defaults.exact_threads), metavar='N',
                      help=f'threads for exact answers (default {defaults.exact_threads})')
  caches = parser.add_argument_group('caches')
  caches.add_argument('--cache_entries', default=str(defaults.cache_entries), metavar='N',
                      help='answers kept in this process; 0 for none '
                      f'(default {defaults.cache_entries})')
  caches.add_argument('--cache', default='1m', metavar='DURATION',
                      help='how long at most; changes are seen within a second (default 1m)')
  caches.add_argument('--shared_cache', default='5m', metavar='DURATION',
                      help='how long merged ranges stay in Redis; 0 for none (default 5m)')
  caches.add_argument('--rollups', default='1h', metavar='DURATION',
                      help='how long merged ranges stay in PostgreSQL; 0 for none (default 1h)')
  caches.add_argument('--warm', action='append', default=[], metavar='PATH',
                      help='an answer that is always kept ready; may be given many times. '
                      "Example: '/v1/leaderboards/play?tenant=acme&window=1d'")
  web = parser.add_argument_group('web')
  web.add_argument('--cors_origins', default='', metavar='ORIGINS',
                   help='pages of other origins that may read, comma-separated, or * (default: '
                   'none). Example: https://app.example.com')
  web.add_argument('--admin_token', metavar='TOKEN',
                   help='what POST /v1/caches:flush asks for; a token or a reference (default: '
                   'nobody may)')
  web.add_argument('--access_log', action='store_true', help='a line for every request')
  return parser


def _duration(text: str) -> int:
  return 0 if text in ('0', '0s') else parse_secs(text)


def _redis_url(text: str) -> str:
  """The URL that is meant, if it is one; whether a server answers there shows later."""
  if text == EMBEDDED:
    return text
  url = secretsio.resolve(text)
  scheme, _, rest = url.partition('://')
  if scheme.removesuffix('+cluster') not in ('redis', 'rediss', 'unix') or not rest:
    raise ValueError(f'{redisio.shown(text)} is no Redis URL, expected redis://host:port/db')
  try:
    redis.connection.parse_url(url.replace('+cluster://', '://', 1))
  except ValueError:   # its text may quote a piece of the password
    raise ValueError(f'{redisio.shown(text)} is no Redis URL, expected redis://host:port/db with '
                     f'special characters percent-encoded') from None
  return url


def _dsn(text: str) -> str:
  """The connection string that is meant, if it is one."""
  if text == EMBEDDED:
    return text
  dsn = secretsio.resolve(text)
  if not postgresio.readable(dsn):
    raise ValueError('cannot be read; expected postgresql://user:password@host:port/database with '
                     'special characters percent-encoded')
  return dsn


def _memory(text: str) -> str:
  number = text.rstrip('KMGTiB')
  if not number.isdigit() or text == number:
    raise ValueError(f'must be a size such as 512MB or 4GB; got {text!r}')
  return text
