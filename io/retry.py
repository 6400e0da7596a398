"""The one way to try again what may pass: a call to a store whose server is gone for a moment."""
import random
import time
from collections.abc import Callable
from typing import TypeVar

# A server that is restarted, or whose place another takes, is back by then.
PATIENCE_SECS = 20.0
_FIRST_SECS = 0.05
_LONGEST_SECS = 2.0

_T = TypeVar('_T')


def retried(call: Callable[[], _T], transient: tuple[type[Exception], ...],
            give_up: Callable[[Exception], Exception], patience_secs: float | None = None) -> _T:
  """What the call returns, tried again with growing pauses of random length.

  Random, because all workers lose a server at the same moment.

  Args:
    transient: errors that may pass; any other leaves at once.
    give_up: makes of the last one the error that tells the user.
    patience_secs: how long to try; None for PATIENCE_SECS.
  """
  deadline = time.monotonic() + (PATIENCE_SECS if patience_secs is None else patience_secs)
  longest = _FIRST_SECS
  while True:
    try:
      return call()
    except transient as error:
      pause = random.uniform(0, longest)
      if time.monotonic() + pause > deadline:
        raise give_up(error) from None
      time.sleep(pause)
      longest = min(2 * longest, _LONGEST_SECS)
