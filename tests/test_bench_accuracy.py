"""The accuracy tables can be made, and their closing check can fail."""
import pathlib
import subprocess
import sys

import pytest

SCRIPT = pathlib.Path(__file__).parent.parent / 'bench' / 'accuracy.py'


@pytest.mark.slow
def test_tables_are_made_and_every_bracket_in_them_is_true(tmp_path):
  page = tmp_path / 'page.md'
  page.write_text('# Head\n\n## Tables\n\nold')
  done = subprocess.run([sys.executable, str(SCRIPT), '--events=100000', '--distinct=30000',
                         f'--output={page}'], capture_output=True, text=True, check=False)
  assert done.returncode == 0, done.stdout + done.stderr
  assert done.stdout.endswith('no bracket was false; recall nowhere below DataSketches\n')
  text = page.read_text()
  assert text.startswith('# Head\n\n## Tables\n\n100,000 events') and 'old' not in text
  assert text.count('| this, default | 1.00 |') == 14


@pytest.mark.slow
def test_false_bracket_fails_the_script(tmp_path):
  broken = tmp_path / 'broken.py'
  broken.write_text(
      'import runpy, sys\n'
      f'sys.path.insert(0, {str(SCRIPT.parent)!r})\n'
      'import peers\n'
      'top = peers.Ours.top\n'
      'peers.Ours.top = lambda self, n: [(i, c, l + 1, u) for i, c, l, u in top(self, n)]\n'
      f'sys.argv = ["accuracy.py", "--events=9000", "--distinct=3000"]\n'
      f'runpy.run_path({str(SCRIPT)!r}, run_name="__main__")\n')
  done = subprocess.run([sys.executable, str(broken)], capture_output=True, text=True, check=False)
  assert done.returncode == 1 and 'false brackets' in done.stdout
