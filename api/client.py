"""A client of the query service, sync and async, whose answers are typed.

    with Client('http://boards:8000') as boards:
      for row in boards.leaderboard('flight', tenant='JFK', window='1d', at='2013-07-01')['rows']:
        print(row['rank'], row['item'], row['lower'], row['upper'])

    async with AsyncClient('http://boards:8000') as boards:
      member = await boards.member('flight', 'LAX', tenant='JFK', window='1d')

Both have the same methods. Which board is meant is told by `Which`: `window` and `at`, the newest
window without `at`, or a range from `start` to `end`. Answers are dicts as
`leaderboard.api.schemas` has them.

    ClientError
      ProblemError       the service said what is wrong: field, value and remedy
      UnavailableError   it is out of reach, or said again and again that it cannot answer now
"""
import asyncio
import contextlib
import dataclasses
import datetime
import functools
import json
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import Any, Concatenate, Generic, Literal, ParamSpec, TypeVar
from urllib.parse import quote

import httpx
from typing_extensions import TypedDict, Unpack

from leaderboard.api import schemas

__all__ = ['AsyncClient', 'Client', 'ClientError', 'ProblemError', 'UnavailableError', 'Which']

Moment = str | datetime.datetime | datetime.date
Ties = Literal['ordinal', 'dense', 'competition']
Way = Literal['auto', 'live', 'history', 'exact']

_P = ParamSpec('_P')
_T = TypeVar('_T')

# Answers that say that the next attempt may fare better.
_PASSING = frozenset((429, 502, 503, 504))
_FIRST_WAIT_SECS, _MOST_WAIT_SECS = 0.1, 5.0
# A stream that is silent for three heartbeats of 15 s is dead.
_SILENCE_SECS = 45.0
# Of a stream that was there: a minute and a half, in which a service is restarted.
_STREAM_RETRIES = 20


class Which(TypedDict, total=False):
  """Which board; moments are text as the service reads it, a `date`, or a `datetime` with a time
  zone."""
  tenant: str
  window: str
  at: Moment
  start: Moment
  end: Moment
  path: Way


class ClientError(Exception):
  """The service did not give the answer."""


class ProblemError(ClientError):
  """The service said what is wrong (RFC 9457).

  Attributes:
    status: HTTP status.
    kind: what it is, the `type` of the problem.
    detail: one sentence.
    field, value: the parameter at fault and what it was, where one is.
    remedy: what to do.
  """

  def __init__(self, status: int, problem: dict[str, Any]) -> None:
    self.status = status
    self.kind = str(problem.get('type', 'about:blank'))
    self.detail = str(problem.get('detail') or problem.get('title') or f'HTTP status {status}')
    self.field: str | None = problem.get('field')
    self.value: Any = problem.get('value')
    self.remedy: str | None = problem.get('remedy')
    super().__init__(f'{self.detail}; {self.remedy}' if self.remedy else self.detail)


class UnavailableError(ClientError):
  """The service is out of reach, or cannot answer now.

  Attributes:
    retry_secs: when to try again, 0.0 where it did not say.
  """

  def __init__(self, reason: str, retry_secs: float = 0.0) -> None:
    super().__init__(reason)
    self.retry_secs = retry_secs


@dataclasses.dataclass(frozen=True)
class _Call(Generic[_T]):
  """A request whose answer has the type `_T`."""
  path: str
  params: dict[str, Any] = dataclasses.field(default_factory=dict)
  items: list[str] | None = None   # sent as the body of a POST, which reads all the same

  def request(self, client: httpx.Client | httpx.AsyncClient) -> httpx.Request:
    params = {name: _text(value) for name, value in self.params.items() if value is not None}
    if self.items is None:
      return client.build_request('GET', self.path, params=params)
    return client.build_request('POST', self.path, params=params, json={'items': self.items})


def _text(value: Any) -> Any:
  if isinstance(value, datetime.datetime):
    if value.tzinfo is None:
      raise ValueError(f'a datetime must have a time zone, got {value!r}; such as '
                       f'value.replace(tzinfo=datetime.timezone.utc)')
    return value.isoformat()
  return value.isoformat() if isinstance(value, datetime.date) else value




