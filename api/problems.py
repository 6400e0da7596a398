"""What went wrong, told as problem details (RFC 9457): one field, its value and the remedy."""
import http
from typing import Any

import orjson
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException as StarletteException

MEDIA_TYPE = 'application/problem+json'
_SHOWN = 200   # characters of a value that are told back
# As RFC 9110 has them; Python before 3.13 knows older names.
_TITLES = {413: 'Content Too Large', 414: 'URI Too Long', 422: 'Unprocessable Content'}


class Problem(Exception):
  """An answer that cannot be given.

  Args:
    status: HTTP status.
    kind: what it is, in snake case, the same for every such problem: the last part of `type`.
    detail: one sentence.
    field: the parameter that is at fault, where one is.
    value: what it was.
    remedy: what to do.
    retry_secs: when to try again.
  """

  def __init__(self, status: int, kind: str, detail: str, *, field: str | None = None,
               value: Any = None, remedy: str | None = None,
               retry_secs: int | None = None) -> None:
    super().__init__(detail)
    self.status, self.kind, self.detail = status, kind, detail
    self.field, self.value, self.remedy, self.retry_secs = field, value, remedy, retry_secs

  def response(self) -> Response:
    """The problem as it is sent."""
    content = {
        'type': f'urn:topk-leaderboard:{self.kind}',
        'title': _TITLES.get(self.status) or http.HTTPStatus(self.status).phrase,
        'status': self.status, 'detail': self.detail, 'field': self.field,
        'value': shown(self.value), 'remedy': self.remedy}
    headers = {'Cache-Control': 'no-store'}
    if self.retry_secs is not None:
      headers['Retry-After'] = str(self.retry_secs)
    return Response(orjson.dumps(content), self.status, headers, MEDIA_TYPE)


class BodyTooLarge(HTTPException):
  """The body goes on beyond what is allowed. FastAPI takes any other exception of reading it for a
  mistake of the client's."""

  def __init__(self, problem: Problem) -> None:
    super().__init__(problem.status)
    self.problem = problem


def bad(field: str, value: Any, detail: str,
        remedy: str = 'GET /openapi.json tells what it may be') -> Problem:
  """A parameter that cannot be (status 422)."""
  return Problem(422, 'bad_parameter', f'{field}: {detail}', field=field, value=value,
                 remedy=remedy)


def shown(value: Any) -> Any:
  """A value, short enough to be told back."""
  if value is None or isinstance(value, (int, float)):
    return value
  text = str(value).encode('utf-8', 'replace').decode()   # JSON may bring lone surrogates
  return text if len(text) <= _SHOWN else f'{text[:_SHOWN]}... ({len(text)} characters)'


def install(app: FastAPI) -> None:
  """Has the application tell every failure as a problem."""

  @app.exception_handler(Problem)
  async def problem(_: Request, error: Problem) -> Response:
    return error.response()

  @app.exception_handler(RequestValidationError)
  async def invalid(_: Request, error: RequestValidationError) -> Response:
    return _of_validation(error).response()

  @app.exception_handler(BodyTooLarge)
  async def too_large(_: Request, error: BodyTooLarge) -> Response:
    return error.problem.response()

  @app.exception_handler(StarletteException)
  async def refused(request: Request, error: StarletteException) -> Response:
    path = request.url.path
    kinds = {400: 'bad_body', 404: 'not_found', 405: 'method_not_allowed'}
    unread = error.status_code == 400   # the one thing that FastAPI says it of
    answer = Problem(error.status_code, kinds.get(error.status_code, 'refused'),
                     f'{request.method} {shown(path)}: {error.detail}',
                     field='body' if unread else 'path', value=None if unread else path,
                     remedy='GET /openapi.json lists what there is').response()
    for name, value in (error.headers or {}).items():
      answer.headers[name] = value
    return answer

  @app.exception_handler(Exception)
  async def failed(_: Request, __: Exception) -> Response:
    return Problem(500, 'internal_error', 'the service failed; its log says why').response()


def _of_validation(error: RequestValidationError) -> Problem:
  first = error.errors()[0]
  if first['type'] == 'json_invalid':
    return bad('body', None, f"is no JSON, from character {first['loc'][-1]} on",
               'GET /openapi.json tells what it may be')
  place = [str(part) for part in first['loc']]
  field = '.'.join(place[1:]) or place[0]
  value = None if first['type'] == 'missing' else first.get('input')
  return bad(field, value, first['msg'][:1].lower() + first['msg'][1:])
