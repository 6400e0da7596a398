"""Servers that end in the middle of whatever they do, and come back on their data."""
import os
import pathlib
import shlex
import signal
import subprocess
import threading

import redis

from servers import processes


class PostgresCrash:
  """An embedded PostgreSQL, ended at once when this is made.

  Args:
    folder: of its data.
  """

  def __init__(self, folder: pathlib.Path) -> None:
    self._folder = folder
    self._owner = folder.stat()
    self._command = shlex.split((folder / 'postmaster.opts').read_text())
    pid = int((folder / 'postmaster.pid').read_text().split()[0])
    os.kill(pid, signal.SIGQUIT)
    while pathlib.Path(f'/proc/{pid}').exists() and 'Z' not in pathlib.Path(
        f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()[0]:
      threading.Event().wait(0.02)

  def restart(self) -> subprocess.Popen:
    """Starts it again; returns when it is ready."""
    process = subprocess.Popen(
        self._command, user=self._owner.st_uid, group=self._owner.st_gid, extra_groups=[],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    pid_file = self._folder / 'postmaster.pid'
    processes.wait_for('not ready', lambda: pid_file.exists() and (
        'ready' in pid_file.read_text()), 60)
    return process


def kill_redis(url: str) -> None:
  """Ends a Redis as a crash would."""
  with redis.Redis.from_url(url) as client:
    pid = client.info('server')['process_id']
  os.kill(pid, signal.SIGKILL)