def _call(event_type: str, rest: str, which: Which, items: list[str] | None = None,
          **params: Any) -> _Call[Any]:
  names = {'start': 'from', 'end': 'to'}
  return _Call(f'/v1/leaderboards/{quote(event_type, safe="")}{rest}',
               {**{names.get(name, name): value for name, value in which.items()}, **params},
               items)


def _leaderboard(event_type: str, *, k: int = 10, ties: Ties = 'ordinal',
                 movement: bool | None = None, cursor: str | None = None, **which: Unpack[Which]
                 ) -> _Call[schemas.Leaderboard]:
  """The k leaders; `cursor` is `next` or `previous` of another page, `movement` tells that of a
  range too."""
  return _call(event_type, '', which, k=k, ties=ties, movement=movement, cursor=cursor)


def _member(event_type: str, item: str, *, ties: Ties = 'ordinal',
            **which: Unpack[Which]) -> _Call[schemas.Member]:
  """Rank and count of any item, between bounds."""
  return _call(event_type, '/members', which, item=item, ties=ties)


def _members(event_type: str, items: Iterable[str], *, ties: Ties = 'ordinal',
             **which: Unpack[Which]) -> _Call[schemas.Members]:
  """Ranks and counts of many items of one board at once."""
  return _call(event_type, '/members:batch', which, list(items), ties=ties)


def _neighbours(event_type: str, item: str, *, n: int = 5, ties: Ties = 'ordinal',
                **which: Unpack[Which]) -> _Call[schemas.Neighbours]:
  """An item and the n rows above and below it."""
  return _call(event_type, '/neighbours', which, item=item, n=n, ties=ties)


def _percentiles(event_type: str, percents: Iterable[float] = (50, 90, 95, 99),
                 **which: Unpack[Which]) -> _Call[schemas.Percentiles]:
  """Percentiles of the counts of a board's items."""
  return _call(event_type, '/percentiles', which, p=[f'{percent:f}' for percent in percents])


def _distribution(event_type: str, **which: Unpack[Which]) -> _Call[schemas.Distribution]:
  """How the weight of a board is spread over its items."""
  return _call(event_type, '/distribution', which)


def _compare(event_type: str, *, k: int = 10, ties: Ties = 'ordinal',
             with_at: Moment | None = None, with_start: Moment | None = None,
             with_end: Moment | None = None, **which: Unpack[Which]
             ) -> _Call[schemas.Comparison]:
  """The leaders of two windows, or of two ranges; without another one, of the time before."""
  return _call(event_type, '/compare', which, k=k, ties=ties, with_at=with_at,
               with_from=with_start, with_to=with_end)


def _trend(event_type: str, item: str, *, points: int | None = None, ties: Ties = 'ordinal',
           **which: Unpack[Which]) -> _Call[schemas.Trend]:
  """An item in every window from `start` to `end`, or in so many up to `at` or the newest."""
  return _call(event_type, '/trend', which, item=item, points=points, ties=ties)


def _event_types(tenant: str | None = None) -> _Call[schemas.EventTypes]:
  """What boards there are."""
  return _Call('/v1/event_types', {'tenant': tenant})


def _tenants() -> _Call[schemas.Tenants]:
  """Whose boards there are."""
  return _Call('/v1/tenants')


def _read(response: httpx.Response) -> Any:
  """The answer.

  Raises:
    UnavailableError: the next attempt may fare better.
    ProblemError: it will not.
  """
  if response.is_success:
    return response.json()
  try:
    problem = response.json()
  except ValueError:   # of a proxy in between
    problem = None
  if not isinstance(problem, dict):
    problem = {'detail': f'{response.request.url} answered with HTTP status '
                         f'{response.status_code}'}
  error = ProblemError(response.status_code, problem)
  if response.status_code in _PASSING:
    wait = response.headers.get('Retry-After', '')
    raise UnavailableError(str(error), float(wait) if wait.isdigit() else 0.0) from error
  raise error


