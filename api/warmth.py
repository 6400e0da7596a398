"""Answers that are made before anyone asks: those of the flags, the newest boards, and what is
asked for again and again."""
import asyncio
import collections
import contextlib
import urllib.parse
from collections.abc import Sequence

from leaderboard.api.answers import LIVE
from leaderboard.api.boards import AUTO, Boards, Question
from leaderboard.api.breaker import StoreDown
from leaderboard.api.problems import Problem
from leaderboard.transforms.boards import parse_window_size

_PREFIX = '/v1/leaderboards/'
_NEWEST = 200
# Windows cost little; what may be merged or counted costs more.
_POPULAR_WINDOWS, _POPULAR_OTHERS = 1_000, 100
_LEAST_ASKED = 3
# Between two that are read: whoever asks meanwhile shall not wait for all of them.
_PAUSE_SECS = 0.01
# Over so much of the time between two rounds the answers of one are spread.
_SPREAD = 0.1


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
    questions = dict.fromkeys([*map(question_of, paths), *_popular(boards.take_asked())])
    for question in questions:
      with contextlib.suppress(Problem):
        await boards.renew(question)
      await asyncio.sleep(max(_PAUSE_SECS, _SPREAD * every_secs / len(questions)))
    await asyncio.sleep((1 - _SPREAD) * every_secs)


def _popular(asked: 'collections.Counter[Question]') -> list[Question]:
  """What was asked again and again, the most popular first."""
  windows: list[Question] = []
  others: list[Question] = []
  for question, times in asked.most_common():
    if times >= _LEAST_ASKED:
      (windows if question.size and question.path in (AUTO, LIVE) else others).append(question)
  return windows[:_POPULAR_WINDOWS] + others[:_POPULAR_OTHERS]


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
