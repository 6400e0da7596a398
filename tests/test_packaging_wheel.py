"""What a wheel holds, and that its compiled code only makes it faster: without a compiler the same
is counted."""
import gzip
import json
import pathlib
import random
import shutil
import subprocess
import sys
import sysconfig
import zipfile

import pytest
import redis
from playback import stored_boards
from servers import cache
from servers.fixtures import need

from leaderboard.transforms import compiled, plainlines
from leaderboard.transforms.blocks import EventBlock, OriginRange
from leaderboard.transforms.boards import parse_window_size
from leaderboard.transforms.counting import BlockCounter, CountingRules
from leaderboard.transforms.heavyhitters import HeavyHitters

ROOT = pathlib.Path(__file__).parent.parent
ROOMS = ('api', 'io', 'pipelines', 'templates', 'transforms')
LIBRARY = 'leaderboard/transforms/_plainlines.abi3.so'
NO_COMPILER = cache.missing(gcc='Debian: gcc libc6-dev')


@pytest.fixture(scope='module')
def archive(tmp_path_factory):
  """The source archive of the tree, as Beam makes it of `--setup_file`."""
  folder = tmp_path_factory.mktemp('archive')
  source = folder / 'source'
  source.mkdir()
  for name in ('setup.py', 'pyproject.toml', 'LICENSE', 'MANIFEST.in'):
    shutil.copy(ROOT / name, source)
  for room in ROOMS:
    shutil.copytree(ROOT / room, source / room,
                    ignore=shutil.ignore_patterns('__pycache__', '*.so'))
  subprocess.run([sys.executable, '-c', 'from setuptools import build_meta as b; '
                  f'print(b.build_sdist({str(folder)!r}))'],
                 cwd=source, check=True, capture_output=True)
  (made,) = folder.glob('*.tar.gz')
  return made


def wheel_of(archive, folder, **env):
  """The wheel that a worker builds of a source archive."""
  subprocess.run([sys.executable, '-m', 'pip', 'wheel', '-q', '--no-deps', '--no-index',
                  '--no-build-isolation', '-w', str(folder), str(archive)], check=True,
                 env={**dict(PATH='/usr/bin:/bin'), **env})
  (made,) = folder.glob('*.whl')
  return made


@pytest.fixture(scope='module')
def wheel(archive, tmp_path_factory):
  """With a compiler."""
  need(NO_COMPILER)
  return wheel_of(archive, tmp_path_factory.mktemp('compiled'))


@pytest.fixture(scope='module')
def slow_wheel(archive, tmp_path_factory):
  """Without one."""
  return wheel_of(archive, tmp_path_factory.mktemp('uncompiled'), CC='false')


def held(wheel):
  """The files of the package in a wheel."""
  with zipfile.ZipFile(wheel) as packed:
    return {name for name in packed.namelist() if '.dist-info/' not in name}


def tree():
  """The files of the package in the repository."""
  return {f'leaderboard/{path.relative_to(ROOT)}' for room in ROOMS
          for path in (ROOT / room).rglob('*') if path.is_file()
          and '__pycache__' not in path.parts and path.suffix not in ('.so', '.c', '.h')}


@pytest.mark.slow
def test_wheel_of_the_source_archive_holds_the_tree_and_its_library(wheel):
  assert held(wheel) == tree() | {LIBRARY}
  # Of this kind of machine, and for every Python from 3.10 on.
  platform = sysconfig.get_platform().replace('-', '_').replace('.', '_')
  assert wheel.name.endswith(f'-cp310-abi3-{platform}.whl')


@pytest.mark.slow
def test_wheel_without_a_compiler_lacks_nothing_but_the_library(slow_wheel):
  assert held(slow_wheel) == tree()


