"""Where a job runs: what is refused there, what is tried before, and what is told after."""
import argparse
import functools
import json
import os
import socket
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import (
  DebugOptions,
  FlinkRunnerOptions,
  GoogleCloudOptions,
  PipelineOptions,
  PortableOptions,
  StandardOptions,
)

from leaderboard.pipelines.checks import EMBEDDED, Problems, UsageError, one_line
from leaderboard.pipelines.preflight import Probe
from leaderboard.pipelines.sources import Source
from leaderboard.pipelines.stores import Stores

_ANSWER_SECS = 10
_NO_CLUSTER = ('[auto]', '[local]')
_AT_LEAST_ONCE = 'streaming_mode_at_least_once'


def refuse_lossy(problems: Problems, options: PipelineOptions) -> None:
  """Sees that no flag of a runner makes it lose events or count them twice."""
  service, debug = options.view_as(GoogleCloudOptions), options.view_as(DebugOptions)
  for flag, values in (('dataflow_service_options', service.dataflow_service_options),
                       ('experiments', debug.experiments)):
    if _AT_LEAST_ONCE in (values or ()):
      problems.found.append(f'--{flag}: {_AT_LEAST_ONCE} would count events twice; leave it out')
  # Options of Flink, which Beam does not know before it has asked for them.
  parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
  parser.add_argument('--checkpointing_interval', default='-1')
  parser.add_argument('--finish_bundle_before_checkpointing', nargs='?', const='true')
  flink = parser.parse_known_args(options._flags)[0]
  if flink.checkpointing_interval != '-1' and flink.finish_bundle_before_checkpointing != 'true':
    problems.found.append(
        f'--checkpointing_interval: a checkpoint in the middle of a bundle loses output; give '
        f'--finish_bundle_before_checkpointing too, got {flink.checkpointing_interval} alone')


def refuse_local(options: PipelineOptions, stores: Stores, source: Source | None = None) -> None:
  """Sees that a job which outlives this program, or leaves this machine, names nothing that does
  not.

  Raises:
    UsageError: with all that it names.
  """
  problems = []
  if EMBEDDED in (stores.redis, stores.postgres):
    problems.append(f'--redis, --postgres: {EMBEDDED} servers end with this program; name servers '
                    f'that the workers reach')
  if _runner(options) == 'DataflowRunner':
    for flag, path in (*(source.paths() if source else ()), *stores.folders):
      if '://' not in path:
        # What is kept beside the boards is under --data_dir when no other folder is named.
        flag = '--rejects' if flag == '--data_dir' else flag
        problems.append(f'{flag}: {path} is on this machine; name a place that the workers reach, '
                        f'such as {flag}=gs://my-bucket/{flag.removeprefix("--")}')
  if problems:
    raise UsageError(problems)


def probes(options: PipelineOptions) -> list[Probe]:
  """The cluster that a job is sent to, to be tried; Dataflow is asked when it is submitted to."""
  portable, flink = options.view_as(PortableOptions), options.view_as(FlinkRunnerOptions)
  named: list[tuple[str, str | None, Callable[[str], object]]] = []
  if _runner(options) == 'FlinkRunner':
    jar, master = flink.flink_job_server_jar, flink.flink_master
    named = [
        ('--flink_job_server_jar', None if '://' in (jar or '') else jar, _check_file),
        ('--flink_master', None if master in _NO_CLUSTER or portable.output_executable_path
         else master, _check_flink)]
  elif _runner(options) == 'PortableRunner':
    named = [('--job_endpoint', portable.job_endpoint, _check_listens)]
  return [Probe(flag, place, functools.partial(check, place))
          for flag, place, check in named if place]


def _runner(options: PipelineOptions) -> str:
  """The runner's name, without where it is kept."""
  return (options.view_as(StandardOptions).runner or '').rpartition('.')[2]


def _check_file(path: str) -> None:
  if not os.path.isfile(path):
    raise ValueError(f'there is no file {path}; the image of the stage flink has it under '
                     f'/opt/apache/beam/jars, and so has Maven')


def _check_flink(master: str) -> None:
  url = master if '://' in master else f'http://{master}'
  try:
    with urllib.request.urlopen(f'{url}/overview', timeout=_ANSWER_SECS) as answer:
      told = json.load(answer)
  except urllib.error.HTTPError as error:
    if error.code in (401, 403):   # something before it asks who we are
      return
    told = None
  except json.JSONDecodeError:
    told = None
  except (OSError, ValueError) as error:
    raise ValueError(f'no Flink answers at {url}: {_reason(error)}; is it '
                     f'running, and is this its REST address?') from None
  if not isinstance(told, dict) or 'flink-version' not in told:
    raise ValueError(f'what answers at {url} is no Flink; name its REST address, such as '
                     f'localhost:8081')


def _check_listens(endpoint: str) -> None:
  host, _, port = endpoint.rpartition(':')
  try:
    socket.create_connection((host.strip('[]'), int(port)), _ANSWER_SECS).close()
  except (OSError, ValueError) as error:
    raise ValueError(f'no job server answers at {endpoint}: {_reason(error)}; is it running, and '
                     f'is this its host:port?') from None


def _reason(error: Exception) -> str:
  error = getattr(error, 'reason', error)   # urllib wraps what the system says
  return getattr(error, 'strerror', None) or one_line(error)


def start(pipeline: beam.Pipeline) -> Any:
  """Hands a job to its runner, and says where it is; returns the runner's own handle."""
  options = pipeline.options
  service, portable = options.view_as(GoogleCloudOptions), options.view_as(PortableOptions)
  # Runners put other values in the place of these.
  runner, master = _runner(options), options.view_as(FlinkRunnerOptions).flink_master
  result = pipeline.run()
  if portable.output_executable_path:
    result.wait_until_finish()   # the program is being written to that file, not run
    print(f'the program of the job is {portable.output_executable_path}')
  elif runner == 'FlinkRunner' and master not in _NO_CLUSTER:
    print(f'the job runs on Flink at {master}')
  elif runner == 'PortableRunner':
    print(f'the job was handed to {portable.job_endpoint}')
  elif runner == 'DataflowRunner':
    if not hasattr(result, 'has_job'):
      _tell_dry_run(result.job)
    elif result.has_job:
      print(f'the job runs on Dataflow: https://console.cloud.google.com/dataflow/jobs/'
            f'{service.region}/{result.job_id()}?project={service.project}')
    else:
      print(f'the description of the job is {service.template_location}')
  return result


def _tell_dry_run(job: Any) -> None:
  """Says what would have been sent, and writes it where Beam writes what is."""
  kind = 'streaming' if job.options.view_as(StandardOptions).streaming else 'batch'
  print(f'dry run: a {kind} job of {len(job.proto_pipeline.components.transforms)} transforms; '
        f'nothing was sent')
  path = job.options.view_as(DebugOptions).dataflow_job_file
  if path:
    with open(path, 'w', encoding='utf-8') as file:
      file.write(_description(job))
    print(f'the description of the job is {path}')


def _description(job: Any) -> str:
  """The JSON that the service would get: Beam makes it only when it sends it."""
  from apache_beam.runners.dataflow.internal import apiclient  # of the extra `dataflow`
  service = job.google_cloud_options
  staging = service.staging_location
  with tempfile.TemporaryDirectory() as folder:
    service.staging_location = folder
    try:
      apiclient.DataflowApplicationClient(job.options, folder).create_job_description(job)
    finally:
      service.staging_location = staging
    return job.json().replace(folder, staging)
