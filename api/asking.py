"""What the endpoints that ask for one board have in common."""
from typing import Annotated, Any

from fastapi import Depends, Query

from leaderboard.api.answers import Board, identity
from leaderboard.api.boards import Boards, Question, boards_of
from leaderboard.api.parameters import At, EventType, From, Tenant, To, Way, Window, check_text
from leaderboard.api.problems import bad

# Of an item's UTF-8: the event contract.
MAX_ITEM_BYTES = 512

Item = Annotated[str, Query(min_length=1, max_length=MAX_ITEM_BYTES, description='Any item.',
                            examples=['LAX'])]
OfApp = Annotated[Boards, Depends(boards_of)]


async def _asked(event_type: EventType, tenant: Tenant = 'default', window: Window = None,
                 at: At = None, from_: From = None, to: To = None, path: Way = 'auto') -> Question:
  return Question.of(event_type, tenant, window, at, from_, to, path)


Asked = Annotated[Question, Depends(_asked)]


def check_item(field: str, item: str) -> str:
  """Refuses what no event can have as its item."""
  check_text(field, item)
  if not 1 <= len(item.encode()) <= MAX_ITEM_BYTES:
    raise bad(field, item, f'must be of 1 to {MAX_ITEM_BYTES} bytes of UTF-8')
  return item


def spread_of(board: Board) -> dict[str, Any]:
  """What answers about the items of a board say first."""
  least, most = board.brackets.counted
  return {**identity(board), 'total': board.total, 'items': {'lower': least, 'upper': most}}
