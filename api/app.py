"""The application: its layers and routes, and what it holds while it runs."""
import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from fastapi import Depends, FastAPI
from pydantic import TypeAdapter
from starlette.middleware.cors import CORSMiddleware

from leaderboard.api import (
    analysis,
    changes,
    leaderboards,
    members,
    operations,
    page,
    problems,
    schemas,
)
from leaderboard.api.boards import Boards
from leaderboard.api.compression import Compression
from leaderboard.api.examples import PROBLEM
from leaderboard.api.guard import Guard
from leaderboard.api.metrics import Metrics
from leaderboard.api.parameters import refuse_unknown
from leaderboard.api.problems import MEDIA_TYPE
from leaderboard.api.settings import Settings
from leaderboard.api.warmth import keep_warm

_DESCRIPTION = """\
Leaderboards with bounds that always hold: `lower <= true count <= upper`. Moments are RFC 3339,
counts exact integers of up to 63 bits. A refusal is a problem (RFC 9457) that names the field."""
_REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {'description': text, 'content': {MEDIA_TYPE: {
        'schema': TypeAdapter(schemas.Problem).json_schema(), 'example': PROBLEM}}}
    for status, text in ((404, 'There is no such board.'), (414, 'The query is too long.'),
                         (422, 'A parameter cannot be.'), (503, 'No store can answer now.'))}


def create_app(settings: Settings) -> FastAPI:
  """The service as an ASGI application.

  Args:
    settings: no store is `embedded` any more: `serve` has put the URLs of the servers there.
  """
  metrics = Metrics()

  @contextlib.asynccontextmanager
  async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with Boards(settings, metrics).open() as boards:
      app.state.boards = boards
      warm = asyncio.create_task(keep_warm(boards, settings.warm, max(settings.cache_secs * .8, 1)))
      try:
        yield
      finally:
        warm.cancel()
        await asyncio.gather(warm, return_exceptions=True)

  app = FastAPI(title='topk-leaderboard', version='1', description=_DESCRIPTION,
                lifespan=lifespan, responses=_REFUSALS, dependencies=[Depends(refuse_unknown)],
                # The pages of these load scripts from elsewhere.
                docs_url=None, redoc_url=None)
  app.state.known_parameters = {}
  problems.install(app)
  for module in (leaderboards, members, analysis, changes, operations, page):
    app.include_router(module.router)
  app.add_middleware(Compression)
  if settings.cors_origins:
    app.add_middleware(
        CORSMiddleware, allow_origins=settings.cors_origins, allow_methods=['GET', 'POST'],
        allow_headers=['If-None-Match', 'Last-Event-ID'], expose_headers=['ETag', 'Retry-After'])
  app.add_middleware(Guard, metrics=metrics)
  app.openapi()   # now, and not while the first request waits for its parameters
  return app
