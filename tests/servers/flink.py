"""A real Flink cluster with a Beam job server, from package registries.

  with flink.FlinkCluster() as cluster:
    topk.run([..., *cluster.flags(checkpoint_msec=1000)])

The cluster is Flink's own: a job manager, task managers that can be killed, checkpoints on disk.
"""
import contextlib
import dataclasses
import pathlib
import shutil
import sys
import tarfile
import tempfile

from servers import cache, flinkjobs, maven
from servers.processes import Server, free_port, listens, start_java, wait_for

FLINK = '1.19.3'
BEAM = '2.70.0'   # of the job server: the newest in the registry; it serves newer Python SDKs

# A job server uploads its own jars with every job, which takes 14 seconds, but for those in a
# folder of this name (Beam's PipelineResources, for another reason). So the cluster has them.
_NOT_STAGED = 'gradle/wrapper'
_IN_FLINK = ('flink-', 'frocksdbjni', 'slf4j')
_START_SECS = 90
_JOB_MANAGER_HEAP_MB = 512
_JOB_SERVER_HEAP_MB = 512
_TASK_MANAGER_HEAP_MB = 896   # task and framework heap of the configuration
# Every part of the memory is named, for nothing computes them: Flink's shell scripts are not used.
_CONFIG = """
jobmanager.rpc.address: localhost
jobmanager.rpc.port: {rpc_port}
jobmanager.bind-host: localhost
taskmanager.host: localhost
taskmanager.bind-host: localhost
taskmanager.cpu.cores: 1
taskmanager.memory.framework.heap.size: 128m
taskmanager.memory.framework.off-heap.size: 128m
taskmanager.memory.task.heap.size: 768m
taskmanager.memory.task.off-heap.size: 0m
taskmanager.memory.network.min: 128m
taskmanager.memory.network.max: 128m
taskmanager.memory.managed.size: 128m
taskmanager.memory.jvm-metaspace.size: 512m
taskmanager.memory.jvm-overhead.min: 64m
taskmanager.memory.jvm-overhead.max: 64m
rest.address: localhost
rest.bind-address: localhost
rest.port: {rest_port}
restart-strategy.type: fixed-delay
restart-strategy.fixed-delay.attempts: 5
restart-strategy.fixed-delay.delay: 3 s
heartbeat.interval: 1000
heartbeat.timeout: 8000
state.backend.type: hashmap
state.checkpoints.dir: file://{folder}/checkpoints
web.refresh-interval: 200
"""
_LOGGING = """
rootLogger.level = INFO
rootLogger.appenderRef.console.ref = console
appender.console.name = console
appender.console.type = Console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{HH:mm:ss,SSS} %-5p %c{1} %m%n
"""


def missing() -> str | None:
  """The reason why no cluster can be started on this machine, or None."""
  return cache.missing(java='Java 11 or 17', mvn='Maven')