class _Patience:
  """How often and when an attempt is repeated: every request is a read, so all may be."""

  def __init__(self, retries: int) -> None:
    self._left = retries
    self._wait_secs = _FIRST_WAIT_SECS

  def after(self, error: httpx.TransportError | UnavailableError) -> float:
    """Seconds to wait before the next attempt.

    Raises:
      UnavailableError: there is none.
    """
    failure = error if isinstance(error, UnavailableError) else UnavailableError(
        f'the service is out of reach: {str(error) or type(error).__name__}')
    if not self._left:
      raise failure from error.__cause__ or error
    self._left -= 1
    self._wait_secs *= 2
    # Clients that failed together do not come back together.
    return max(min(self._wait_secs, _MOST_WAIT_SECS) * random.uniform(0.5, 1.0),
               failure.retry_secs)


class _Lines:
  """Makes events of the lines of a `text/event-stream`."""

  def __init__(self) -> None:
    self.last_id: str | None = None
    self._event, self._data = '', ''

  def read(self, line: str) -> schemas.ChangeEvent | None:
    """The event that ends with this line, where one does."""
    name, _, value = line.partition(':')
    value = value.removeprefix(' ')
    if name == 'event':
      self._event = value
    elif name == 'data':
      self._data += value
    elif name == 'id':
      self.last_id = value
    if line or not self._data:
      return None
    event: Any = {'event': self._event, 'id': self.last_id, 'data': json.loads(self._data)}
    self._event = self._data = ''
    return event


def _stream_call(http: httpx.Client | httpx.AsyncClient, call: _Call[Any],
                 last_id: str | None) -> httpx.Request:
  request = call.request(http)
  request.headers['Accept'] = 'text/event-stream'
  if last_id is not None:
    request.headers['Last-Event-ID'] = last_id
  request.extensions['timeout'] = {**request.extensions['timeout'], 'read': _SILENCE_SECS}
  return request


def _sent(build: Callable[_P, _Call[_T]]) -> Callable[Concatenate['Client', _P], _T]:
  @functools.wraps(build)
  def send(client: 'Client', *args: _P.args, **kwargs: _P.kwargs) -> _T:
    return client._send(build(*args, **kwargs))

  return send


def _awaited(build: Callable[_P, _Call[_T]]
             ) -> Callable[Concatenate['AsyncClient', _P], Awaitable[_T]]:
  @functools.wraps(build)
  async def send(client: 'AsyncClient', *args: _P.args, **kwargs: _P.kwargs) -> _T:
    return await client._send(build(*args, **kwargs))

  return send


class Client:
  """Asks the service, from one thread or many.

  Args:
    url: where the service is, such as http://boards:8000.
    timeout_secs: of one attempt.
    retries: further attempts when the service is out of reach or cannot answer now.
    http: of httpx, with what else is needed: authentication, proxies, a transport. Its base_url
      is taken if `url` is empty. It is closed with this client.
  """

  def __init__(self, url: str, *, timeout_secs: float = 10.0, retries: int = 2,
               http: httpx.Client | None = None) -> None:
    self._http = http or httpx.Client()
    self._http.base_url = httpx.URL(url or self._http.base_url)
    self._http.timeout = httpx.Timeout(timeout_secs)
    self._retries = retries

  leaderboard = _sent(_leaderboard)
  member = _sent(_member)
  members = _sent(_members)
  neighbours = _sent(_neighbours)
  percentiles = _sent(_percentiles)
  distribution = _sent(_distribution)
  compare = _sent(_compare)
  trend = _sent(_trend)
  event_types = _sent(_event_types)
  tenants = _sent(_tenants)

  def pages(self, event_type: str, *, k: int = 100, ties: Ties = 'ordinal',
            **which: Unpack[Which]) -> Iterator[schemas.Leaderboard]:
    """All pages of a board, k rows each."""
    cursor: str | None = None
    while True:
      answer = self.leaderboard(event_type, k=k, ties=ties, cursor=cursor, **which)
      yield answer
      cursor = answer['next']
      if cursor is None:
        return

  def changes(self, event_type: str, *, k: int = 10, last_id: str | None = None,
              **which: Unpack[Which]) -> Iterator[schemas.ChangeEvent]:
    """Changes of a window size's boards as they happen, or with `at` of the one board, without
    end: after a broken line it goes on behind the last one, for a minute and a half.

    Args:
      last_id: `id` of the event behind which to begin; without one, with the next.
    """
    call = _call(event_type, '/changes', which, k=k)
    lines, patience = _Lines(), _Patience(self._retries)
    lines.last_id = last_id
    while True:
      try:
        response = self._http.send(_stream_call(self._http, call, lines.last_id), stream=True)
        with contextlib.closing(response):
          if not response.is_success:
            response.read()
            _read(response)
          for line in response.iter_lines():
            patience = _Patience(_STREAM_RETRIES)
            event = lines.read(line)
            if event:
              yield event
        raise httpx.RemoteProtocolError('the stream ended')
      except (httpx.TransportError, UnavailableError) as error:
        time.sleep(patience.after(error))

  def close(self) -> None:
    self._http.close()

  def __enter__(self) -> 'Client':
    return self

  def __exit__(self, *_: object) -> None:
    self.close()

  def _send(self, call: _Call[_T]) -> _T:
    patience = _Patience(self._retries)
    while True:
      try:
        return _read(self._http.send(call.request(self._http)))
      except (httpx.TransportError, UnavailableError) as error:
        time.sleep(patience.after(error))


