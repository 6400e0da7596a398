"""Pages of a board, in both directions, that stay on the board on which they began.

A cursor names the window, its revision and the row at the edge of the page. While the board has
that revision, pages follow each other without gap or overlap. When it has a newer one they go on
at the place of that row in the new order, and the answer says that the board moved.
"""
import base64
import binascii
import bisect
import hashlib
import json
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from leaderboard.api.brackets import Brackets

MAX_CHARS = 2_048   # an item of 512 bytes, quoted and in base64, is less
_DIGEST_BYTES = 8
_INT64 = range(2**63)
_TIMES = range(2**33)   # seconds of any event, year 2100 and beyond, and of any clock


class Cursor(NamedTuple):
  """Where a page begins or ends.

  Attributes:
    from_secs, to_secs: the time that the board covers, epoch seconds.
    generation, events: the revision of the board that the page was of.
    place: rows before the edge of the page.
    backwards: whether the page asked for ends there; otherwise it begins there.
    count, item: the row of the last page that is next to the edge.
  """
  from_secs: int
  to_secs: int
  generation: int
  events: int
  place: int
  backwards: bool
  count: int   # type: ignore[assignment]   # shadows tuple.count, which no one needs
  item: str


class Page(NamedTuple):
  """The rows `first` to before `last` of a board, from 0, and the ways on and back.

  Attributes:
    moved: whether the board has another revision than the page that the cursor is of.
  """
  first: int
  last: int
  next: Cursor | None
  previous: Cursor | None
  moved: bool


def encode(cursor: Cursor, query: Sequence[str]) -> str:
  """The cursor as text for a URL.

  Args:
    query: what else the pages have in common, such as tenant, event type and window.
  """
  payload = json.dumps(cursor, ensure_ascii=False, separators=(',', ':')).encode()
  return base64.urlsafe_b64encode(_digest(payload, query) + payload).decode().rstrip('=')


def decode(text: str, query: Sequence[str]) -> Cursor:
  """Reads a cursor of this query.

  Raises:
    ValueError: it is none, was cut short or belongs to another query.
  """
  try:
    if len(text) > MAX_CHARS:
      raise ValueError
    packed = base64.b64decode(text.encode('ascii') + b'=' * (-len(text) % 4), b'-_', True)
    digest, payload = packed[:_DIGEST_BYTES], packed[_DIGEST_BYTES:]
    if digest != _digest(payload, query):
      raise ValueError
    from_secs, to_secs, generation, events, place, backwards, count, item = json.loads(payload)
    if not all(type(number) is int and number in numbers for number, numbers in (
        (from_secs, _TIMES), (to_secs, _TIMES), (generation, _INT64), (events, _INT64),
        (place, _INT64), (count, _INT64))):
      raise ValueError
    return Cursor(from_secs, to_secs, generation, events, place, bool(backwards), count, str(item))
  except (ValueError, TypeError, binascii.Error, RecursionError):
    raise ValueError('is no cursor of this query; take `next` or `previous` from an answer to it, '
                     'and leave the other parameters as they were') from None


def page(board: Brackets, from_secs: int, to_secs: int, revision: tuple[int, int], k: int,
         cursor: Cursor | None = None) -> Page:
  """The rows of a board that a cursor asks for; without one, the first.

  Args:
    from_secs, to_secs: the time that the board covers.
    revision: of the board as it is now.
    k: rows of a page, at least 1.
  """
  rows = len(board.items)
  moved = cursor is not None and revision != (cursor.generation, cursor.events)
  edge = 0
  if cursor:
    edge = min(_place(board, cursor) if moved else cursor.place, rows)
  first, last = (max(edge - k, 0), edge) if cursor and cursor.backwards else (
      edge, min(edge + k, rows))

  def at(place: int, backwards: bool) -> Cursor:
    row = place if backwards else place - 1
    return Cursor(from_secs, to_secs, *revision, place, backwards, int(board.lowers[row]),
                  board.items[row])

  return Page(first, last, at(last, False) if first < last < rows else None,
              at(first, True) if 0 < first < last else None, moved)


def _place(board: Brackets, cursor: Cursor) -> int:
  """Rows that now rank before the cursor's row; going on, that row too."""
  above, to = (int(np.searchsorted(-board.lowers, -cursor.count, side)) for side in (
      'left', 'right'))
  search = bisect.bisect_left if cursor.backwards else bisect.bisect_right
  return search(board.items, cursor.item, above, to)


def _digest(payload: bytes, query: Sequence[str]) -> bytes:
  text = json.dumps([payload.decode('utf-8', 'replace'), *query]).encode()
  return hashlib.blake2s(text, digest_size=_DIGEST_BYTES).digest()
