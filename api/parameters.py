"""The parameters that requests share: what they may be, how they are read, and what they mean."""
import difflib
import re
import time
from typing import Annotated, Literal

from fastapi import FastAPI, Path, Query, Request
from pydantic import AfterValidator

from leaderboard.api.problems import bad
from leaderboard.io.flags import moment
from leaderboard.transforms.boards import WindowSize, parse_window_size

MAX_K = 1000
_CONTROL = re.compile(r'[\x00-\x1f\x7f-\x9f\ud800-\udfff]')
# Percentiles may be given many times.
_REPEATED = {'p'}
_FRACTION = re.compile(r'[.,]\d*[1-9]')
# The moments that events may have.
_FIRST_SECS, _END_SECS = 946_684_800, 4_102_444_800

# Stands for a slash inside a part of the path (guard); no event type can hold it.
SLASH = '\ue000'
EventType = Annotated[str, AfterValidator(lambda text: text.replace(SLASH, '/')), Path(
    min_length=1, max_length=50, description='Event type; a slash in it is written %2F.',
    examples=['flight'])]
Tenant = Annotated[str, Query(
    min_length=1, max_length=64, description='Tenant.', examples=['JFK'])]
Window = Annotated[str | None, Query(
    max_length=80, description='Window size: `5m`, `1h`, `1d`, `1w`, `1mo`, of another time zone '
    '`1mo@Europe/Berlin`, sliding `1h_every_1m`. Not with `from` and `to`.', examples=['1h'])]
K = Annotated[int, Query(ge=1, le=MAX_K, description='Rows.', examples=[10])]
At = Annotated[str | None, Query(
    max_length=40, description='A moment inside the window: RFC 3339 date or time, UTC unless it '
    'says otherwise, or `now`. Without it the newest window.',
    examples=['2013-07-01T14:00:00Z'])]
From = Annotated[str | None, Query(
    alias='from', max_length=40, description='Start of a range, with `to`.',
    examples=['2013-07-01'])]
To = Annotated[str | None, Query(
    max_length=40, description='End of the range, exclusive.', examples=['2013-07-08T06:30:00Z'])]
Way = Annotated[Literal['auto', 'live', 'history', 'exact'], Query(
    alias='path', description='Where the answer comes from: Redis, stored summaries in PostgreSQL, '
    'or all events in the archive. `auto` takes the fastest that can answer.')]
Ties = Annotated[Literal['ordinal', 'dense', 'competition'], Query(
    description='Ranks of equal counts: 1 2 3, 1 1 2 or 1 1 3.')]
Movement = Annotated[bool, Query(
    description='Of a range: whether `previous_rank` and `movement` are told against the time just '
    'before, as long; that takes a second merge. Windows always tell them.')]
Cursor = Annotated[str | None, Query(
    max_length=2000, description='`next` or `previous` of another page.')]


def check_text(field: str, value: str) -> str:
  """Refuses text that no event can have."""
  if _CONTROL.search(value):
    raise bad(field, value, 'must not hold control characters or lone surrogates')
  return value


def read_moment(field: str, text: str) -> int:
  """Epoch seconds of a moment, between 2000 and 2100."""
  if text == 'now':
    return int(time.time())
  try:
    # A + that was not percent-encoded arrives as a space.
    found = moment(re.sub(r' (\d\d:?\d\d)$', r'+\1', text), 'UTC')
  except (ValueError, OverflowError):
    raise bad(field, text, 'must be an RFC 3339 date or time',
              'write 2013-07-01, 2013-07-01T14:00:00Z or now') from None
  if _FRACTION.search(text):
    raise bad(field, text, 'must be a whole second', 'leave the fraction out')
  if not _FIRST_SECS <= found <= _END_SECS:
    raise bad(field, text, 'must lie from 2000 to 2100: no event has another time')
  return found


def read_window(text: str) -> WindowSize:
  """A window size, with `@` and a time zone where its calendar is not that of UTC."""
  label, _, zone = text.partition('@')
  try:
    return parse_window_size(label, zone or 'UTC')
  except (ValueError, OverflowError) as error:
    raise bad('window', text, str(error), 'write a size such as 1h; GET /v1/event_types lists '
              'those that are stored') from None


async def refuse_unknown(request: Request) -> None:
  """A parameter that is not known would be passed over, and the answer be that of another
  question."""
  route = request.scope.get('route')
  if not request.scope['query_string'] or not getattr(route, 'include_in_schema', False):
    return
  known = known_parameters(request.app, route.path, request.method)   # type: ignore[union-attr]
  seen = set()
  for name, value in request.query_params.multi_items():
    if name not in known:
      near = difflib.get_close_matches(name, known, 1)
      raise bad(name, value, 'there is no such parameter here',
                f'did you mean {near[0]}?' if near else f'there are {", ".join(sorted(known))}'
                if known else 'leave it out')
    if name in seen and name not in _REPEATED:
      raise bad(name, value, 'is given more than once', 'give it once')
    seen.add(name)


def known_parameters(app: FastAPI, path: str, method: str) -> frozenset[str]:
  """Names of the query parameters of a route, as OpenAPI lists them."""
  known: dict[tuple[str, str], frozenset[str]] = app.state.known_parameters
  found = known.get((path, method))
  if found is None:
    parameters = app.openapi()['paths'][path][method.lower()].get('parameters', [])
    found = known[path, method] = frozenset(
        parameter['name'] for parameter in parameters if parameter['in'] == 'query')
  return found
