"""GET /v1/leaderboards/{event_type}: the rows of a board."""
import dataclasses
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from leaderboard.api import cursors, schemas
from leaderboard.api.answers import as_answer
from leaderboard.api.boards import Answer, Boards, Question, boards_of
from leaderboard.api.depth import ask_deep
from leaderboard.api.examples import LEADERBOARD
from leaderboard.api.parameters import (
    At,
    Cursor,
    EventType,
    From,
    K,
    Movement,
    Tenant,
    Ties,
    To,
    Way,
    Window,
)
from leaderboard.api.problems import Problem, bad
from leaderboard.api.replies import Reply

router = APIRouter(tags=['leaderboards'])


@router.get('/v1/leaderboards/{event_type}', responses={
    200: {'model': schemas.Leaderboard,
          'content': {'application/json': {'example': LEADERBOARD}}},
    304: {'description': 'The copy that If-None-Match names still holds.'}})
async def leaderboard(
    request: Request, event_type: EventType, boards: Annotated[Boards, Depends(boards_of)],
    tenant: Tenant = 'default', window: Window = None, k: K = 10, at: At = None,
    from_: From = None, to: To = None, path: Way = 'auto', ties: Ties = 'ordinal',
    movement: Movement = False, cursor: Cursor = None) -> Response:
  """The rows of a board, each with the bounds of its true count: the first k, or the k that a
  cursor goes on with. With neither `at` nor `from` and `to`, the board is the newest window."""
  question = Question.of(event_type, tenant, window, at, from_, to, path)
  key = question.key, k, ties, movement, cursor
  reply = boards.replies.get(key)
  boards.metrics.cache('answers', reply is not None)
  if reply is None:
    query = [event_type, tenant, window or '', at or '', from_ or '', to or '', path]
    reply, answer = await _reply(boards, question, k, ties, movement, cursor, query)
    boards.replies.put(key, reply, answer.stamp)
  else:
    boards.note(question)
  return reply.response(request)


async def _reply(boards: Boards, question: Question, k: int, ties: Ties, movement: bool,
                 text: str | None, query: list[str]) -> tuple[Reply, Answer]:
  cursor = None
  if text is not None:
    try:
      cursor = cursors.decode(text, query)
    except ValueError as error:
      raise bad('cursor', text, str(error)) from None
    question = _same_time(question, cursor)
  answer = await boards.answer(question)
  if movement and question.size is None:
    answer = await _with_previous(boards, question, answer)
  board = answer.board
  if board.brackets.rest_upper and (cursor.place if cursor else 0) + k > len(board.brackets.items):
    board = await ask_deep(boards, question)
    answer = answer._replace(board=board, stamp=answer.stamp._replace(tags=()))
  page = cursors.page(board.brackets, board.from_secs, board.to_secs,
                      (board.generation, board.events), k, cursor)
  content = as_answer(board, k, page.first, answer.previous, page.last, ties) | {
      'next': page.next and cursors.encode(page.next, query),
      'previous': page.previous and cursors.encode(page.previous, query), 'moved': page.moved}
  return Reply.of(content, board.read_at), answer


async def _with_previous(boards: Boards, question: Question, answer: Answer) -> Answer:
  """The answer of a range with the board of the time just before, as long, where that is closed
  and can be told."""
  board = answer.board
  try:
    before = await boards.answer(dataclasses.replace(
        question, from_secs=2 * board.from_secs - board.to_secs, to_secs=board.from_secs,
        to_now=False))
  except Problem:
    return answer
  if before.board.final is False:
    return answer
  return answer._replace(previous=before.board,
                         stamp=min(answer.stamp, before.stamp, key=lambda stamp: stamp.made_at))


def _same_time(question: Question, cursor: cursors.Cursor) -> Question:
  """The question about the time that the first page was of, though it be no longer the newest."""
  if question.size:
    return dataclasses.replace(question, at=cursor.to_secs - 1)
  return dataclasses.replace(question, from_secs=cursor.from_secs, to_secs=cursor.to_secs,
                             to_now=False)
