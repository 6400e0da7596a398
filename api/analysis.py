"""Percentiles and distributions of boards, comparisons of two and trends over many."""
import asyncio
import dataclasses
import fractions
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from leaderboard.api import comparison, distribution, schemas
from leaderboard.api.answers import Board, identity
from leaderboard.api.asking import Asked, Item, OfApp, check_item, spread_of
from leaderboard.api.boards import Boards, Question
from leaderboard.api.brackets import Brackets
from leaderboard.api.depth import ask_deep
from leaderboard.api.distribution import Between, share
from leaderboard.api.members import as_ranks, as_shares
from leaderboard.api.parameters import (
    At,
    EventType,
    From,
    Tenant,
    Ties,
    To,
    Window,
    check_text,
    read_moment,
    read_window,
)
from leaderboard.api.problems import Problem, bad
from leaderboard.api.replies import Reply
from leaderboard.api.ties import RankBounds
from leaderboard.api.trends import MAX_POINTS, Trend, read_trend, starts_between, starts_until

MAX_COMPARED = 100
MAX_PERCENTILES = 100
_HEADS = (1, 10, 100, 1000)
_SHARES = tuple(fractions.Fraction(percent, 100) for percent in (50, 80, 90, 99, 100))

router = APIRouter(tags=['analysis'])


@router.get('/v1/leaderboards/{event_type}/percentiles',
            responses={200: {'model': schemas.Percentiles}})
async def percentiles(
    request: Request, boards: OfApp, asked: Asked,
    p: Annotated[list[str], Query(
        min_length=1, max_length=MAX_PERCENTILES, description='Percents, above 0 and up to 100; '
        'may be given many times.', examples=[['50', '99.9']])] = ['50', '90', '95', '99'],   # noqa: B006
) -> Response:
  """Percentiles of the counts of a board's items, each item once: the least count that so many
  percent of the items do not exceed (nearest rank)."""
  percents = [_percent(text) for text in p]
  board = await ask_deep(boards, asked)
  content = {**spread_of(board), 'percentiles': [
      {'percent': float(percent), **distribution.percentile(board.brackets, percent)._asdict()}
      for percent in percents]}
  return Reply.of(content, board.read_at).response(request)


@router.get('/v1/leaderboards/{event_type}/distribution',
            responses={200: {'model': schemas.Distribution}})
async def spread(request: Request, boards: OfApp, asked: Asked) -> Response:
  """How the weight of a board is spread over its items: how many weigh how much, what the
  heaviest hold together, and how many of them it takes for a share of the total."""
  board = await ask_deep(boards, asked)
  content = {**spread_of(board), **await asyncio.to_thread(_distribution, board)}
  return Reply.of(content, board.read_at).response(request)


@router.get('/v1/leaderboards/{event_type}/compare',
            responses={200: {'model': schemas.Comparison}})
async def compare(
    request: Request, boards: OfApp, asked: Asked,
    k: Annotated[int, Query(ge=1, le=MAX_COMPARED, description='Leaders of each board.',
                            examples=[10])] = 10,
    with_at: Annotated[str | None, Query(
        max_length=40, description='A moment inside the window to compare with (default: the '
        'window before). Not with a range.', examples=['2013-06-30'])] = None,
    with_from: Annotated[str | None, Query(
        max_length=40, description='Start of the range to compare with, with `with_to` (default: '
        'the time just before, as long). Only with a range.', examples=['2013-06-24'])] = None,
    with_to: Annotated[str | None, Query(
        max_length=40, description='End of it, exclusive.', examples=['2013-07-01'])] = None,
    ties: Ties = 'ordinal') -> Response:
  """The leaders of two windows or ranges: what is proven of the change of each."""
  other = _other(asked, with_at, with_from, with_to)
  now = await ask_deep(boards, asked)
  before = await _ask_other(boards, other or dataclasses.replace(asked, at=now.from_secs - 1))
  changes = await asyncio.to_thread(_changes, now, before, k, ties)
  content = {'now': identity(now), 'before': identity(before), 'changes': changes}
  return Reply.of(content, min(now.read_at, before.read_at)).response(request)


