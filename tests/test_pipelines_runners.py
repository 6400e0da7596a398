"""Where a job runs: what is refused there, and that the cluster is tried first."""
import functools
import http.server
import json
import threading

import pytest
from apache_beam.runners.dataflow.internal import apiclient
from google.cloud import dataflow_v1beta3 as dataflow
from servers.processes import free_port

from leaderboard.pipelines import rollup, runners, topk
from leaderboard.pipelines.checks import UsageError
from leaderboard.pipelines.jobs import parse
from leaderboard.pipelines.preflight import failures

KAFKA = ['--kafka=localhost:1', '--topics=events', '--preflight=off']
FLINK = [*KAFKA, '--runner=FlinkRunner']
DATAFLOW = ['--runner=DataflowRunner', '--project=my-project', '--region=us-central1',
            '--job_name=topk', '--temp_location=gs://test-bucket/tmp', '--dry_run=True',
            '--no_auth']


def problems_of(call, flags):
  with pytest.raises(UsageError) as refused:
    call(flags)
  return refused.value.problems


@pytest.mark.parametrize('given', [
    ['--checkpointing_interval=1000'], ['--checkpointing_interval', '1000'],
    ['--checkpointing_interval=1000', '--finish_bundle_before_checkpointing=false']])
def test_checkpoint_that_would_lose_output_is_refused(given):
  read = functools.partial(parse, prog='test')
  assert problems_of(read, [*FLINK, *given]) == [
      '--checkpointing_interval: a checkpoint in the middle of a bundle loses output; give '
      '--finish_bundle_before_checkpointing too, got 1000 alone']
  read([*FLINK, *given[:2], '--finish_bundle_before_checkpointing'])
  read([*FLINK, '--checkpointing_interval=-1'])   # Flink's way to have none


def test_bundles_on_flink_are_short_unless_told_otherwise():
  def flags(*given):
    return [flag for flag in parse([*KAFKA, *given], 'test').beam._flags if 'bundle_time' in flag]

  assert flags('--runner=FlinkRunner') == ['--max_bundle_time_mills=100']
  assert flags('--runner=PortableRunner') == ['--max_bundle_time_mills=100']
  assert flags('--runner=FlinkRunner', '--max_bundle_time_mills=9') == ['--max_bundle_time_mills=9']
  assert flags('--runner=PrismRunner') == []


@pytest.mark.parametrize('flag', ['dataflow_service_options', 'experiments'])
def test_mode_that_counts_twice_is_refused(flag):
  flags = [*KAFKA, *DATAFLOW, '--rejects=gs://test-bucket/ledger']
  read = functools.partial(parse, prog='test')
  assert problems_of(read, [*flags, f'--{flag}=streaming_mode_at_least_once']) == [
      f'--{flag}: streaming_mode_at_least_once would count events twice; leave it out']
  read([*flags, f'--{flag}=enable_prime'])


def test_nothing_of_this_machine_is_sent_to_dataflow(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  flags = ['--preflight=off', *DATAFLOW]
  assert problems_of(topk.launch, [*flags, '--input=gs://b/x,/data/y', '--parquet=boards']) == [
      '--input: /data/y is on this machine; name a place that the workers reach, such as '
      '--input=gs://my-bucket/input',
      f'--parquet: {tmp_path}/boards is on this machine; name a place that the workers reach, such '
      'as --parquet=gs://my-bucket/parquet']
  # Rejects and accounts would be lost with the disks of the workers.
  (told,) = problems_of(topk.launch, [*flags, '--input=gs://b/x', '--redis=env:URL'])
  assert told.startswith(f'--rejects: {tmp_path}/data is on this machine; name a place')
  (told,) = problems_of(rollup.launch, [*flags, '--postgres=env:DSN', '--parquet=/boards'])
  assert told.startswith('--parquet: /boards is on this machine')


@pytest.mark.parametrize(('answer', 'more', 'told'), [
    (dataflow.Job(id='2013-07-01_00'), [],
     'the job runs on Dataflow: https://console.cloud.google.com/dataflow/jobs/us-central1/'
     '2013-07-01_00?project=my-project\n'),
    # As the service starts a launcher, whose job it sends itself.
    (None, ['--template_location=gs://test-bucket/job_object'],
     'the description of the job is gs://test-bucket/job_object\n')])
def test_launcher_tells_where_the_job_is(answer, more, told, monkeypatch, capsys):
  # What Beam leaves to be replaced in tests: all that asks the service is behind it.
  monkeypatch.setattr(apiclient.DataflowApplicationClient, 'create_job', lambda *_: answer)
  flags = [flag for flag in DATAFLOW if flag != '--dry_run=True']
  # Beam asks the storage about its buckets only for its own service.
  topk.launch([*KAFKA, *flags, '--dataflow_endpoint=http://localhost:1',
               '--staging_location=gs://test-bucket/staging', '--rejects=gs://test-bucket/ledger',
               *more])
  assert capsys.readouterr().out == told


def tried(flags):
  return failures(runners.probes(parse(flags, 'test').beam))


def test_cluster_that_is_away_is_told_by_its_flag(tmp_path):
  port = free_port()
  assert tried([*FLINK, f'--flink_master=localhost:{port}',
                f'--flink_job_server_jar={tmp_path}/no.jar']) == [
      f'--flink_job_server_jar: there is no file {tmp_path}/no.jar; the image of the stage flink '
      f'has it under /opt/apache/beam/jars, and so has Maven',
      f'--flink_master: no Flink answers at http://localhost:{port}: Connection refused; is it '
      f'running, and is this its REST address?']
  assert tried([*KAFKA, '--runner=PortableRunner', f'--job_endpoint=localhost:{port}']) == [
      f'--job_endpoint: no job server answers at localhost:{port}: Connection refused; is it '
      f'running, and is this its host:port?']
  assert tried([*KAFKA, '--runner=PortableRunner', '--job_endpoint=flink']) != []
  # The program of an application cluster is made without the cluster.
  assert tried([*FLINK, f'--flink_master=localhost:{port}', '--output_executable_path=x.jar']) == []


class Answers(http.server.BaseHTTPRequestHandler):

  def do_GET(self):
    code, body = self.server.answer
    self.send_response(code)
    self.end_headers()
    self.wfile.write(body)

  def log_message(self, *_):
    pass


@pytest.mark.parametrize(('code', 'body', 'right'), [
    (200, json.dumps({'flink-version': '1.19.3'}).encode(), True), (401, b'', True),
    (200, b'{}', False), (200, b'<html>', False), (404, b'', False)])
def test_what_answers_must_be_flink(code, body, right):
  with http.server.ThreadingHTTPServer(('localhost', 0), Answers) as server:
    server.answer = code, body
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
      told = tried([*FLINK, f'--flink_master=localhost:{server.server_port}'])
    finally:
      server.shutdown()
  assert (told == []) == right
  assert right or told[0].startswith('--flink_master: what answers at http://localhost:'), told


@pytest.mark.slow
def test_real_cluster_is_in_reach(flink_cluster):
  assert tried([*FLINK, f'--flink_master={flink_cluster.url}']) == []
  (endpoint,) = [flag.partition('=')[2] for flag in flink_cluster.flags()
                 if flag.startswith('--job_endpoint=')]
  assert tried([*KAFKA, '--runner=PortableRunner', f'--job_endpoint={endpoint}']) == []
