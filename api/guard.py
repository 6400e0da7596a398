"""What stands before every request: limits, encoded slashes, and the account of every answer."""
import time
import urllib.parse
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from leaderboard.api import tracing
from leaderboard.api.metrics import Metrics
from leaderboard.api.parameters import SLASH
from leaderboard.api.problems import BodyTooLarge, Problem

MOST_QUERY_BYTES = 8_192
MOST_PATH_BYTES = 2_048
# A batch of 1,000 items of 512 bytes, every character escaped.
MOST_BODY_BYTES = 4 << 20


class Guard:
  """The outermost layer of the application.

  Args:
    app: what it guards.
    metrics: where answers are counted.
  """

  def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
    self._app = app
    self._metrics = metrics

  async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
    if scope['type'] != 'http':
      await self._app(scope, receive, send)
      return
    with tracing.server_span(scope['method'], scope['headers']) as span:
      await self._account(span, scope, receive, send)

  async def _account(self, span: Any, scope: Scope, receive: Receive, send: Send) -> None:
    began = time.perf_counter()
    status, streams = 500, False

    async def counted(message: Message) -> None:
      nonlocal status, streams
      if message['type'] == 'http.response.start':
        status = message['status']
        streams = any(name == b'content-type' and value.startswith(b'text/event-stream')
                      for name, value in message['headers'])
      await send(message)

    try:
      problem = _refused(scope)
      if problem:
        await problem.response()(scope, receive, counted)
      else:
        _keep_slashes(scope)
        await self._app(scope, _limited(receive), counted)
    finally:
      route = getattr(scope.get('route'), 'path', 'none')
      self._metrics.requests.labels(route, str(status)).inc()
      if not streams:
        self._metrics.seconds.labels(route).observe(time.perf_counter() - began)
      tracing.describe(span, scope['method'], route, status)


def _keep_slashes(scope: Scope) -> None:
  """Has a slash that was escaped stay inside its part of the path."""
  raw = scope.get('raw_path', b'')
  if b'%2f' in raw.lower():
    escaped = urllib.parse.quote(SLASH).encode()
    scope['path'] = urllib.parse.unquote(
        raw.replace(b'%2f', escaped).replace(b'%2F', escaped).decode('ascii', 'replace'))


def _refused(scope: Scope) -> Problem | None:
  """What is wrong with a request before anything of it is read."""
  query = scope['query_string']
  if len(query) > MOST_QUERY_BYTES:
    return Problem(414, 'too_large', f'the query has {len(query)} bytes, more than '
                   f'{MOST_QUERY_BYTES}', field='query', value=query[:300].decode('latin-1'),
                   remedy='ask for many items with members:batch')
  if len(scope.get('raw_path') or b'') > MOST_PATH_BYTES:
    return Problem(414, 'too_large', f'the path has more than {MOST_PATH_BYTES} bytes',
                   field='path', value=scope['path'],
                   remedy='GET /openapi.json lists what there is')
  for name, value in scope['headers']:
    if name == b'content-length' and (not value.isdigit() or int(value) > MOST_BODY_BYTES):
      return _too_large(value.decode('latin-1'))
  return None


def _too_large(size: str | None) -> Problem:
  return Problem(413, 'too_large', f'the body may have at most {MOST_BODY_BYTES} bytes',
                 field='body', value=size, remedy='ask in several requests')


def _limited(receive: Receive) -> Receive:
  taken = 0

  async def limited() -> Any:
    nonlocal taken
    message = await receive()
    taken += len(message.get('body', b''))
    if taken > MOST_BODY_BYTES:
      raise BodyTooLarge(_too_large(None))
    return message

  return limited
