"""Flex Templates: metadata that is made from the options, and launchers that submit."""
import json
import pathlib
import re
import shlex
import sys

import hcl2
import psycopg
import pytest
from apache_beam.portability.api import beam_runner_api_pb2 as api
from test_runners_dataflow import functions

from leaderboard.io.postgresio import PostgresBoards
from leaderboard.pipelines import backfill, rollup, topk
from leaderboard.pipelines.command import submit
from leaderboard.templates import metadata, spec
from leaderboard.templates.parameters import PARAMETERS

ROOT = pathlib.Path(__file__).parent.parent
IMAGE = 'us-docker.pkg.dev/my-project/boards/topk:1'
DRY_RUN = ['--runner=DataflowRunner', '--project=my-project', '--region=us-central1',
           '--job_name=topk', '--temp_location=gs://test-bucket/tmp', '--dry_run=True', '--no_auth',
           '--staging_location=gs://test-bucket/staging', f'--sdk_container_image={IMAGE}',
           '--experiments=use_runner_v2']
WORD = 'hidden-word'
# Runs a launcher as the service does, and keeps the graph that it would have submitted.
LAUNCH = """
import runpy, sys
from apache_beam.runners.dataflow import dataflow_runner
run = dataflow_runner.DataflowRunner.run_pipeline
graph, launcher = sys.argv[1:3]
def kept(*args, **more):
  result = run(*args, **more)
  with open(graph, 'wb') as file:
    file.write(result.job.proto_pipeline.SerializeToString())
  return result
dataflow_runner.DataflowRunner.run_pipeline = kept
sys.argv = sys.argv[2:]
runpy.run_path(launcher, run_name='__main__')
"""
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
SPEC_FIELDS = {'image', 'sdkInfo', 'defaultEnvironment', 'metadata'}
# FlexTemplateRuntimeEnvironment, as far as a specification of ours may go.
ENVIRONMENT_FIELDS = {
    'numWorkers', 'maxWorkers', 'serviceAccountEmail', 'tempLocation', 'machineType', 'network',
    'subnetwork', 'additionalExperiments', 'additionalUserLabels', 'kmsKeyName', 'workerRegion',
    'workerZone', 'ipConfiguration', 'enableStreamingEngine', 'stagingLocation',
    'sdkContainerImage', 'diskSizeGb', 'autoscalingAlgorithm', 'launcherMachineType',
    'streamingMode', 'additionalPipelineOptions'}
TEMPLATES = sorted(metadata.TEMPLATES)
LAUNCHES = [(template, source) for template in TEMPLATES
            for source in metadata.TEMPLATES[template].sources or [None]]


@pytest.mark.parametrize('template', TEMPLATES)
def test_every_parameter_is_an_option_and_every_option_a_parameter(template):
  told = [parameter['name'] for parameter in metadata.metadata(template)['parameters']]
  assert set(told) == set(metadata.flags_of(template))
  assert len(told) == len(set(told))
  every = {name for one in TEMPLATES for name in metadata.flags_of(one)}
  assert every == set(PARAMETERS)


@pytest.mark.parametrize('template', TEMPLATES)
def test_examples_hold_every_parameter_in_turn(template):
  sources = metadata.TEMPLATES[template].sources or [None]
  given = {name for source in sources for name in metadata.examples(template, source)}
  # A backfill makes no sliding windows, and says so.
  assert set(metadata.flags_of(template)) - given == (
      {'sliding'} if template == 'backfill' else set())


@pytest.mark.parametrize('template', TEMPLATES)
def test_making_the_files_again_gives_no_difference(template, tmp_path):
  assert metadata.main([str(tmp_path)]) == 0
  for name in ('metadata.json', 'README.md'):
    made = (tmp_path / template / name).read_text()
    assert made == (ROOT / 'templates' / template / name).read_text(), (
        'made anew by: python -m leaderboard.templates.metadata templates')


@pytest.mark.parametrize('template', TEMPLATES)
def test_service_knows_every_field(template):
  told = spec.spec(template, IMAGE)
  assert told.keys() == SPEC_FIELDS
  assert told['defaultEnvironment'].keys() <= ENVIRONMENT_FIELDS
  assert told['sdkInfo'] == {'language': 'PYTHON'}
  told = told['metadata']
  assert told.keys() <= TEMPLATE_FIELDS
  names = {parameter['name'] for parameter in told['parameters']}
  for parameter in told['parameters']:
    assert parameter.keys() <= PARAMETER_FIELDS
    assert {'name', 'label', 'helpText'} <= parameter.keys()
    assert parameter['paramType'] in PARAMETER_TYPES
    assert parameter.get('parentName', parameter['name']) in names
    assert 'Example' in parameter['helpText']
    assert all({'value', 'label'} == option.keys() for option in parameter.get('enumOptions', []))
    assert (parameter['paramType'] == 'ENUM') == ('enumOptions' in parameter)


