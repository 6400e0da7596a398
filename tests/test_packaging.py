"""What is installed is what is in the tree, and everything that must agree agrees."""
import ast
import doctest
import importlib
import pathlib
import re
import shutil
import subprocess
import sys
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parent.parent
ROOMS = ('api', 'io', 'pipelines', 'templates', 'transforms')
MODULES = sorted(path for room in ROOMS for path in (ROOT / room).glob('*.py'))
MAY_IMPORT = {
    'transforms': {'transforms'}, 'io': {'io', 'transforms'},
    'pipelines': {'pipelines', 'io', 'transforms'}, 'api': {'api', 'io', 'transforms'},
    'templates': {'templates', 'pipelines', 'io', 'transforms'}}


def name_of(path):
  stem = '' if path.stem == '__init__' else f'.{path.stem}'
  return f'leaderboard.{path.parent.name}{stem}'


@pytest.mark.parametrize('path', MODULES, ids=name_of)
def test_module_says_what_it_is_and_its_examples_run(path):
  module = importlib.import_module(name_of(path))
  assert module.__doc__, path
  assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize('path', MODULES, ids=name_of)
def test_imports_go_one_way(path):
  for node in ast.walk(ast.parse(path.read_text())):
    names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [
        node.module] if isinstance(node, ast.ImportFrom) else []
    for name in names:
      if name.startswith('leaderboard.'):
        room = name.split('.')[1]
        assert room in MAY_IMPORT[path.parent.name], f'{path} imports {name}'
      assert name != '__future__', f'{path}: Beam would lose its type hints'


@pytest.mark.parametrize('room', ROOMS)
def test_rooms_list_their_public_names_in_order(room):
  module = importlib.import_module(f'leaderboard.{room}')
  assert module.__all__ == sorted(module.__all__)
  for name in module.__all__:
    assert hasattr(module, name) or importlib.import_module(f'leaderboard.{room}.{name}')


def test_no_module_is_named_after_a_library():
  taken = sys.stdlib_module_names | {'redis', 'duckdb', 'pyarrow', 'psycopg', 'leaderboard'}
  assert [path for path in MODULES if path.stem in taken - {'io'}] == []


@pytest.mark.slow
def test_wheel_built_from_the_source_archive_holds_exactly_the_tree(tmp_path):
  # As Beam builds it for its workers: a source archive first, the wheel from that.
  source = tmp_path / 'source'
  source.mkdir()
  for name in ('setup.py', 'pyproject.toml', 'LICENSE'):
    shutil.copy(ROOT / name, source)
  for room in ROOMS:
    shutil.copytree(ROOT / room, source / room, ignore=shutil.ignore_patterns('__pycache__'))
  subprocess.run([sys.executable, '-c', 'from setuptools import build_meta as b; '
                  f'print(b.build_sdist({str(tmp_path)!r}))'],
                 cwd=source, check=True, capture_output=True)
  (archive,) = tmp_path.glob('*.tar.gz')
  subprocess.run([sys.executable, '-m', 'pip', 'wheel', '-q', '--no-deps', '--no-index',
                  '--no-build-isolation', '-w', str(tmp_path), str(archive)], check=True)
  (wheel,) = tmp_path.glob('*.whl')
  with zipfile.ZipFile(wheel) as packed:
    held = {name for name in packed.namelist() if '.dist-info/' not in name}
  expected = {f'leaderboard/{path.relative_to(ROOT)}' for room in ROOMS
              for path in (ROOT / room).rglob('*') if path.is_file()
              and '__pycache__' not in path.parts}
  assert held == expected


def test_beam_has_one_version():
  constraints = (ROOT / 'constraints.txt').read_text()
  docker = (ROOT / 'Dockerfile').read_text()
  (version,) = re.findall(r'^apache-beam==(\S+)$', constraints, re.MULTILINE)
  assert re.findall(r'_sdk:(\S+)', docker) == [version]
  assert re.findall(r'apache-beam\[gcp\]==([\d.]+)', docker) == [version]


def test_every_direct_dependency_is_pinned():
  setup = (ROOT / 'setup.py').read_text()
  pinned = set(re.findall(r'^([a-z0-9-]+)==', (ROOT / 'constraints.txt').read_text(), re.MULTILINE))
  wanted = re.findall(r"'([a-z0-9-]+)(?:\[\w+\])?[><=]=", setup)
  assert set(wanted) - pinned == set()
