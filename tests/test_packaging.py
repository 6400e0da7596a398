"""What is installed is what is in the tree, and everything that must agree agrees."""
import ast
import doctest
import importlib
import pathlib
import re
import sys

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
