"""The throughput benchmark runs, compares every answer with the truth, and can fail."""
import json
import os
import pathlib
import subprocess
import sys

import pytest

BENCH = pathlib.Path(__file__).parent.parent / 'bench'


def run(cache, script, *flags, **env):
  return subprocess.run([sys.executable, str(script), *flags], capture_output=True, text=True,
                        check=False, env={**os.environ, 'TOPK_CACHE': str(cache), **env})


@pytest.mark.slow
def test_our_boards_and_those_of_duckdb_agree(tmp_path):
  report = tmp_path / 'report.json'
  done = run(tmp_path, BENCH / 'throughput.py', '--events=20k', '--rounds=1',
             '--cases=zipf-json,flat-parquet',
             '--contestants=ours,ours+archive,duckdb,pyarrow,beam',
             f'--json={report}')
  assert done.returncode == 0, done.stdout + done.stderr
  told = json.loads(report.read_text())
  assert [(case['case'], case['events'], sorted(case['runs'])) for case in told] == [
      ('zipf-json', 20_000, ['beam', 'duckdb', 'ours', 'ours+archive', 'pyarrow']),
      ('flat-parquet', 20_000, ['duckdb', 'ours', 'ours+archive', 'pyarrow'])]
  for case in told:
    for (measured,) in case['runs'].values():
      assert min(measured[name] for name in (
          'secs', 'import_secs', 'cpu_secs', 'anonymous', 'mapped')) > 0
  assert done.stdout.count('| duckdb |') == 2


@pytest.mark.slow
def test_a_wrong_answer_fails_the_benchmark(tmp_path):
  broken = tmp_path / 'broken.py'
  broken.write_text(
      'import runpy, sys\n'
      f'sys.path.insert(0, {str(BENCH)!r})\n'
      'import inputs, truth\n'
      'right = truth.Truth.__init__\n'
      'def wrong(self, path):\n'
      '  right(self, path)\n'
      '  self._counts = self._counts.project("* replace (n - 1 as n)")\n'
      'truth.Truth.__init__ = wrong\n'
      'sys.argv = ["throughput.py", "--events=2k", "--rounds=1", "--contestants=ours"]\n'
      f'runpy.run_path({str(BENCH / "throughput.py")!r}, run_name="__main__")\n')
  done = run(tmp_path, broken)
  assert done.returncode == 1 and 'WrongAnswer: ours: Row(' in done.stderr, done.stderr


@pytest.mark.slow
def test_a_size_that_is_none_is_refused(tmp_path):
  done = run(tmp_path, BENCH / 'throughput.py', '--events=1G')
  assert done.returncode == 2 and "such as 500k or 1M,5M; got '1G'" in done.stderr


@pytest.mark.slow
def test_lines_of_scaling_are_measured(tmp_path):
  done = run(tmp_path, BENCH / 'scaling.py', '--lines=input', '--rounds=1', '--most=1000000')
  assert done.returncode == 0, done.stderr
  assert '| 1,000,000 |' in done.stdout and '| events |' in done.stdout