@pytest.mark.parametrize(('template', 'parameter'), [
    pytest.param(template, parameter, id=f'{template}-{parameter["name"]}')
    for template in TEMPLATES for parameter in metadata.metadata(template)['parameters']])
def test_defaults_and_examples_are_taken_and_wrong_values_are_not(template, parameter):
  known = PARAMETERS[parameter['name']]
  (regex,) = parameter['regexes']
  right = [known.example, metadata.TEMPLATES[template].examples.get(parameter['name'])]
  right.append(parameter.get('defaultValue'))
  right += re.findall(r'Example: (\S+)$', parameter['helpText'])
  for value in filter(None, right):
    assert re.fullmatch(regex, value), value
  assert not re.fullmatch(regex, known.wrong), known.wrong


def test_specification_is_written_or_refused_in_one_line(tmp_path, capsys):
  path = tmp_path / 'topk.json'
  assert spec.main(['topk', f'--image={IMAGE}', f'--output={path}']) == 0
  assert json.loads(path.read_text()) == spec.spec('topk', IMAGE)
  assert capsys.readouterr().out == f'{path}\n'
  for image in ('topk', 'gcr.io/p/topk', 'gcr.io/p/topk:latest', 'gcr.io/p/topk@sha256:12'):
    with pytest.raises(SystemExit, match='2'):
      spec.main(['topk', f'--image={image}'])
    assert f"with a tag that stays what it is; got '{image}'" in capsys.readouterr().err
  assert spec.main(['topk', f'--image={IMAGE}', '--output=nowhere://x/y']) == 1
  assert capsys.readouterr().err.startswith('spec: --output: cannot write nowhere://x/y')


@pytest.mark.parametrize('template', TEMPLATES)
def test_page_launches_the_first_job_in_three_ways(template):
  page = (ROOT / 'templates' / template / 'README.md').read_text()
  first = metadata.first_job(template)
  parameters = {one['name']: one for one in metadata.metadata(template)['parameters']}
  for name, value in first.items():
    assert re.fullmatch(parameters[name]['regexes'][0], value)
  assert set(metadata.TEMPLATES[template].required) <= first.keys()

  docker, gcloud, rest = re.findall(r'```text\n(.*?)```', page, re.DOTALL)[:3]
  given = {}
  for word in shlex.split(gcloud.replace('\\\n', ' ')):
    if word.startswith('--parameters='):
      name, _, value = word.removeprefix('--parameters=').removeprefix('^~^').partition('=')
      assert ('^~^' in word) == (',' in value)
      given[name] = value
  assert given == first
  words = shlex.split(rest.replace('\\\n', ' '))
  launch = json.loads(words[words.index('--data') + 1])['launchParameter']
  assert launch.keys() == {'jobName', 'containerSpecGcsPath', 'parameters'}
  assert launch['parameters'] == first
  (terraform,) = re.findall(r'```terraform\n(.*?)```', page, re.DOTALL)
  (resource,) = hcl2.loads(terraform)['resource']
  (job,) = [job for kinds in resource.values() for job in kinds.values()]
  assert {unquoted(name): unquoted(value)
          for name, value in job['parameters'].items()} == first
  path = launch['containerSpecGcsPath']
  assert unquoted(job['container_spec_gcs_path']) == path and path in docker and path in gcloud


def unquoted(text):
  """What a string of Terraform says; one version of the reader leaves its quotes on."""
  return text.strip('"')


@pytest.fixture
def history(postgres_dsn, make_record, secrets):
  """PostgreSQL with an hour's board, under the name of the examples, its password with it."""
  boards = PostgresBoards(postgres_dsn)
  boards.apply([make_record({'a': 1}, window_start=1_373_000_400, window_end=1_373_004_000)])
  boards.close()
  secrets['projects/my-project/secrets/postgres-dsn'] = psycopg.conninfo.make_conninfo(
      postgres_dsn, password=WORD)
  secrets['projects/my-project/secrets/redis-url'] = f'redis://:{WORD}@localhost:1/0'


