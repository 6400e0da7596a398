"""What a Flink cluster tells about its jobs over REST: that a job restarted, and from what."""
import dataclasses
import json
import urllib.error
import urllib.request
from typing import Any

_ENDED = ('CANCELED', 'FAILED', 'FINISHED')


@dataclasses.dataclass(frozen=True)
class Checkpoints:
  """Counts of a job's checkpoints, and the size of the newest completed one in bytes."""
  completed: int
  failed: int
  restored: int
  state_bytes: int


@dataclasses.dataclass(frozen=True)
class Job:
  """A job of a cluster; every property asks anew."""
  url: str
  id: str
  name: str

  @property
  def state(self) -> str:
    """CREATED, RUNNING, RESTARTING, FINISHED, FAILED, CANCELED ..."""
    return ask(f'{self.url}/jobs/{self.id}')['state']

  @property
  def ended(self) -> bool:
    return self.state in _ENDED

  @property
  def running(self) -> bool:
    """Whether every task runs: a restarted job is RUNNING before that."""
    job = ask(f'{self.url}/jobs/{self.id}')
    return job['state'] == 'RUNNING' and all(
        task['status'] in ('RUNNING', 'FINISHED') for task in job['vertices'])

  @property
  def checkpoints(self) -> Checkpoints:
    told = ask(f'{self.url}/jobs/{self.id}/checkpoints')
    if 'counts' not in told:   # not started yet, or checkpointing is off
      return Checkpoints(0, 0, 0, 0)
    counts, newest = told['counts'], told['latest']['completed']
    return Checkpoints(
        counts['completed'], counts['failed'], counts['restored'],
        newest['state_size'] if newest else 0)

  @property
  def failures(self) -> list[str]:
    """Why it had to restart each time, the newest first."""
    told = ask(f'{self.url}/jobs/{self.id}/exceptions')
    return [entry['stacktrace'] for entry in told['exceptionHistory']['entries']]

  def sent(self, step: str) -> list[int]:
    """How many records each parallel task of that step has sent; of the first one so named."""
    task = next(task for task in ask(f'{self.url}/jobs/{self.id}')['vertices']
                if step in task['name'])
    return [each['metrics']['write-records']
            for each in ask(f'{self.url}/jobs/{self.id}/vertices/{task["id"]}')['subtasks']]

  def cancel(self) -> None:
    if not self.ended:
      ask(f'{self.url}/jobs/{self.id}?mode=cancel', 'PATCH')


def jobs(url: str) -> list[Job]:
  """The jobs of the cluster at the REST url, the oldest first."""
  told = sorted(ask(f'{url}/jobs/overview')['jobs'], key=lambda job: job['start-time'])
  return [Job(url, job['jid'], job['name']) for job in told]


def ask(url: str, method: str = 'GET') -> Any:
  request = urllib.request.Request(url, method=method)
  try:
    with urllib.request.urlopen(request, timeout=10) as answer:
      return json.load(answer)
  except urllib.error.HTTPError as error:
    if error.code == 404:   # a job that is known, and not yet set up
      return {}
    raise


def answers(url: str) -> bool:
  try:
    ask(f'{url}/overview')
  except OSError:
    return False
  return True
