"""Prism counts an endless source exactly; what is built from a registry is built once."""
import concurrent.futures
import multiprocessing
import pathlib

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from servers import cache, fixtures, processes, ticks


@pytest.mark.slow
def test_unbounded_pipeline_counts_exactly(prism_flags, tmp_path):
  with beam.Pipeline(options=PipelineOptions(prism_flags)) as pipeline:
    ticks.count(ticks.read(pipeline, ticks.Ticks(600)), tmp_path)
  assert ticks.found(tmp_path) == ticks.expected(600)


@pytest.fixture
def cache_folder(tmp_path, monkeypatch):
  monkeypatch.setenv('TOPK_CACHE', str(tmp_path / 'cache'))
  return tmp_path / 'cache'


def build(folder: pathlib.Path) -> None:
  """Leaves a mark beside the cache's own folders for every time it runs."""
  (folder / 'built').touch()
  (cache.root() / f'mark-{len(list(cache.root().glob("mark-*")))}').touch()


@pytest.mark.slow
def test_two_processes_build_once(cache_folder):
  # Not forked: other tests leave threads behind.
  context = multiprocessing.get_context('spawn')
  with concurrent.futures.ProcessPoolExecutor(2, context) as pool:
    kept = {pool.submit(cache.keep, 'a/b', 'recipe', build) for _ in range(4)}
    folder, = {each.result() for each in kept}
  assert [path.name for path in folder.iterdir()] == ['built']
  assert len(list(cache_folder.glob('mark-*'))) == 1
  assert cache.keep('a/b', 'another recipe', build) != folder


def test_failed_build_keeps_nothing_and_says_why(cache_folder):
  def fails(folder):
    (folder / 'half').touch()
    cache.run(['sh', '-c', 'echo no such version; exit 3'])

  with pytest.raises(RuntimeError, match='ended with 3:\nno such version'):
    cache.keep('a', 'recipe', fails)
  assert [path.name for path in cache_folder.iterdir() if not path.name.endswith('.lock')] == []
  assert (cache.keep('a', 'recipe', build) / 'built').exists()


def test_server_that_ends_shows_its_log(tmp_path):
  log = tmp_path / 'log'
  with open(log, 'wb') as file:
    process = processes.launch(['sh', '-c', 'echo port taken; exit 1'], file)
  with pytest.raises(TimeoutError, match='(?s)no server: it ended.*port taken'):
    processes.wait_for('no server', lambda: False, 30, processes.Server('it', process, log))


def test_missing_tool_skips_its_test_but_fails_in_ci(monkeypatch):
  reason = cache.missing(sh='a shell', nosuchtool='package nosuch')
  assert reason == 'not installed: nosuchtool (package nosuch)'
  monkeypatch.delenv('CI', raising=False)
  with pytest.raises(pytest.skip.Exception, match='nosuch'):
    fixtures.need(reason)
  monkeypatch.setenv('CI', 'true')
  with pytest.raises(pytest.fail.Exception, match='nosuch'):
    fixtures.need(reason)
