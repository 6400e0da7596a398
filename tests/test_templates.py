"""Flex Templates: metadata that is made from the options, and launchers that submit."""
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest
from apache_beam.runners.dataflow.internal import apiclient

from leaderboard.pipelines import backfill, topk
from leaderboard.pipelines.command import submit
from leaderboard.templates import metadata
from leaderboard.templates.parameters import PARAMETERS

ROOT = pathlib.Path(__file__).parent.parent
DRY_RUN = ['--runner=DataflowRunner', '--project=my-project', '--region=us-central1',
           '--job_name=topk', '--temp_location=gs://test-bucket/tmp', '--dry_run=True', '--no_auth',
           '--staging_location=gs://test-bucket/staging', '--preflight=off',
           '--sdk_container_image=gcr.io/my-project/topk-leaderboard:1',
           '--experiments=use_runner_v2']
STORES = ['--redis=secret://projects/my-project/secrets/redis-url',
          '--postgres=secret://projects/my-project/secrets/postgres-dsn',
          '--parquet=gs://my-bucket/boards']
SOURCES = {
    'kafka': ['--kafka=kafka-1:9092,kafka-2:9092', '--topics=^events-.*', '--early=10s'],
    'pubsub': ['--subscription=projects/my-project/subscriptions/events',
               '--timestamp_attribute=ts', '--id_label=uid'],
}
# The fields that the service knows: TemplateMetadata and ParameterMetadata of v1b3.
TEMPLATE_FIELDS = {'name', 'description', 'parameters', 'streaming', 'supportsAtLeastOnce',
                   'supportsExactlyOnce', 'defaultStreamingMode'}
PARAMETER_FIELDS = {
    'name', 'label', 'helpText', 'isOptional', 'regexes', 'paramType', 'defaultValue',
    'enumOptions', 'groupName', 'parentName', 'parentTriggerValues', 'hiddenUi', 'customMetadata'}
PARAMETER_TYPES = {
    'DEFAULT', 'TEXT', 'GCS_READ_BUCKET', 'GCS_WRITE_BUCKET', 'GCS_READ_FILE', 'GCS_WRITE_FILE',
    'GCS_READ_FOLDER', 'GCS_WRITE_FOLDER', 'PUBSUB_TOPIC', 'PUBSUB_SUBSCRIPTION', 'BIGQUERY_TABLE',
    'JAVASCRIPT_UDF_FILE', 'SERVICE_ACCOUNT', 'MACHINE_TYPE', 'KMS_KEY_NAME', 'WORKER_REGION',
    'WORKER_ZONE', 'BOOLEAN', 'ENUM', 'NUMBER', 'KAFKA_READ_TOPIC', 'KAFKA_WRITE_TOPIC'}
TEMPLATES = sorted(metadata.TEMPLATES)


@pytest.mark.parametrize('template', TEMPLATES)
def test_every_parameter_is_an_option_and_every_option_a_parameter(template):
  told = [parameter['name'] for parameter in metadata.metadata(template)['parameters']]
  assert set(told) == set(metadata.flags_of(metadata.TEMPLATES[template][0]))
  assert len(told) == len(set(told))


@pytest.mark.parametrize('template', TEMPLATES)
def test_stored_metadata_is_what_the_options_make(template):
  stored = (ROOT / 'templates' / template / 'metadata.json').read_text()
  assert stored == metadata.as_text(template), (
      'made anew by: python -m leaderboard.templates.metadata templates')


@pytest.mark.parametrize('template', TEMPLATES)
def test_service_knows_every_field(template):
  told = metadata.metadata(template)
  assert told.keys() <= TEMPLATE_FIELDS
  names = {parameter['name'] for parameter in told['parameters']}
  for parameter in told['parameters']:
    assert parameter.keys() <= PARAMETER_FIELDS
    assert {'name', 'label', 'helpText'} <= parameter.keys()
    assert parameter['paramType'] in PARAMETER_TYPES
    assert parameter.get('parentName', parameter['name']) in names
    assert 'Example' in parameter['helpText']
    assert all({'value', 'label'} == option.keys() for option in parameter.get('enumOptions', []))


def samples():
  for template in TEMPLATES:
    for parameter in metadata.metadata(template)['parameters']:
      yield pytest.param(parameter, id=f'{template}-{parameter["name"]}')


@pytest.mark.parametrize('parameter', samples())
def test_defaults_and_examples_are_taken_and_wrong_values_are_not(parameter):
  known = PARAMETERS[parameter['name']]
  (regex,) = parameter['regexes']
  right = [known.example]
  if 'defaultValue' in parameter:
    right.append(parameter['defaultValue'])
  right += re.findall(r'Example: (\S+)$', parameter['helpText'])
  for value in right:
    assert re.fullmatch(regex, value), value
  assert not re.fullmatch(regex, known.wrong), known.wrong


def described(job, folder):
  """The JSON that would be sent to the service."""
  job.google_cloud_options.staging_location = str(folder)
  client = apiclient.DataflowApplicationClient(job.options, str(folder))
  client.create_job_description(job)
  return job.json()


@pytest.mark.parametrize('source', sorted(SOURCES))
def test_whole_job_is_described_without_a_secret(source, tmp_path, monkeypatch):
  monkeypatch.setattr(sys, 'argv', ['launch.py', *SOURCES[source], *STORES, *DRY_RUN])
  result = topk.launch()
  told = json.loads(described(result.job, tmp_path))
  assert told['type'] == 'JOB_TYPE_STREAMING'
  environment = told['environment']
  assert any('use_runner_v2' in experiment or 'use_unified_worker' in experiment
             for experiment in environment['experiments'])
  images = [image['containerImage'] for pool in environment['workerPools']
            for image in pool.get('sdkHarnessContainerImages', [])]
  assert 'gcr.io/my-project/topk-leaderboard:1' in images
  shown = json.dumps(told['environment'])
  assert 'secret://projects/my-project/secrets/redis-url' in shown   # the reference, no more


@pytest.mark.slow
@pytest.mark.parametrize(('template', 'flags'), [
    ('topk', [*SOURCES['kafka'], *STORES]),
    ('topk', [*SOURCES['pubsub'], *STORES]),
    ('backfill', ['--kafka=kafka-1:9092', '--topics=events', '--from=2013-07-01',
                  '--to=2013-07-02', '--generation=1', *STORES]),
])
def test_launcher_submits_and_returns(template, flags, tmp_path):
  done = subprocess.run(
      [sys.executable, str(ROOT / 'templates' / template / 'launch.py'), *flags, *DRY_RUN],
      cwd='/', capture_output=True, text=True, timeout=120,
      env={**os.environ, 'HOME': str(tmp_path)})
  assert (done.returncode, done.stderr) == (0, '')


def test_launcher_tells_what_is_wrong_in_one_line(monkeypatch, capsys):
  monkeypatch.setattr(sys, 'argv', ['launch.py', *SOURCES['kafka'], '--redis=embedded', *DRY_RUN])
  assert submit('topk', topk.launch) == 2
  assert capsys.readouterr().err.startswith('topk: --redis, --postgres: embedded servers end')
  monkeypatch.setattr(sys, 'argv', ['launch.py', *DRY_RUN])
  assert submit('backfill', backfill.launch) == 2
  assert 'backfill: --from: is required' in capsys.readouterr().err
