"""Ctrl-C and SIGTERM at any moment of a program: one line, no trace, the shell's exit code."""
import signal
import subprocess
import sys
import time

import pytest

from leaderboard.io import embedded

# Beside the installed scripts: how each of them begins.
PROGRAMS = {
    'serve': ('leaderboard.api.serve', ['--port=0', '--redis=redis://127.0.0.1:1']),
    'topk': ('leaderboard.pipelines.topk', ['--help']),
    'show': ('leaderboard.pipelines.show', ['--help'])}


def run(command, stop, loaded):
  """(exit code, stderr) of a program that is stopped as soon as it has imported a module."""
  # -v tells every import on stderr as it happens.
  with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                        start_new_session=True) as process:
    for line in process.stderr:
      if line.startswith(f"import '{loaded}'"):
        process.send_signal(stop)
        break
    told = [line for line in process.stderr
            if not line.startswith(('import ', '#', 'matches', 'code object', 'could not create'))]
    return process.wait(30), ''.join(told)


@pytest.mark.parametrize(('stop', 'code', 'word'), [
    (signal.SIGINT, 130, 'Ctrl-C'), (signal.SIGTERM, 143, 'SIGTERM')])
@pytest.mark.parametrize('name', PROGRAMS)
def test_program_that_is_stopped_while_it_is_imported_says_one_line(name, stop, code, word):
  module, flags = PROGRAMS[name]
  ended, told = run([sys.executable, '-v', '-m', module, *flags], stop, 'numpy')
  assert (ended, told) == (code, f'{name}: stopped by {word} before it began\n')


@pytest.mark.parametrize(('stop', 'code', 'word'), [
    (signal.SIGINT, 130, 'Ctrl-C'), (signal.SIGTERM, 143, 'SIGTERM')])
def test_job_that_is_stopped_says_one_line_and_stops_its_server(tmp_path, stop, code, word):
  (tmp_path / 'in').mkdir()
  (tmp_path / 'in' / 'events.jsonl').write_text(
      '{"event_type": "a", "timestamp": 1357000000000, "item_id": "x"}\n' * 200_000)
  with subprocess.Popen(
      [sys.executable, '-m', 'leaderboard.pipelines.topk', f'--input={tmp_path}/in/*.jsonl',
       f'--data_dir={tmp_path}', '--redis=embedded'], stdout=subprocess.DEVNULL,
      stderr=subprocess.PIPE, text=True) as process:
    deadline = time.monotonic() + 60
    while not (tmp_path / 'redis' / 'port').exists():   # it has begun
      assert process.poll() is None and time.monotonic() < deadline
    process.send_signal(stop)
    told = process.stderr.read().splitlines()
    assert (process.wait(60), told[-1]) == (
        code, f'topk: stopped by {word}; run it again to finish')
  with embedded.start_redis(tmp_path) as server:
    assert server.started   # none was left running


def test_importing_a_program_leaves_the_signals_alone():
  # Whatever they are: a shell's background job begins with SIGINT ignored.
  program = ('import signal\n'
             'def handlers(): return list(map(signal.getsignal, (signal.SIGINT, signal.SIGTERM)))\n'
             'before = handlers()\n'
             'from leaderboard.pipelines import command\n'
             'assert handlers() == before\n')
  subprocess.run([sys.executable, '-c', program], check=True, timeout=60)


def test_importing_the_archive_says_nothing_about_libraries_of_dataflow():
  program = ('import sys\n'
             "sys.modules['apitools'] = None\n"   # as without the extra
             'from leaderboard.io.archiveviews import open_archive\n')
  done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True,
                        check=True, timeout=60)
  assert (done.stdout, done.stderr) == ('', '')
