"""HTTP as it arrives: what never ends is refused before it is gathered in memory."""
import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from leaderboard.api.problems import MEDIA_TYPE, Problem

# More than the guard lets through, which names the limit of each part.
MOST_HEAD_BYTES = 64 << 10
# Who is still sending would lose the answer if the line were cut at once.
_LINGER_SECS = 2.0


class LimitedProtocol(HttpToolsProtocol):
  """uvicorn's protocol, with an end to what it gathers and refusals as problems (RFC 9457)."""

  def __init__(self, *args: Any, **kwargs: Any) -> None:
    super().__init__(*args, **kwargs)
    self.url = b''
    self._in_head = True
    self._head_bytes = 0
    self._closing: asyncio.TimerHandle | None = None

  def data_received(self, data: bytes) -> None:
    if self._closing:   # the answer is given, and nothing more is listened to
      return
    super().data_received(data)
    if self._in_head and not self._closing:
      self._head_bytes += len(data)
      if self._head_bytes > MOST_HEAD_BYTES:
        self._refuse(_too_long(self.url))

  def on_message_begin(self) -> None:
    super().on_message_begin()
    self._in_head, self._head_bytes = True, 0

  def on_headers_complete(self) -> None:
    self._in_head = False
    super().on_headers_complete()

  def connection_lost(self, exc: Exception | None) -> None:
    if self._closing:
      self._closing.cancel()
    super().connection_lost(exc)

  def send_400_response(self, msg: str) -> None:
    if len(self.url) > MOST_HEAD_BYTES // 2:   # it came whole, and is more than can be read
      self._refuse(_too_long(self.url))
      return
    self._refuse(Problem(400, 'bad_request', 'this is no HTTP request, or its path holds bytes '
                         'beyond ASCII', field='path', remedy='percent-encode the path'))

  def _refuse(self, problem: Problem) -> None:
    content = bytes(problem.response().body)
    self.transport.write(
        f'HTTP/1.1 {problem.status} \r\ncontent-type: {MEDIA_TYPE}\r\n'
        f'content-length: {len(content)}\r\nconnection: close\r\n\r\n'.encode() + content)
    self._closing = self.loop.call_later(_LINGER_SECS, self.transport.close)


def _too_long(url: bytes) -> Problem:
  path, has_query, query = url.partition(b'?')
  if len(url) < MOST_HEAD_BYTES // 2:
    return Problem(431, 'too_large', f'the headers have more than {MOST_HEAD_BYTES} bytes',
                   field='headers', remedy='send fewer cookies')
  return Problem(414, 'too_large', f'the request line has more than {MOST_HEAD_BYTES} bytes',
                 field='query' if has_query else 'path', value=(query or path).decode('latin-1'),
                 remedy='ask for many items with members:batch')