@dataclasses.dataclass
class FlinkCluster:
  """A context manager: a job manager, task managers and a Beam job server, on free ports.

  Args:
    task_managers: how many are started at first.
    slots: of each; a job takes as many as its parallelism.
  Attributes, once entered:
    url: of the cluster's REST interface.
    job_endpoint: of the Beam job server.
    folder: logs and checkpoints; gone with the cluster.
  """
  task_managers: int = 1
  slots: int = 2

  def __enter__(self) -> 'FlinkCluster':
    with contextlib.ExitStack() as stack:
      self.folder = pathlib.Path(stack.enter_context(
          tempfile.TemporaryDirectory(prefix='topk-flink-', ignore_cleanup_errors=True)))
      self._servers: list[Server] = []
      stack.callback(self._stop)
      self._start()
      self._stack = stack.pop_all()
    return self

  def __exit__(self, kind: type | None, *_: object) -> None:
    if kind:
      print(self.tails(), file=sys.stderr)
    self._stack.close()

  def flags(
      self, parallelism: int = 1, streaming: bool = True, checkpoint_msec: int | None = None,
      idle_msec: int | None = None) -> list[str]:
    """The pipeline options of a job on this cluster, its Python in the calling process.

    Args:
      checkpoint_msec: how often to checkpoint; None: never. With checkpoints a job does not end by
        itself, though its sources do: wait for what it writes, then cancel it.
      idle_msec: with checkpoints, ends the job after all. It counts from the start of the job, not
        from its last event, and no checkpoint completes from then on.
    """
    flags = [
        '--runner=PortableRunner', f'--job_endpoint={self.job_endpoint}',
        '--environment_type=LOOPBACK', f'--parallelism={parallelism}']
    if streaming:
      flags.append('--streaming')
    if checkpoint_msec:
      flags += [
          f'--checkpointing_interval={checkpoint_msec}',
          # Without it the output of an unfinished bundle is lost, and the job ends as if well.
          '--finish_bundle_before_checkpointing']
    if idle_msec is not None:
      flags.append(f'--shutdown_sources_after_idle_ms={idle_msec}')
    return flags

  def jobs(self) -> list[flinkjobs.Job]:
    """All jobs since the start, the oldest first."""
    return flinkjobs.jobs(self.url)

  def unfinished_jobs(self) -> list[flinkjobs.Job]:
    return [job for job in self.jobs() if not job.ended]

  def cancel_jobs(self) -> None:
    """Ends all jobs, and returns when their slots are free."""
    for job in self.unfinished_jobs():
      job.cancel()
    wait_for('jobs do not end', lambda: not self.unfinished_jobs(), _START_SECS)

  def start_task_manager(self, slots: int | None = None) -> Server:
    """Starts a task manager and waits until it offers its slots."""
    name = f'task-manager-{len(self._servers)}'
    server = self._java(
        name, 'org.apache.flink.runtime.taskexecutor.TaskManagerRunner',
        ['--configDir', str(self._conf), f'-Dtaskmanager.numberOfTaskSlots={slots or self.slots}',
         f'-Dtaskmanager.resource-id={name}'],
        _TASK_MANAGER_HEAP_MB)
    wait_for(
        f'{name} offers no slots', lambda: name in self._registered(), _START_SECS, server)
    return server

  def kill_task_manager(self) -> None:
    """Ends the oldest task manager as a crash would (SIGKILL)."""
    next(iter(self.running_task_managers())).kill()

  def running_task_managers(self) -> list[Server]:
    """Those whose process lives, the oldest first."""
    return [
        server for server in self._servers
        if server.name.startswith('task-manager') and server.process.poll() is None]

  def tails(self) -> str:
    """The ends of all logs."""
    return '\n'.join(server.tail() for server in self._servers)

  def _start(self) -> None:
    rpc_port, rest_port, job_port = free_port(), free_port(), free_port()
    self.url = f'http://localhost:{rest_port}'
    self.job_endpoint = f'localhost:{job_port}'
    beam = job_server_libraries()
    self._jars = [cluster_libraries() / '*', *(
        jar for jar in sorted(beam.glob('*.jar')) if not jar.name.startswith(_IN_FLINK))]
    self._conf = self.folder / 'conf'
    self._conf.mkdir()
    (self._conf / 'config.yaml').write_text(_CONFIG.format(
        rpc_port=rpc_port, rest_port=rest_port, folder=self.folder))
    (self._conf / 'log4j.properties').write_text(_LOGGING)
    manager = self._java(
        'job-manager', 'org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint',
        ['--configDir', str(self._conf)], _JOB_MANAGER_HEAP_MB)
    job_server = start_java(
        'job-server', self.folder, [beam / '*'],
        'org.apache.beam.runners.flink.FlinkJobServerDriver',
        [f'--flink-master=localhost:{rest_port}', '--job-host=localhost',
         f'--job-port={job_port}', '--artifact-port=0', '--expansion-port=0',
         f'--artifacts-dir={self.folder}/artifacts'], _JOB_SERVER_HEAP_MB)
    self._servers.append(job_server)
    wait_for(
        'no job manager', lambda: flinkjobs.answers(self.url), _START_SECS, manager)
    for _ in range(self.task_managers):
      self.start_task_manager()
    wait_for('no job server', lambda: listens(job_port), _START_SECS, job_server)

  def _java(self, name: str, main: str, arguments: list[str], heap_mb: int) -> Server:
    server = start_java(
        name, self.folder, self._jars, main, arguments, heap_mb,
        (f'-Dlog4j.configurationFile={self._conf}/log4j.properties',))
    self._servers.append(server)
    return server

  def _registered(self) -> list[str]:
    return [each['id'] for each in flinkjobs.ask(f'{self.url}/taskmanagers')['taskmanagers']]

  def _stop(self) -> None:
    for server in reversed(self._servers):
      server.kill()   # nothing of it is kept, and an orderly end takes seconds


def cluster_libraries() -> pathlib.Path:
  """The jars of a Flink cluster, from the Python package that carries them."""

  def build(folder: pathlib.Path) -> None:
    with tempfile.TemporaryDirectory(prefix='topk-flink-') as name:
      scratch = pathlib.Path(name)
      cache.run([
          sys.executable, '-m', 'pip', 'download', '--quiet', '--no-deps',
          '--no-binary=apache-flink-libraries', f'--dest={scratch}',
          f'apache-flink-libraries=={FLINK}'])
      (archive,) = scratch.glob('*.tar.gz')
      with tarfile.open(archive) as packed:
        for member in packed:
          path = pathlib.PurePath(member.name)
          # Beam uses neither tables nor Scala.
          if path.parts[1:3] == ('deps', 'lib') and path.name.startswith(('flink-dist', 'log4j')):
            with packed.extractfile(member) as jar, open(folder / path.name, 'wb') as file:
              shutil.copyfileobj(jar, file)

  return cache.keep(f'flink-{FLINK}', 'dist, log4j', build)


def job_server_libraries() -> pathlib.Path:
  """The jars of the Beam job server for this Flink.

  The registry holds the parts of the newest job server but for one, `job-service`; what that and
  the expansion service bring in shaded form would hide the real `runners-core`.
  """
  beam = 'org.apache.beam:beam-{}:' + BEAM
  older = 'org.apache.beam:beam-runners-java-job-service'
  parts = (
      'sdks-java-core', 'runners-core-java', 'runners-java-fn-execution', 'model-pipeline',
      'model-fn-execution', 'model-job-management',
      'sdks-java-extensions-google-cloud-platform-core', 'sdks-java-expansion-service')
  shaded = 'org.apache.beam:beam-sdks-java-harness'
  return maven.libraries(
      f'{_NOT_STAGED}/beam-flink-job-server-{BEAM}',
      wanted=[
          beam.format('runners-flink-1.19'), 'org.apache.flink:flink-statebackend-rocksdb:1.19.0',
          'org.slf4j:slf4j-simple:2.0.16'],
      pinned=[*map(beam.format, parts), f'{older}:2.65.0'],
      excluded={older: shaded, 'org.apache.beam:beam-sdks-java-expansion-service': shaded})
