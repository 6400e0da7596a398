"""Spans of requests and of what they ask the stores."""
import pytest
import serving
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from leaderboard.api import tracing

TRACE = '4bf92f3577b34da6a3ce929d0e0e4736'


@pytest.fixture
def spans(monkeypatch):
  exporter = InMemorySpanExporter()
  provider = TracerProvider()
  provider.add_span_processor(SimpleSpanProcessor(exporter))
  monkeypatch.setattr(tracing, '_tracer', provider.get_tracer('test'))
  return exporter


def test_request_and_its_reads_are_one_trace(flight_stores, spans):
  with serving.serving(flight_stores) as client:
    client.get('/v1/leaderboards/flight?tenant=JFK&from=2013-02-08&to=2013-02-09',
               headers={'traceparent': f'00-{TRACE}-00f067aa0ba902b7-01'})
    client.get('/v1/leaderboards/flight?k=0')
  mine = [span for span in spans.get_finished_spans()
          if f'{span.context.trace_id:032x}' == TRACE]
  (request,) = [span for span in mine if span.kind == trace.SpanKind.SERVER]
  assert request.name == 'GET /v1/leaderboards/{event_type}'
  assert request.attributes['http.response.status_code'] == 200
  assert {span.name for span in mine if span is not request} == {'PostgreSQL'}
  refused = [span for span in spans.get_finished_spans()
             if (span.attributes or {}).get('http.response.status_code') == 422]
  assert len(refused) == 1 and refused[0].status.status_code == trace.StatusCode.UNSET


def test_nothing_is_needed_where_it_is_not_installed(flight_stores, monkeypatch):
  monkeypatch.setattr(tracing, '_tracer', None)
  with serving.serving(flight_stores) as client:
    assert client.get('/v1/leaderboards/flight?tenant=JFK&window=1d').status_code == 200
