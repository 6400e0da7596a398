"""What starts Python workers beside a task manager: Beam's own boot program, that of its images,
and the jar of the job server that a launcher puts a job into."""
import json
import os
import pathlib
import sys
import zipfile

from servers import cache, flink, prism

_MODULE = 'github.com/apache/beam/sdks/v2/python/container@v2.77.0'
_LINE = 70   # of a manifest, in bytes


def missing() -> str | None:
  """The reason why the boot program cannot be built on this machine, or None."""
  return prism.missing()


def program() -> pathlib.Path:
  """/opt/apache/beam/boot of Beam's images; the first call on a machine compiles it, in minutes."""

  def build(folder: pathlib.Path) -> None:
    cache.run(['go', 'install', _MODULE], env={**os.environ, 'GOBIN': str(folder)})

  return cache.keep('boot-2.77.0', _MODULE, build) / 'container'


def process_environment(folder: pathlib.Path) -> str:
  """--environment_config of PROCESS: workers run with the Python of this process, as the image's
  run with that of the image.

  Args:
    folder: where they are started, for they write there.
  """
  command = folder / 'boot'
  command.write_text(f'#!/bin/sh\ncd {folder} && exec {program()} "$@"\n')
  command.chmod(0o755)
  return json.dumps({'command': str(command), 'env': {
      'RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT': '1',
      'PATH': f'{pathlib.Path(sys.executable).parent}:{os.environ["PATH"]}'}})


def job_server_jar() -> pathlib.Path:
  """Serves as beam-runners-flink-job-server.jar.

  The registry has only its parts. The cluster of the tests has them all on its class path; what
  looks for the job in its own jar must be in that jar, and the rest is named for `java -jar`.
  """
  libraries = flink.job_server_libraries()

  def build(folder: pathlib.Path) -> None:
    path = 'Class-Path: ' + ' '.join(jar.as_uri() for jar in sorted(libraries.glob('*.jar')))
    lines = [
        'Manifest-Version: 1.0', 'Main-Class: org.apache.beam.runners.flink.FlinkJobServerDriver',
        'Add-Opens: ' + ' '.join(f'java.base/{name}' for name in (
            'java.lang', 'java.util', 'java.nio', 'sun.nio.ch')),
        '\n '.join(path[at:at + _LINE] for at in range(0, len(path), _LINE)), '']
    with zipfile.ZipFile(folder / 'job-server.jar', 'w') as jar:
      jar.writestr('META-INF/MANIFEST.MF', '\n'.join(lines))
      for part in ('beam-runners-flink-1', 'beam-runners-java-job-service-'):
        (source,) = libraries.glob(f'{part}*.jar')
        with zipfile.ZipFile(source) as classes:
          for name in classes.namelist():
            if name.startswith('org/') and not name.endswith('/'):
              jar.writestr(name, classes.read(name))

  return cache.keep('job-server-jar', f'{libraries} 2', build) / 'job-server.jar'
