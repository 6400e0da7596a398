"""Members of a board: rank and count of any item, listed or not, between bounds that hold."""
import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Request, Response

from leaderboard.api import schemas
from leaderboard.api.asking import MAX_ITEM_BYTES, Asked, Item, OfApp, check_item, spread_of
from leaderboard.api.brackets import Brackets
from leaderboard.api.depth import ask_for
from leaderboard.api.distribution import Between, part, share
from leaderboard.api.parameters import Ties
from leaderboard.api.replies import Reply
from leaderboard.api.ties import RankBounds, rank_bounds

MAX_ITEMS = 1000
MAX_NEIGHBOURS = 100

Items = Annotated[list[Annotated[str, Body(max_length=MAX_ITEM_BYTES)]], Body(
    embed=True, min_length=1, max_length=MAX_ITEMS, description='Items.',
    examples=[['LAX', 'SFO']])]

router = APIRouter(tags=['members'])


@router.get('/v1/leaderboards/{event_type}/members', responses={200: {'model': schemas.Member}})
async def member(request: Request, boards: OfApp, asked: Asked, item: Item,
                 ties: Ties = 'ordinal') -> Response:
  """Rank and count of any item; of one that the board does not list, what is proven of it."""
  check_item('item', item)
  board = await ask_for(boards, asked, [item])
  content = {**spread_of(board), 'member': standing(board.brackets, item, ties)}
  return Reply.of(content, board.read_at).response(request)


@router.post('/v1/leaderboards/{event_type}/members:batch',
             responses={200: {'model': schemas.Members}})
async def members(request: Request, boards: OfApp, asked: Asked, items: Items,
                  ties: Ties = 'ordinal') -> Response:
  """Ranks and counts of many items, all of one revision of the board, in the order asked."""
  for place, item in enumerate(items):
    check_item(f'items.{place}', item)
  board = await ask_for(boards, asked, items)
  found = await asyncio.to_thread(_standings, board.brackets, items, ties)
  content = {**spread_of(board), 'members': found}
  return Reply.of(content, board.read_at).response(request)


@router.get('/v1/leaderboards/{event_type}/neighbours',
            responses={200: {'model': schemas.Neighbours}})
async def neighbours(
    request: Request, boards: OfApp, asked: Asked, item: Item,
    n: Annotated[int, Query(ge=1, le=MAX_NEIGHBOURS, description='Rows on each side.',
                            examples=[5])] = 5,
    ties: Ties = 'ordinal') -> Response:
  """An item and the n rows above and below it; of one that the board does not list, the last n
  rows above."""
  check_item('item', item)
  board = await ask_for(boards, asked, [item])
  items = board.brackets.items
  place = board.brackets.places.get(item, len(items))
  above, below = await asyncio.to_thread(lambda: [
      _standings(board.brackets, side, ties)
      for side in (items[max(place - n, 0):place], items[place + 1:place + 1 + n])])
  content = {**spread_of(board), 'member': standing(board.brackets, item, ties),
             'above': above, 'below': below}
  return Reply.of(content, board.read_at).response(request)


def standing(board: Brackets, item: str, ties: Ties) -> dict[str, Any]:
  """What is known of an item: see schemas.Standing."""
  lower, upper = board.of(item)
  return {
      'item': item, 'listed': item in board.places,
      'rank': as_ranks(rank_bounds(board, item, ties)),
      'count': lower, 'lower': lower, 'upper': upper,
      'share': as_shares(share(Between(lower, upper), board)),
      'percentile': as_shares(_percentile(board, item))}


def as_ranks(bounds: RankBounds | None) -> dict[str, int] | None:
  return bounds and bounds._asdict()


def as_shares(bounds: tuple[float, float] | None) -> dict[str, float] | None:
  return bounds and {'lower': bounds[0], 'upper': bounds[1]}


def _percentile(board: Brackets, item: str) -> tuple[float, float] | None:
  """Between which parts of all items lies the part that weighs no more than this one, itself
  included; None for an item that was not counted."""
  ranks = rank_bounds(board, item, 'competition')
  if ranks is None:
    return None
  least, most = board.counted
  # The worst case: as many items as may be are heavier, and few others are there.
  few, many = max(least, ranks.worst), max(most, 1)
  return part(few - ranks.worst + 1, few)[0], part(many - ranks.best + 1, many)[1]


def _standings(board: Brackets, items: Sequence[str], ties: Ties) -> list[dict[str, Any]]:
  return [standing(board, item, ties) for item in items]