@pytest.mark.slow
def test_without_a_compiler_a_job_has_the_same_boards_and_says_once_why_it_is_slower(
    wheel, slow_wheel, sample_events, redis_url, tmp_path):
  events = tmp_path / 'events.jsonl'
  events.write_bytes(gzip.decompress(sample_events.read_bytes()))
  found, told = [], []
  for made in (wheel, slow_wheel):
    folder = tmp_path / made.parent.name
    subprocess.run([sys.executable, '-m', 'venv', '--without-pip', str(folder)], check=True)
    (packages,) = folder.glob('lib/*/site-packages')
    # What the package needs is here already. Lines of other files there, which could lead to the
    # tree, are not followed.
    (packages / 'needed.pth').write_text(sysconfig.get_path('purelib'))
    subprocess.run([sys.executable, '-m', 'pip', 'install', '-q', '--no-deps', '--no-index',
                    '--target', str(packages), str(made)], check=True)
    report = folder / 'report.json'
    done = subprocess.run(
        [str(folder / 'bin' / 'python'), '-m', 'leaderboard.pipelines.topk', f'--input={events}',
         '--windows=1h,1d', '--streaming', '--replay_bytes=65536', '--out_of_orderness=2d',
         f'--redis={redis_url}', f'--rejects={folder}/rejects', f'--report={report}'],
        cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    told.append([line for line in done.stderr.splitlines() if 'WARNING' in line])
    account = json.loads(report.read_text())
    del account['seconds']
    found.append((account, stored_boards(redis_url)))
    with redis.Redis.from_url(redis_url) as client:
      client.flushall()
  assert found[0] == found[1]
  account, boards = found[0]
  assert account['balanced'] and account['events_read'] == 6000
  counted = sum(board.total() for board in boards['1h'].values())
  rejected = sum(account['events_rejected'].values())
  assert counted == account['events_counted'] == 6000 - rejected - account['events_too_late']
  assert counted > 3000 and rejected > 0
  assert told[0] == []
  (line,) = told[1]
  assert 'apt install gcc libc6-dev' in line


def test_compiled_code_counts_here():
  if compiled.library() is None:
    need(NO_COMPILER or 'transforms/plainlines.c was not compiled since it was changed: make does')
  assert plainlines.fits(CountingRules(parse_window_size('1m')))


# Machines without SSE2, such as ARM, and without products of 128 bits take other ways.
@pytest.mark.parametrize('flags', [[], ['-U__SSE2__'], ['-U__SSE2__', '-U__SIZEOF_INT128__']])
def test_source_needs_no_python_gives_no_warnings_and_counts_as_duckdb_does(
    flags, sample_events, tmp_path, monkeypatch):
  need(NO_COMPILER)
  library = tmp_path / 'plainlines.so'
  built = subprocess.run(
      ['gcc', '-std=c99', '-Wall', '-Wextra', '-Werror', '-O2', '-shared', '-fPIC', *flags,
       '-o', str(library), str(ROOT / 'transforms' / 'plainlines.c')],
      capture_output=True, text=True, check=False)
  assert built.returncode == 0, built.stderr
  opened = compiled.opened(str(library))
  lines = gzip.decompress(sample_events.read_bytes()).splitlines(keepends=True)
  random.seed(7)
  for number in random.sample(range(len(lines)), 500):   # a byte is another one: often no event
    place = random.randrange(len(lines[number]) - 1)
    lines[number] = (lines[number][:place] + bytes([random.choice(b'\x00\x7f\xe9"\\{},:0 ')])
                     + lines[number][place + 1:])
  data = b''.join(lines)
  rules = CountingRules(parse_window_size('1m'))
  found = []
  for chosen in (opened, None):
    monkeypatch.setattr(compiled, 'library', lambda chosen=chosen: chosen)
    counter = BlockCounter(rules)
    counted = counter.count(EventBlock(OriginRange('f', 0, 0, len(data)), data))
    counter.close()
    found.append((counted.read, sorted(counted.rejects, key=lambda one: one.offset), sorted(
        (cell.tenant_id, cell.event_type, cell.start, cell.events,
         sorted(HeavyHitters.from_bytes(cell.delta).top(10_000))) for cell in counted.cells)))
  assert found[0] == found[1]
  # The sample has 2,541 events without a timestamp.
  assert found[0][0] == 6000 and 2641 < len(found[0][1]) < 3041
