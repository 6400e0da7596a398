"""What changes in Redis, heard as it is told: it keeps the answers in this process fresh."""
import asyncio
import contextlib
import time

from leaderboard.api.caches import STALE_SECS, Freshness
from leaderboard.api.live import DOWN, LiveBoards

# A user who may follow channels `topk:*` may subscribe to this pattern, and to no narrower one.
CHANNELS = 'topk:*'
_SUFFIX = ':changes'
# A change is seen within a second: a line that has gone silent must be noticed sooner.
_PING_SECS = STALE_SECS / 4
_RETRY_SECS = 0.25
# The tag of whatever says whether it is final.
FINALITY = ('finality',)


def family_tag(family: str) -> tuple[str]:
  """The tag of all boards of one family (redisio.family), whatever the window."""
  return (family,)


def board_tag(family: str, start: int) -> tuple[str, int]:
  """The tag of one board."""
  return family, start


class Feed:
  """Follows the channels of all change streams for as long as it runs.

  Every board is published in the script that writes it, so a board read after its message is as
  new as the message. What was missed while the line was broken is not known: then everything is
  taken for changed.

  Args:
    live: where.
    freshness: what is told.
  """

  def __init__(self, live: LiveBoards, freshness: Freshness) -> None:
    self._live = live
    self._freshness = freshness
    # The last answer, and when it was asked for.
    self._until: tuple[int | None, float] | None = None

  async def run(self) -> None:
    """Follows until it is cancelled."""
    await asyncio.gather(self._follow_always(), self._watch_finality())

  async def final_until(self) -> int | None:
    """See LiveBoards.final_until; at most a second old."""
    if self._until and time.monotonic() - self._until[1] < STALE_SECS:
      return self._until[0]
    return await self._ask_finality()

  async def _follow_always(self) -> None:
    while True:
      with contextlib.suppress(*DOWN):
        await self._follow()
      await asyncio.sleep(_RETRY_SECS)

  async def _watch_finality(self) -> None:
    """Watermarks come forward without a word in the channels."""
    while True:
      with contextlib.suppress(*DOWN):
        await self._ask_finality()
      await asyncio.sleep(STALE_SECS / 2)

  async def _ask_finality(self) -> int | None:
    asked_at = time.monotonic()
    until = await self._live.final_until()
    if self._until is None or self._until[0] != until:
      self._freshness.changed([FINALITY])
    self._until = until, asked_at
    return until

  async def _follow(self) -> None:
    client = self._live.subscriber()
    subscription = client.pubsub()
    try:
      await subscription.psubscribe(CHANNELS)
      pinged_at, waits = time.monotonic(), True
      await subscription.ping()
      while True:
        message = await subscription.get_message(timeout=_PING_SECS)
        if message is None:
          if waits and time.monotonic() - pinged_at > STALE_SECS:
            raise ConnectionError('the change channels have gone silent')
        elif message['type'] == 'psubscribe':
          self._freshness.flush()
        elif message['type'] == 'pmessage' and message['channel'].endswith(_SUFFIX):
          family = message['channel'].removesuffix(_SUFFIX)
          self._freshness.changed([family_tag(family), board_tag(family, int(message['data']))])
        elif message['type'] == 'pong':
          # In order: all that was told before the answer to a ping has been heard with it.
          self._freshness.heard(pinged_at)
          waits = False
        if not waits and time.monotonic() - pinged_at >= _PING_SECS:
          pinged_at, waits = time.monotonic(), True
          await subscription.ping()
    finally:
      with contextlib.suppress(*DOWN):
        await subscription.aclose()
      await client.aclose()
