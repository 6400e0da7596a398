"""GET /v1/leaderboards/{event_type}: the rows of a board."""
import time
from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Response

from leaderboard.api.answers import as_answer, instant
from leaderboard.api.boards import Boards, Question, boards_of
from leaderboard.api.parameters import At, EventType, From, K, Tenant, Ties, To, Way, Window

router = APIRouter(tags=['leaderboards'])


@router.get('/v1/leaderboards/{event_type}')
async def leaderboard(
    event_type: EventType, boards: Annotated[Boards, Depends(boards_of)],
    tenant: Tenant = 'default', window: Window = None, k: K = 10, at: At = None,
    from_: From = None, to: To = None, path: Way = 'auto', ties: Ties = 'ordinal') -> Response:
  """The first k rows of a board, each with the bounds of its true count."""
  board, previous, _ = await boards.answer(
      Question.of(event_type, tenant, window, at, from_, to, path))
  content = as_answer(board, k, 0, previous)
  content |= {'as_of': instant(board.read_at), 'age_secs': round(time.time() - board.read_at, 3)}
  return Response(orjson.dumps(content), media_type='application/json')
