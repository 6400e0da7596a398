"""What is stored, and how the service is: for its operators, and for the page's switches."""
import asyncio
import hmac
import pathlib
import time
from collections.abc import Awaitable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response

from leaderboard.api import schemas
from leaderboard.api.boards import Boards, boards_of
from leaderboard.api.breaker import StoreDown
from leaderboard.api.parameters import check_text
from leaderboard.api.problems import Problem
from leaderboard.io.flags import utc
from leaderboard.transforms.boards import parse_window_size

OfApp = Annotated[Boards, Depends(boards_of)]
MOST_FAMILIES = 10_000
_LISTED_SECS = 10

router = APIRouter(tags=['operations'])


@router.get('/v1/event_types', tags=['leaderboards'],
            responses={200: {'model': schemas.EventTypes}})
async def event_types(boards: OfApp, tenant: Annotated[str | None, Query(
    min_length=1, max_length=64, description='Only of this tenant.',
    examples=['JFK'])] = None) -> Any:
  """What boards there are: tenants, event types, window sizes, and their newest windows."""
  if tenant is not None:
    check_text('tenant', tenant)
  return {'boards': [board for board in await _listed(boards)
                     if tenant is None or board['tenant'] == tenant]}


@router.get('/v1/tenants', tags=['leaderboards'], responses={200: {'model': schemas.Tenants}})
async def tenants(boards: OfApp) -> Any:
  """Whose boards there are."""
  return {'tenants': sorted({board['tenant'] for board in await _listed(boards)})}


async def _listed(boards: Boards) -> list[dict[str, Any]]:
  """All families, of the first store that tells them; at most so many seconds old."""
  kept = boards.listed
  if kept and time.monotonic() - kept[0] < _LISTED_SECS:
    return kept[1]
  return await boards.listing.do('families', lambda: _list(boards))


async def _list(boards: Boards) -> list[dict[str, Any]]:
  asked_at = time.monotonic()
  problems = []
  for store in (boards.history, boards.live):
    if store is None:
      continue
    try:
      families = await store.families(MOST_FAMILIES)
    except StoreDown as error:
      problems.append(str(error))
      continue
    if families:
      listed = _grouped(families)
      boards.listed = asked_at, listed
      return listed
  if problems:
    raise Problem(503, 'unavailable', '; '.join(problems), remedy='try again in a moment',
                  retry_secs=1)
  return []


def _grouped(families: list[tuple[str, str, str, int, int]]) -> list[dict[str, Any]]:
  groups: dict[tuple[str, str], list[tuple[int, dict[str, Any]]]] = {}
  for tenant, kind, size, oldest, newest in families:
    try:
      secs = parse_window_size(size).secs
    except ValueError:   # of another program
      continue
    groups.setdefault((tenant, kind), []).append(
        (secs, {'size': size, 'oldest': utc(oldest), 'newest': utc(newest)}))
  return [{'tenant': tenant, 'event_type': kind,
           'windows': [window for _, window in sorted(windows, key=lambda pair: pair[0])]}
          for (tenant, kind), windows in sorted(groups.items())]


@router.get('/healthz')
async def healthz() -> Any:
  """Whether the process runs and answers."""
  return {'status': 'ok'}


@router.get('/readyz', responses={503: {'description': 'No store is within reach.'}})
async def readyz(boards: OfApp, response: Response) -> Any:
  """Whether it can answer: at least one of its stores is within reach."""
  stores: dict[str, Awaitable[str]] = {}
  if boards.live:
    stores['redis'] = _state(boards.live.call(boards.live.client.ping))
  if boards.history:
    stores['postgres'] = _state(boards.history.fetch('select 1 from board_windows limit 1'))
  if boards.archive:
    stores['parquet'] = _folder(boards.settings.parquet or '')
  found = dict(zip(stores, await asyncio.gather(*stores.values()), strict=True))
  ready = 'ok' in found.values()
  response.status_code = 200 if ready else 503
  return {'status': 'ok' if ready else 'unavailable', 'stores': found}


async def _state(call: Awaitable[Any]) -> str:
  try:
    await call
  except StoreDown as error:
    return str(error)
  return 'ok'


async def _folder(path: str) -> str:
  return 'ok' if await asyncio.to_thread(pathlib.Path(path).is_dir) else 'the folder is not there'


@router.get('/metrics', include_in_schema=False)
async def metrics(boards: OfApp) -> Response:
  """Counters for Prometheus."""
  told = boards.metrics
  for name, store in (('redis', boards.live), ('postgres', boards.history)):
    if store:
      told.stores.labels(name).set(not store.breaker.open)
  told.connected.set(boards.freshness.connected)
  return Response(told.text(), media_type='text/plain; version=0.0.4; charset=utf-8')


@router.post('/v1/caches:flush', responses={
    200: {'description': 'All that was kept in this process is forgotten.'},
    401: {'description': 'The token is missing or wrong.'}})
async def flush(request: Request, boards: OfApp,
                authorization: Annotated[str | None, Header()] = None) -> Any:
  """Forgets every answer that this process keeps."""
  token = boards.settings.admin_token
  shown = (authorization or '').removeprefix('Bearer').strip()
  if not token or not hmac.compare_digest(token.encode(), shown.encode()):
    raise Problem(401, 'unauthorized', 'flushing takes the token of --admin_token',
                  field='authorization',
                  remedy='send Authorization: Bearer TOKEN' if token else
                  'start the service with --admin_token')
  boards.flush()
  return {'status': 'flushed'}