class AsyncClient:
  """Asks the service from an event loop; as `Client`, with methods to be awaited."""

  def __init__(self, url: str, *, timeout_secs: float = 10.0, retries: int = 2,
               http: httpx.AsyncClient | None = None) -> None:
    self._http = http or httpx.AsyncClient()
    self._http.base_url = httpx.URL(url or self._http.base_url)
    self._http.timeout = httpx.Timeout(timeout_secs)
    self._retries = retries

  leaderboard = _awaited(_leaderboard)
  member = _awaited(_member)
  members = _awaited(_members)
  neighbours = _awaited(_neighbours)
  percentiles = _awaited(_percentiles)
  distribution = _awaited(_distribution)
  compare = _awaited(_compare)
  trend = _awaited(_trend)
  event_types = _awaited(_event_types)
  tenants = _awaited(_tenants)

  async def pages(self, event_type: str, *, k: int = 100, ties: Ties = 'ordinal',
                  **which: Unpack[Which]) -> AsyncIterator[schemas.Leaderboard]:
    """See Client.pages."""
    cursor: str | None = None
    while True:
      answer = await self.leaderboard(event_type, k=k, ties=ties, cursor=cursor, **which)
      yield answer
      cursor = answer['next']
      if cursor is None:
        return

  async def changes(self, event_type: str, *, k: int = 10, last_id: str | None = None,
                    **which: Unpack[Which]) -> AsyncIterator[schemas.ChangeEvent]:
    """See Client.changes."""
    call = _call(event_type, '/changes', which, k=k)
    lines, patience = _Lines(), _Patience(self._retries)
    lines.last_id = last_id
    while True:
      try:
        response = await self._http.send(_stream_call(self._http, call, lines.last_id),
                                         stream=True)
        async with contextlib.aclosing(response):
          if not response.is_success:
            await response.aread()
            _read(response)
          async for line in response.aiter_lines():
            patience = _Patience(_STREAM_RETRIES)
            event = lines.read(line)
            if event:
              yield event
        raise httpx.RemoteProtocolError('the stream ended')
      except (httpx.TransportError, UnavailableError) as error:
        await asyncio.sleep(patience.after(error))

  async def close(self) -> None:
    await self._http.aclose()

  async def __aenter__(self) -> 'AsyncClient':
    return self

  async def __aexit__(self, *_: object) -> None:
    await self.close()

  async def _send(self, call: _Call[_T]) -> _T:
    patience = _Patience(self._retries)
    while True:
      try:
        return _read(await self._http.send(call.request(self._http)))
      except (httpx.TransportError, UnavailableError) as error:
        await asyncio.sleep(patience.after(error))