@pytest.mark.slow
@pytest.mark.parametrize(('template', 'source'), LAUNCHES)
def test_launcher_with_every_example_describes_the_whole_job_without_a_secret(
    template, source, image, history, secret_manager, tmp_path):
  settings = tmp_path / 'kafka.properties'
  settings.write_text('security.protocol=SASL_SSL\nsasl.password=env:KAFKA_WORD\n')
  # Without the service and its stores none can be tried, nor a file of gs:// be read.
  given = {**metadata.examples(template, source), 'preflight': 'off'}
  given.update({'kafka_config': str(settings)} if 'kafka_config' in given else {})
  given.update({name: str(tmp_path / given[name]) for name in ('data_dir', 'report')
                if name in given})
  flags = [f'--{name}={value}' for name, value in given.items()]
  launcher = image.path(f'/app/templates/{template}/launch.py')
  path = tmp_path / 'job.json'
  done = image.run('-c', LAUNCH, str(tmp_path / 'graph'), str(launcher), *flags, *DRY_RUN,
                   f'--dataflow_job_file={path}', SECRET_MANAGER_EMULATOR_HOST=secret_manager,
                   KAFKA_WORD=WORD)
  assert (done.returncode, done.stderr) == (0, '')
  endless = template == 'topk'
  assert re.fullmatch(
      f'dry run: a {"streaming" if endless else "batch"} job of [0-9]+ transforms; nothing was '
      f'sent\nthe description of the job is {path}\n', done.stdout)

  told = json.loads(path.read_text())
  assert told['type'] == ('JOB_TYPE_STREAMING' if endless else 'JOB_TYPE_BATCH')
  environment = told['environment']
  assert {'use_runner_v2', 'use_unified_worker'} & set(environment['experiments'])
  images = {one['containerImage'] for pool in environment['workerPools']
            for one in pool['sdkHarnessContainerImages']}
  assert images == {IMAGE}
  shown = json.dumps(environment)
  for name in ('redis', 'postgres'):   # the reference, no more; a roll-up tells no options at all
    assert (given[name] in shown) == (template != 'rollup')
  assert WORD not in path.read_text()
  url = environment['sdkPipelineOptions']['options']['pipelineUrl']
  assert re.fullmatch(r'gs://test-bucket/staging/topk\.[0-9.]+/pipeline\.pb', url)
  graph = api.Pipeline.FromString((tmp_path / 'graph').read_bytes())
  assert WORD.encode() not in graph.SerializeToString()
  sent = dict(functions(graph))
  assert len(sent) > 10
  assert not [label for label, pickled in sent.items() if WORD.encode() in pickled]
  for path in tmp_path.iterdir():
    assert path == settings or WORD.encode() not in path.read_bytes()


@pytest.mark.slow
def test_launcher_tries_everything_and_changes_nothing(image, tmp_path):
  launcher = image.path('/app/templates/topk/launch.py')
  done = image.run(
      str(launcher), '--kafka=localhost:1', '--topics=events', '--redis=redis://localhost:1/0',
      '--postgres=secret://projects/my-project/secrets/dsn', '--preflight=only',
      f'--rejects={tmp_path}', '--runner=FlinkRunner', '--flink_master=localhost:1',
      SECRET_MANAGER_EMULATOR_HOST='localhost:1')
  assert done.returncode == 2
  told = done.stderr.splitlines()
  assert [line.split(': ')[:2] for line in told] == [
      ['topk', '--flink_master'], ['topk', '--kafka'], ['topk', '--redis'], ['topk', '--postgres']]
  assert 'secret://projects/my-project/secrets/dsn' in told[3]
  assert not list(tmp_path.iterdir())


def test_launcher_tells_what_is_wrong_in_one_line(monkeypatch, capsys, tmp_path):
  (tmp_path / 'postgres').mkdir()
  (tmp_path / 'postgres' / 'PG_VERSION').touch()   # a server of an earlier job
  kafka = ['--kafka=kafka-1:9092', '--topics=events', '--preflight=off']
  for launch, name, flags, told in (
      (topk.launch, 'topk', [*kafka, '--redis=embedded'],
       'topk: --redis, --postgres: embedded servers end'),
      (topk.launch, 'topk', [*kafka, '--redis=redis://:hidden-word@cache'],
       'topk: --redis: holds a password, which the description of the job'),
      (topk.launch, 'topk', [*kafka, '--redos=redis://:hidden-word@cache'],
       'topk: --redos=redis://:***@cache: unknown option'),
      (backfill.launch, 'backfill', ['--preflight=off'], 'backfill: --from: is required'),
      (rollup.launch, 'rollup', ['--postgres=embedded', f'--data_dir={tmp_path}'],
       'rollup: --redis, --postgres: embedded servers end'),
      (topk.launch, 'topk', [*kafka, '--allowed_latenes=2h'],
       'topk: --allowed_latenes=2h: unknown option; did you mean --allowed_lateness? --help')):
    monkeypatch.setattr(sys, 'argv', ['launch.py', *flags, *DRY_RUN])
    assert submit(name, launch) == 2
    error = capsys.readouterr().err
    assert error.startswith(told), error
    assert WORD not in error
