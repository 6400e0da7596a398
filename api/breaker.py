"""A circuit breaker: a store that is away is left alone for a moment, and then tried again."""
import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from leaderboard.api import tracing

_T = TypeVar('_T')
_log = logging.getLogger(__name__)
# Long enough that a hanging store does not hold every request for its timeout, short enough that
# one which is back is used again soon.
FIRST_SECS, MOST_SECS = 0.5, 5.0
# A store that is back answers sooner; for one that is still away no request shall wait.
_PATIENCE_SECS = 0.1


class StoreDown(Exception):
  """A store is out of reach; the message says which and why, without addresses."""


class Breaker:
  """Guards the calls to one store.

  After a failure calls are refused at once for `FIRST_SECS`, then one call tries; when that fails
  the next pause is twice as long, up to `MOST_SECS`. Any success closes it. Whoever makes the call
  that tries is refused, too, as soon as it takes longer than a moment: it goes on by itself.

  Args:
    name: of the store, for messages.
    down: exceptions of a call that the store cannot answer; others pass through as they are.
    harmless: those among them that say nothing about the next call.
    clock: seconds.
  """

  def __init__(self, name: str, down: tuple[type[BaseException], ...],
               harmless: tuple[type[BaseException], ...] = (),
               clock: Callable[[], float] = time.monotonic) -> None:
    self.name = name
    self.reason: str | None = None
    self._down = down
    self._harmless = harmless
    self._clock = clock
    self._pause_secs = 0.0
    self._until = 0.0
    # A call that began before the last opening knows nothing about it.
    self._openings = 0
    self._attempt: asyncio.Future[Any] | None = None

  @property
  def open(self) -> bool:
    """Whether the store is held to be out of reach."""
    return self._pause_secs > 0

  async def call(self, call: Callable[[], Awaitable[_T]]) -> _T:
    """The call's result.

    Raises:
      StoreDown: the store is out of reach, or was a moment ago.
    """
    if not self.open:
      return await self._try(call)
    if self._attempt is None and self._clock() >= self._until:
      attempt = self._attempt = asyncio.ensure_future(self._try(call))
      attempt.add_done_callback(self._attempted)
      await asyncio.wait([attempt], timeout=_PATIENCE_SECS)
      if attempt.done():
        return attempt.result()
    raise StoreDown(f'{self.name} is out of reach: {self.reason}')

  def _attempted(self, attempt: asyncio.Future[Any]) -> None:
    self._attempt = None
    if not attempt.cancelled():
      attempt.exception()   # heard, though no one may wait any more

  async def _try(self, call: Callable[[], Awaitable[_T]]) -> _T:
    openings = self._openings
    try:
      with tracing.span(self.name):
        result = await call()
    except self._down as error:
      if not isinstance(error, self._harmless) and openings == self._openings:
        # Of calls that fail together, the first one opens.
        self._openings += 1
        self._pause_secs = min(2 * self._pause_secs or FIRST_SECS, MOST_SECS)
        self._until = self._clock() + self._pause_secs
        self.reason = reason(error)
        if self._pause_secs == FIRST_SECS:
          _log.warning('%s is out of reach: %s', self.name, self.reason)
      raise StoreDown(f'{self.name} is out of reach: {reason(error)}') from error
    if openings == self._openings and self.open:
      self._pause_secs, self.reason = 0.0, None
      _log.warning('%s is within reach again', self.name)
    return result


def reason(error: BaseException) -> str:
  """What kind of failure it was; the texts of clients may hold addresses."""
  names = {'TimeoutError': 'it does not answer', 'ConnectionError': 'the connection failed',
           'ConnectionRefusedError': 'the connection was refused',
           'BusyLoadingError': 'it is loading its data', 'PoolTimeout': 'no connection is free',
           'QueryCanceled': 'the statement took too long',
           'InsufficientPrivilege': 'it does not let the service read',
           'UndefinedTable': 'its schema is missing', 'UndefinedColumn': 'its schema is older'}
  kind = type(error).__name__
  return names.get(kind, kind)
