"""Dataflow, as far as it goes without a cloud: the graph that would be submitted.

The graph is held against `data/dataflow_graph.txt`, that of the last release. A changed label or
coder there means that a running job cannot be updated in place: the test says what would break.
Change it on purpose, and write it anew with `python tests/test_runners_dataflow.py`.
"""
import base64
import bz2
import pathlib
import shutil
import subprocess
import sys
import zlib

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import StandardOptions
from apache_beam.portability.api import beam_runner_api_pb2 as api

from leaderboard.pipelines import topk
from leaderboard.pipelines.jobs import parse
from leaderboard.templates import graphs, update

GOLDEN = pathlib.Path(__file__).parent / 'data' / 'dataflow_graph.txt'
JOB_TYPE_STREAMING = 2   # of the service's enumeration
ROOT = pathlib.Path(__file__).parents[1]
FLAGS = ['--windows=1m,1h,1d', '--streaming', '--early=10s', '--allowed_lateness=2h',
         '--runner=DataflowRunner', '--project=my-project', '--region=us-central1',
         '--job_name=topk', '--temp_location=gs://test-bucket/tmp',
         '--staging_location=gs://test-bucket/staging', '--dry_run=True', '--no_auth',
         '--redis=redis://redis:6379/0', '--postgres=postgresql://db/boards',
         '--parquet=gs://test-bucket/boards']


def translated(events):
  """The job that would be submitted: its options and its portable graph."""
  job = parse([f'--input={events}', *FLAGS], 'test')
  pipeline = beam.Pipeline(options=job.beam)
  topk.build(pipeline, job, 'run', job.stores)
  submitted = pipeline.run().job
  return submitted, submitted.proto_pipeline


def summary(graph) -> str:
  return graphs.as_text(graphs.steps_of(graph))


def functions(graph):
  """(label, pickled function) of every ParDo."""
  for transform in graph.components.transforms.values():
    if transform.spec.urn == 'beam:transform:pardo:v1':
      payload = api.ParDoPayload.FromString(transform.spec.payload)
      yield transform.unique_name, _unpacked(payload.do_fn.payload)


def _unpacked(pickled: bytes) -> bytes:
  packed = base64.b64decode(pickled)
  for unpack in (bz2.decompress, zlib.decompress):
    try:
      return unpack(packed)
    except (OSError, zlib.error):
      continue
  raise AssertionError('an unknown packing of functions')


def _names_our_code(pickled: bytes) -> bool:
  return any(f'{ROOT}/{room}/'.encode() in pickled for room in ('io', 'transforms', 'pipelines',
                                                                'tests'))


def test_graph_is_the_golden_one(sample_events):
  _, graph = translated(sample_events)
  told = update.compare(graphs.from_text(GOLDEN.read_text()), graphs.steps_of(graph))
  assert summary(graph) == GOLDEN.read_text(), told.as_text()


def test_job_is_streaming(sample_events):
  submitted, _ = translated(sample_events)
  assert submitted.options.view_as(StandardOptions).streaming
  assert submitted.proto.type_ == JOB_TYPE_STREAMING


def test_no_function_of_ours_travels_by_value(sample_events, tmp_path):
  """Functions are sent by name; code that is sent names the file that it came from."""
  # A source holds the path of its file.
  _, graph = translated(shutil.copy(sample_events, tmp_path))
  sent = dict(functions(graph))
  assert len(sent) > 20
  assert not [label for label, pickled in sent.items() if _names_our_code(pickled)]


def test_a_lambda_would_be_noticed():
  with beam.Pipeline(runner=NoRunner()) as pipeline:
    pipeline | beam.Create([1]) | 'Ours' >> beam.Map(lambda number: number + 1)
  sent = dict(functions(pipeline.to_runner_api()))
  assert any(map(_names_our_code, sent.values()))


class NoRunner(beam.runners.PipelineRunner):

  def run_pipeline(self, pipeline, options):
    return beam.runners.runner.PipelineResult(beam.runners.runner.PipelineState.DONE)


@pytest.mark.slow
def test_graph_is_the_same_in_another_process(sample_events):
  """Labels and coders must not depend on hashes or on what ran before."""
  code = (f'import sys; sys.path.insert(0, {str(GOLDEN.parents[1])!r})\n'
          f'import test_runners_dataflow as t\n'
          f'sys.stdout.write(t.summary(t.translated({str(sample_events)!r})[1]))')
  for seed in ('1', '2'):
    printed = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True,
                             check=True, env={'PYTHONHASHSEED': seed, 'PATH': ''})
    assert printed.stdout == GOLDEN.read_text()


if __name__ == '__main__':
  GOLDEN.write_text(summary(translated(GOLDEN.parent / 'flights-sample.jsonl.gz')[1]))
