"""Answers that are made before anyone asks: those of the flags, the newest boards, and what is
asked for again and again."""
import asyncio
import contextlib
import urllib.parse
from collections.abc import Sequence

from leaderboard.api.boards import Boards, Question
from leaderboard.api.breaker import StoreDown
from leaderboard.api.problems import Problem
from leaderboard.transforms.boards import parse_window_size

_PREFIX = '/v1/leaderboards/'
_NEWEST = 200
_POPULAR = 100
_LEAST_ASKED = 3
# Between two that are renewed: whoever asks meanwhile shall not wait for all of them.
_PAUSE_SECS = 0.01


def question_of(path: str) -> Question:
  """The question that a path of this service asks.

  Raises:
    Problem: one of its parameters cannot be.
  """
  parts = urllib.parse.urlsplit(path)
  event_type = urllib.parse.unquote(parts.path.removeprefix(_PREFIX))
  query = dict(urllib.parse.parse_qsl(parts.query))
  return Question.of(event_type, query.get('tenant', 'default'), query.get('window'),
                     query.get('at'), query.get('from'), query.get('to'),
                     query.get('path', 'auto'))


async def keep_warm(boards: Boards, paths: Sequence[str], every_secs: float) -> None:
  """Asks again before answers grow too old, until it is cancelled; first all newest boards."""
  if not boards.settings.cache_entries:
    return   # nothing would be kept
  with contextlib.suppress(StoreDown):
    await _newest(boards)
  while True:
    popular = boards.take_asked().most_common(_POPULAR)
    questions = [question for question, times in popular if times >= _LEAST_ASKED]
    for question in dict.fromkeys([*map(question_of, paths), *questions]):
      with contextlib.suppress(Problem):
        await boards.renew(question)
      await asyncio.sleep(_PAUSE_SECS)
    await asyncio.sleep(every_secs)


async def _newest(boards: Boards) -> None:
  """The newest board of every family, as far as there are not too many."""
  store = boards.live or boards.history
  if not store:
    return
  families = await store.families(_NEWEST)
  for tenant, kind, label, _, _ in families:
    try:
      size = parse_window_size(label)
    except ValueError:   # of another program
      continue
    with contextlib.suppress(Problem):
      await boards.ask(Question(tenant, kind, size))
    await asyncio.sleep(_PAUSE_SECS)
