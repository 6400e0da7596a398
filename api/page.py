"""The web page at /: files as they are, that ask for nothing outside this service."""
import hashlib
import importlib.resources
from typing import NamedTuple

from fastapi import APIRouter, Request, Response

from leaderboard.api.problems import Problem

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
router = APIRouter(tags=['page'], include_in_schema=False)


@router.get('/')
async def index(request: Request) -> Response:
  """The page."""
  return _answer(request, _INDEX)


@router.get('/page/{name}')
async def file(request: Request, name: str) -> Response:
  """A part of the page."""
  if name not in _FILES or name == _INDEX:
    raise Problem(404, 'not_found', f'the page has no part {name[:80]!r}', field='name', value=name)
  return _answer(request, name)


def _answer(request: Request, name: str) -> Response:
  found = _FILES[name]
  headers = _HEADERS | {'ETag': found.tag}
  if found.tag in request.headers.get('if-none-match', ''):
    return Response(status_code=304, headers=headers)
  return Response(found.content, headers=headers, media_type=found.media_type)
