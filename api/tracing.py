"""Spans for OpenTelemetry, where it is installed and an exporter is set up; otherwise nothing.

`opentelemetry-instrument topk-serve ...` sets one up from its own environment variables.
"""
import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

try:
  from opentelemetry import propagate, trace
except ImportError:   # an option
  _tracer: Any = None
else:
  _tracer = trace.get_tracer('topk-leaderboard')


@contextlib.contextmanager
def span(name: str) -> Iterator[Any]:
  """A span around what is done inside; of a failure it keeps the exception."""
  if _tracer is None:
    yield None
    return
  with _tracer.start_as_current_span(name) as current:
    yield current


@contextlib.contextmanager
def server_span(method: str, headers: Sequence[tuple[bytes, bytes]]) -> Iterator[Any]:
  """The span of a request, within the trace that its headers name."""
  if _tracer is None:
    yield None
    return
  carrier = {name.decode('latin-1'): value.decode('latin-1') for name, value in headers
             if name in (b'traceparent', b'tracestate')}
  with _tracer.start_as_current_span(method, context=propagate.extract(carrier),
                                     kind=trace.SpanKind.SERVER) as current:
    yield current


def describe(current: Any, method: str, route: str, status: int) -> None:
  """Names the span of a request, once its route is known."""
  if current is not None and current.is_recording():
    current.update_name(f'{method} {route}')
    current.set_attributes({'http.request.method': method, 'http.route': route,
                            'http.response.status_code': status})
    if status >= 500:
      current.set_status(trace.StatusCode.ERROR)
