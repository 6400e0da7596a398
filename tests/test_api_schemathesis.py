"""Ten thousand generated requests over the OpenAPI: no server error, every refusal a problem, and
every answer as it is described."""
import collections

import hypothesis
import pytest
import requests
import schemathesis
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance

CASES = 10_000
OTHER_CASES = 100   # of an operation that says what there is, or how the service is
# What the stores hold, so that not every request is of a board that is not there.
REAL = {'tenant': 'JFK', 'window': '1h', 'at': '2013-02-10T15:30:00Z', 'from': '2013-02-10',
        'to': '2013-02-10T14:00:00Z', 'item': 'LAX', 'with_from': '2013-02-08',
        'with_to': '2013-02-09'}
STATUSES = {200, 304, 400, 401, 404, 405, 406, 413, 414, 415, 422}


@pytest.mark.slow
def test_no_generated_request_is_a_server_error(flight_service):
  schema = schemathesis.openapi.from_url(f'{flight_service.base_url}/openapi.json')
  operations = [found.ok() for found in schema.get_all_operations()]
  # A stream has no end; its parameters are tried in tests of its own.
  operations = [operation for operation in operations if not operation.path.endswith('/changes')]
  boards = [operation for operation in operations if '{event_type}' in operation.path]
  statuses = collections.Counter()
  with requests.Session() as session:
    for operation in operations:
      run(operation, session, statuses,
          -(-CASES // len(boards)) if operation in boards else OTHER_CASES)
  assert statuses.total() >= CASES
  assert statuses[200] >= CASES // 20 and statuses[422] >= CASES // 20, statuses


def run(operation, session, statuses, cases):
  """Sends so many requests of one operation."""
  def send(case, real):
    case.path_parameters.update({'event_type': 'flight'} if 'event_type' in (
        case.path_parameters) and real else {})
    query = case.query or {}
    case.query = query | {name: REAL[name] for name in real if name in query}
    response = case.call(session=session, timeout=30)
    statuses[response.status_code] += 1
    assert response.status_code in STATUSES, (response.status_code, case.as_curl_command())
    case.validate_response(response, checks=[not_a_server_error, response_schema_conformance])
    if response.status_code >= 400:
      problem = response.json()
      assert response.headers['content-type'][0] == 'application/problem+json'
      assert problem['status'] == response.status_code and problem['detail'], problem

  test = hypothesis.given(case=operation.as_strategy(), real=st.sets(st.sampled_from(sorted(REAL))))
  hypothesis.settings(
      max_examples=cases, deadline=None, derandomize=True, database=None,
      phases=[hypothesis.Phase.generate],
      suppress_health_check=list(hypothesis.HealthCheck))(test(send))()
