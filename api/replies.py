"""Answers as bytes: encoded once, tagged by their content, sent with their age."""
import hashlib
import time
from typing import Any, NamedTuple

import orjson
from fastapi import Request, Response

from leaderboard.api.answers import instant

MEDIA_TYPE = 'application/json'
# Whoever keeps an answer asks whether it still holds before it is shown again.
CACHE_CONTROL = 'no-cache'


class Reply(NamedTuple):
  """An encoded answer.

  Attributes:
    start: the JSON object but for its last fields, `as_of` and `age_secs`.
    tag: entity tag of everything that `start` says.
    read_at: when the store was read, epoch seconds.
  """
  start: bytes
  tag: str
  read_at: float

  @classmethod
  def of(cls, content: dict[str, Any], read_at: float) -> 'Reply':
    """Encodes an answer that is not empty."""
    start = orjson.dumps(content)[:-1]
    return cls(start, f'W/"{hashlib.blake2b(start, digest_size=12).hexdigest()}"', read_at)

  def response(self, request: Request) -> Response:
    """The answer, or that the client's copy still holds."""
    headers = {'ETag': self.tag, 'Cache-Control': CACHE_CONTROL}
    if holds(request.headers.get('if-none-match'), self.tag):
      return Response(status_code=304, headers=headers)
    age_secs = max(time.time() - self.read_at, 0)
    end = f',"as_of":"{instant(self.read_at)}","age_secs":{age_secs:.3f}}}'
    return Response(self.start + end.encode(), headers=headers, media_type=MEDIA_TYPE)


def holds(asked: str | None, tag: str) -> bool:
  """Whether an If-None-Match names the tag; compared weakly, as RFC 9110 wants it.

  >>> holds('"a", W/"b"', 'W/"a"')
  True
  """
  if asked is None:
    return False
  bare = tag.removeprefix('W/')
  return asked.strip() == '*' or any(
      part.strip().removeprefix('W/') == bare for part in asked.split(','))
