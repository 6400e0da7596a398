"""Answers packed as the client can read them: zstd, else gzip."""
import gzip

import zstandard
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Packing less takes longer than sending it.
_LEAST_BYTES = 1_000
_GZIP_LEVEL, _ZSTD_LEVEL = 3, 3
_PACKED = ('application/json', 'application/problem+json', 'text/html', 'text/css',
           'text/javascript', 'text/plain', 'image/svg+xml')


class Compression:
  """Packs answers that are sent in one piece; streams pass as they are.

  Args:
    app: whose answers.
  """

  def __init__(self, app: ASGIApp) -> None:
    self._app = app

  async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
    if scope['type'] != 'http':
      await self._app(scope, receive, send)
      return
    coding = accepted(Headers(scope=scope).get('accept-encoding', ''))
    start: Message | None = None

    async def packed(message: Message) -> None:
      nonlocal start
      if message['type'] == 'http.response.start':
        headers = MutableHeaders(raw=message['headers'])
        kind = headers.get('content-type', '').split(';')[0]
        if kind in _PACKED and 'content-encoding' not in headers:
          headers.add_vary_header('Accept-Encoding')
          start = message
          return
      elif start:
        begun, start = start, None
        body = message.get('body', b'')
        if coding and len(body) >= _LEAST_BYTES and not message.get('more_body'):
          body = _pack(coding, body)
          headers = MutableHeaders(raw=begun['headers'])
          headers['Content-Encoding'] = coding
          headers['Content-Length'] = str(len(body))
          tag = headers.get('etag', '')
          if tag.startswith('"'):   # of the bytes that were not packed
            headers['ETag'] = f'W/{tag}'
          message = {**message, 'body': body}
        await send(begun)
      await send(message)

    await self._app(scope, receive, packed)


def accepted(header: str) -> str | None:
  """The coding to use for an Accept-Encoding.

  >>> accepted('gzip, deflate, br, zstd'), accepted('gzip;q=0.5, zstd;q=0')
  ('zstd', 'gzip')
  """
  if not header:
    return None
  weights = {}
  for part in header.split(','):
    coding, _, more = part.partition(';')
    weight = more.replace(' ', '').removeprefix('q=') or '1'
    try:
      weights[coding.strip().lower()] = float(weight)
    except ValueError:
      continue
  rest = weights.get('*', 0.0)
  return max(('zstd', 'gzip'), key=lambda coding: weights.get(coding, rest)) if any(
      weights.get(coding, rest) > 0 for coding in ('zstd', 'gzip')) else None


def _pack(coding: str, body: bytes) -> bytes:
  if coding == 'zstd':
    return zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compress(body)
  return gzip.compress(body, _GZIP_LEVEL, mtime=0)
