"""The application: its routes, and what it holds while it runs."""
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from leaderboard.api import analysis, changes, leaderboards, members, page, problems
from leaderboard.api.boards import Boards
from leaderboard.api.settings import Settings


def create_app(settings: Settings) -> FastAPI:
  """The service as an ASGI application.

  Args:
    settings: no store is `embedded` any more: `serve` has put the URLs of the servers there.
  """

  @asynccontextmanager
  async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with Boards(settings).open() as boards:
      app.state.boards = boards
      yield

  app = FastAPI(title='topk-leaderboard', version='1', lifespan=lifespan,
                description='Leaderboards with bounds that always hold.')
  app.state.settings = settings
  problems.install(app)
  for module in (leaderboards, members, analysis, changes, page):
    app.include_router(module.router)
  return app
