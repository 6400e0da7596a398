"""Many who ask the same at once are answered by one call."""
import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

_T = TypeVar('_T')


class SingleFlight(Generic[_T]):
  """Shares the result, or the failure, of a call that is under way.

  A caller that goes away does not stop the call: others may wait for it.

  Args:
    join_secs: a call that began longer ago is not joined: what it finds may be as old.
  """

  def __init__(self, join_secs: float) -> None:
    self._join_secs = join_secs
    self._flights: dict[Hashable, tuple[float, asyncio.Task[_T]]] = {}
    self.joined = 0

  async def do(self, key: Hashable, call: Callable[[], Awaitable[_T]]) -> _T:
    """The result of the call for this key that is under way, or of this one."""
    found = self._flights.get(key)
    now = time.monotonic()
    if found and now - found[0] <= self._join_secs:
      self.joined += 1
      return await asyncio.shield(found[1])
    task: asyncio.Task[_T] = asyncio.ensure_future(call())
    flight = now, task
    self._flights[key] = flight

    def landed(_: asyncio.Task[_T]) -> None:
      if self._flights.get(key) is flight:
        del self._flights[key]
      if not task.cancelled():
        task.exception()   # heard, though all who asked may be gone

    task.add_done_callback(landed)
    return await asyncio.shield(task)
