"""Beam's Python workers as processes of their own, as a cluster runs them beside a task manager.

  with workers.WorkerPool() as pool:
    topk.run([..., *cluster.flags(2), *pool.flags(2)])

In a LOOPBACK job all workers are threads of the calling process and share one interpreter.
"""
import contextlib
import os
import pathlib
import signal
import sys
import tempfile

from servers.processes import Server, free_port, launch, listens, wait_for

_START_SECS = 60


class WorkerPool:
  """A context manager: a pool that starts a worker process for whoever asks."""

  def __enter__(self) -> 'WorkerPool':
    with contextlib.ExitStack() as stack:
      folder = pathlib.Path(stack.enter_context(
          tempfile.TemporaryDirectory(prefix='topk-workers-', ignore_cleanup_errors=True)))
      self._port = free_port()
      log = folder / 'workers.log'
      # The pool starts its workers by the word `python`.
      path = f'{pathlib.Path(sys.executable).parent}:{os.environ["PATH"]}'
      with open(log, 'wb') as file:
        self.server = Server('workers', launch(
            ['env', f'PATH={path}', sys.executable, '-m',
             'apache_beam.runners.worker.worker_pool_main', f'--service_port={self._port}'],
            file), log)
      stack.callback(self._stop)
      wait_for('no workers', lambda: listens(self._port), _START_SECS, self.server)
      self._stack = stack.pop_all()
    return self

  def __exit__(self, *_: object) -> None:
    self._stack.close()

  def flags(self, workers: int) -> list[str]:
    """The pipeline options of a job whose Python runs in so many processes of this pool."""
    return ['--environment_type=EXTERNAL', f'--environment_config=localhost:{self._port}',
            f'--sdk_worker_parallelism={workers}']

  def _stop(self) -> None:
    # Its workers too: they are of its process group.
    with contextlib.suppress(ProcessLookupError):
      os.killpg(self.server.process.pid, signal.SIGTERM)
    self.server.stop()