@router.get('/v1/leaderboards/{event_type}/trend', responses={200: {'model': schemas.Trend}})
async def trend(
    request: Request, boards: OfApp, event_type: EventType, item: Item, tenant: Tenant = 'default',
    window: Window = None, at: At = None, from_: From = None, to: To = None,
    points: Annotated[int | None, Query(
        ge=1, le=MAX_POINTS, description='So many windows up to `at`, or up to the newest one '
        '(default 24). Not with `from` and `to`.', examples=[24])] = None,
    path: Annotated[schemas.StoredWay, Query(description='Which store tells.')] = 'auto',
    ties: Ties = 'ordinal') -> Response:
  """An item in every window of a size, either from `from` to `to` or the last ones."""
  check_text('event_type', event_type)
  check_text('tenant', tenant)
  check_item('item', item)
  size = read_window('1h' if window is None else window)
  if from_ is not None or to is not None:
    for name, value in (('from', from_), ('to', to)):
      if value is None:
        raise bad(name, None, 'a range needs both from and to', f'add {name}=...')
    for name, other in (('at', at), ('points', points)):
      if other is not None:
        raise bad(name, other, 'a range has from and to alone', f'leave {name} out')
    from_secs, to_secs = read_moment('from', str(from_)), read_moment('to', str(to))
    if to_secs <= from_secs:
      raise bad('to', to, f'must be later than from={from_}', 'turn them round')
    starts = starts_between(size, from_secs, to_secs)
  else:
    if at is None:
      newest = await boards.ask(Question(tenant, event_type, size, path=path))
      last = newest.from_secs
    else:
      last = read_moment('at', at)
    starts = starts_until(size, last, points or 24)
  content, read_at = await read_trend(boards, Trend(
      tenant, event_type, size, starts, item, ties, path))
  return Reply.of(content, read_at).response(request)


def _percent(text: str) -> fractions.Fraction:
  try:
    if len(text) > 20:
      raise ValueError
    # An exponent or a fraction may stand for a number that takes for ever.
    percent = fractions.Fraction(text if not set(text) - set('0123456789.') else 'none')
    if not 0 < percent <= 100:
      raise ValueError
  except (ValueError, ZeroDivisionError):
    raise bad('p', text, 'must be a decimal number above 0 and up to 100',
              'write 50 or 99.9') from None
  return percent


def _distribution(board: Board) -> dict[str, Any]:
  brackets = board.brackets
  bins = distribution.histogram(brackets, distribution.edges_for(brackets))
  heads = [(k, distribution.head_weight(brackets, k)) for k in _HEADS]
  return {
      'histogram': [{**found._asdict(), 'items': found.items._asdict()} for found in bins],
      'heads': [{'k': k, 'weight': weight._asdict(),
                 'share': as_shares(share(weight, brackets))} for k, weight in heads],
      'holding': [{'share': float(part),
                   'items': distribution.items_holding(brackets, part)._asdict()}
                  for part in _SHARES]}


def _other(asked: Question, with_at: str | None, with_from: str | None, with_to: str | None
           ) -> Question | None:
  """What to compare with; None for the window before the one that answers."""
  if asked.size is not None:
    for name, value in (('with_from', with_from), ('with_to', with_to)):
      if value is not None:
        raise bad(name, value, 'a window is compared with another one of its size',
                  'name with_at, or nothing')
    return None if with_at is None else dataclasses.replace(
        asked, at=read_moment('with_at', with_at))
  if with_at is not None:
    raise bad('with_at', with_at, 'a range is compared with a range',
              'name with_from and with_to, or neither')
  if with_from is None and with_to is None:
    assert asked.from_secs is not None and asked.to_secs is not None
    return dataclasses.replace(asked, from_secs=2 * asked.from_secs - asked.to_secs,
                               to_secs=asked.from_secs)
  for name, value in (('with_from', with_from), ('with_to', with_to)):
    if value is None:
      raise bad(name, None, 'a range needs both with_from and with_to', f'add {name}=...')
  start, end = read_moment('with_from', str(with_from)), read_moment('with_to', str(with_to))
  if end <= start:
    raise bad('with_to', with_to, f'must be later than with_from={with_from}', 'turn them round')
  return dataclasses.replace(asked, from_secs=start, to_secs=end)


async def _ask_other(boards: Boards, question: Question) -> Board:
  try:
    return await ask_deep(boards, question)
  except Problem as problem:
    if problem.status != 404:
      raise
    field = 'with_from' if question.size is None else 'with_at'
    raise Problem(404, problem.kind, f'nothing to compare with: {problem.detail}', field=field,
                  value=problem.value, remedy=f'name another time with {field}') from None


def _changes(now: Board, before: Board, k: int, ties: Ties) -> list[dict[str, Any]]:
  items = comparison.items_of_interest(now.brackets, before.brackets, k)
  return [_change(change, now.brackets, before.brackets) for change in comparison.compare(
      now.brackets, before.brackets, items, ties)]


def _change(change: comparison.Change, now: Brackets, before: Brackets) -> dict[str, Any]:
  gained = change.ranks_gained
  part, part_before = share(change.weight, now), share(change.before, before)
  return {
      'item': change.item,
      'now': _place(change.rank, change.weight, part),
      'before': _place(change.rank_before, change.before, part_before),
      'by': change.by._asdict(),
      # Of millionths that were rounded outwards already: what is left is the rounding of floats.
      'share_by': as_shares((round(part[0] - part_before[1], 6),
                             round(part[1] - part_before[0], 6))),
      'ranks_gained': gained and gained._asdict(), 'direction': change.direction}


def _place(rank: RankBounds | None, weight: Between, part: tuple[float, float]) -> dict[str, Any]:
  return {'rank': as_ranks(rank), 'count': weight.lower, **weight._asdict(),
          'share': as_shares(part)}
