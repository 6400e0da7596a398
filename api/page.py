"""The web page at /: files as they are, that ask for nothing outside this service."""
import hashlib
import importlib.resources
from typing import NamedTuple

from fastapi import APIRouter, Request, Response

from leaderboard.api.problems import Problem
from leaderboard.api.replies import holds

_TYPES = {'html': 'text/html', 'css': 'text/css', 'js': 'text/javascript', 'svg': 'image/svg+xml'}
_INDEX = 'index.html'
_HEADERS = {
    # Scripts and styles from here alone, none inline, and no text ever made into markup.
    'Content-Security-Policy': "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    'Cache-Control': 'no-cache',
    'Cross-Origin-Opener-Policy': 'same-origin',
    'Referrer-Policy': 'same-origin',
    'X-Content-Type-Options': 'nosniff',
}


class _File(NamedTuple):
  content: bytes
  media_type: str
  tag: str


def _load() -> dict[str, _File]:
  folder = importlib.resources.files('leaderboard.api').joinpath('page')
  files = {}
  for entry in folder.iterdir():
    _, _, suffix = entry.name.rpartition('.')
    if suffix in _TYPES:
      content = entry.read_bytes()
      files[entry.name] = _File(content, _TYPES[suffix],
                                f'"{hashlib.sha256(content).hexdigest()[:20]}"')
  return files


_FILES = _load()


async def index(request: Request) -> Response:
  """The page."""
  return _answer(request, _INDEX)


async def part(request: Request) -> Response:
  """A part of the page."""
  name = request.path_params['name']
  if name not in _FILES or name == _INDEX:
    raise Problem(404, 'not_found', f'the page has no part {name[:80]!r}', field='path',
                  value=request.url.path, remedy='GET / is the page')
  return _answer(request, name)


def _answer(request: Request, name: str) -> Response:
  found = _FILES[name]
  headers = _HEADERS | {'ETag': found.tag}
  if holds(request.headers.get('if-none-match'), found.tag):
    return Response(status_code=304, headers=headers)
  return Response(found.content, headers=headers, media_type=found.media_type)


router = APIRouter()
# Plain routes: the parameters of the page's own address are read in the browser.
router.add_route('/', index, ['GET'], include_in_schema=False)
router.add_route('/page/{name}', part, ['GET'], include_in_schema=False)
