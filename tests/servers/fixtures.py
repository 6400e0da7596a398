"""Fixtures of the servers that are expensive to start."""
import os

import pytest

from servers import axe, chromium, flink, google, kafka, prism


def need(reason: str | None) -> None:
  """Skips the test for that reason; where CI is set a missing tool is a failure."""
  if reason and os.environ.get('CI') == 'true':
    pytest.fail(reason)
  if reason:
    pytest.skip(reason)


@pytest.fixture(scope='session')
def _flink_cluster():
  need(flink.missing())
  with flink.FlinkCluster() as cluster:
    yield cluster


@pytest.fixture
def flink_cluster(_flink_cluster):
  """A Flink cluster with a task manager of two slots and nothing else to do."""
  if not _flink_cluster.running_task_managers():
    _flink_cluster.start_task_manager()
  yield _flink_cluster
  _flink_cluster.cancel_jobs()


@pytest.fixture
def prism_flags():
  """Runs a streaming job on Prism."""
  need(prism.missing())
  return prism.flags()


@pytest.fixture(scope='session')
def _broker():
  need(kafka.missing())
  with kafka.Broker() as broker:
    yield broker


@pytest.fixture
def broker(_broker):
  """A Kafka broker, with the topics of other tests."""
  return _broker


@pytest.fixture(scope='session')
def _browser(tmp_path_factory):
  need(chromium.missing())
  with chromium.Chromium(tmp_path_factory.mktemp('chromium')) as browser:
    yield browser


@pytest.fixture
def tab(_browser):
  """A tab of a browser, which shares nothing with those of other tests."""
  with _browser.tab() as page:
    yield page


@pytest.fixture(scope='session')
def axe_source():
  """The script of axe-core, which looks for faults of accessibility."""
  need(axe.missing())
  return axe.source()


@pytest.fixture
def secrets():
  """What `secret_manager` keeps: name -> secret."""
  return {}


@pytest.fixture
def secret_manager(secrets, monkeypatch):
  """A stand-in for Google's Secret Manager, host:port; this process asks it too."""
  with google.secret_manager(secrets) as address:
    monkeypatch.setenv('SECRET_MANAGER_EMULATOR_HOST', address)
    yield address
