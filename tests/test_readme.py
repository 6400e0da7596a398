"""Every command of the README runs."""
import gzip
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys

import httpx
import pytest

ROOT = pathlib.Path(__file__).parent.parent
COMMANDS = [line.split('#')[0].strip() for block in re.findall(
    r'```sh\n(.*?)```', (ROOT / 'README.md').read_text(), re.DOTALL) for line in block.splitlines()]


@pytest.fixture(scope='module')
def checkout(tmp_path_factory):
  """A copy of the tree whose environment is the one that runs this test, with a small input."""
  folder = tmp_path_factory.mktemp('checkout')
  for name in ('Makefile', 'setup.py', 'constraints.txt', 'pyproject.toml'):
    shutil.copy(ROOT / name, folder)
  (folder / 'transforms').mkdir()
  for name in ('plainlines.c', '_plainlines.abi3.so'):   # built, as far as make can tell
    (folder / 'transforms' / name).touch()
  binaries = folder / '.venv' / 'bin'
  binaries.mkdir(parents=True)
  python = binaries / 'python'
  python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
  python.chmod(0o755)
  (folder / 'data').mkdir()
  sample = gzip.decompress((ROOT / 'tests/data/flights-sample.jsonl.gz').read_bytes())
  # Other days, so that the boards that the README asks for are among them.
  starts = (1_372_636_800, 1_372_687_200, 1_387_843_200)
  lines = sample.splitlines(keepends=True)
  moved = [re.sub(rb'"timestamp":(\d+)', lambda match, start=start: b'"timestamp":%d' % (
      int(match[1]) % 7_200_000 + start * 1000), line)
           for start in starts for line in lines]
  (folder / 'data' / 'flights.jsonl').write_bytes(b''.join(moved))
  for stamp in ('ready-boards', 'ready-test'):
    (folder / '.venv' / stamp).touch()
  return folder


@pytest.mark.slow
def test_every_command_runs_in_order(checkout):
  assert len(COMMANDS) >= 7
  for command in COMMANDS:
    if command == 'make test':
      command = 'make --dry-run test'   # this test is part of it
    done = subprocess.run(command, shell=True, cwd=checkout, capture_output=True, text=True,
                          env={**os.environ, 'MAKEFLAGS': ''}, timeout=300, check=False)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    assert done.stdout


@pytest.mark.slow
def test_boards_end_in_a_running_page(checkout):
  making = subprocess.Popen(
      ['make', 'boards', 'SERVE=1', 'PORT=0'], cwd=checkout, stdout=subprocess.PIPE, text=True,
      env={**os.environ, 'MAKEFLAGS': ''}, start_new_session=True)
  try:
    told = next(line for line in making.stdout if line.startswith('serving '))
    with httpx.Client(base_url=told.split()[1], timeout=60) as client:
      assert '<title>Leaderboards</title>' in client.get('/').text
      assert {board['tenant'] for board in client.get('/v1/event_types').json()['boards']} == {
          'EWR', 'JFK', 'LGA'}
  finally:
    os.killpg(making.pid, signal.SIGINT)
    making.communicate(timeout=60)


@pytest.mark.slow
def test_library_page_runs():
  page = (ROOT / 'docs' / 'library.md').read_text()
  blocks = re.findall(r'```python\n(.*?)```', page, re.DOTALL)
  assert len(blocks) == 4
  for block in blocks:
    done = subprocess.run([sys.executable, '-c', block], capture_output=True, text=True,
                          timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_links_lead_somewhere():
  for page in (ROOT / 'README.md', *(ROOT / 'docs').glob('*.md')):
    for link in re.findall(r'\]\(([^)#]+)\)', page.read_text()):
      assert (page.parent / link).exists(), (page, link)
