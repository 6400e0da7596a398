"""Trying what a job needs before anything runs: everything at the same time, told together."""
import concurrent.futures
from collections.abc import Callable, Sequence
from typing import NamedTuple

from leaderboard.io.kafkaclient import KafkaUnavailable
from leaderboard.io.postgresio import PostgresUnavailable
from leaderboard.io.redisio import RedisUnavailable


class Probe(NamedTuple):
  """One thing that a flag names.

  Attributes:
    place: what is tried, without its password.
    attempt: raises one of the errors that `failures` knows when it is out of reach.
  """
  flag: str
  place: str
  attempt: Callable[[], object]


def failures(probes: Sequence[Probe]) -> list[str]:
  """What is out of reach, a line each in the order of the probes.

  They are tried at the same time: every server that is away is waited for some seconds.
  """
  if not probes:
    return []
  with concurrent.futures.ThreadPoolExecutor(len(probes)) as pool:
    told = list(pool.map(_told, probes))
  return list(dict.fromkeys(line for line in told if line))


def _told(probe: Probe) -> str | None:
  try:
    probe.attempt()
  except (RedisUnavailable, PostgresUnavailable, KafkaUnavailable, ValueError, OSError) as error:
    return f'{probe.flag}: {error}'
  return None


def print_tried(probes: Sequence[Probe]) -> None:
  """Tells what `--preflight=only` found in reach."""
  print('preflight: source and stores are in reach, and the options are right')
  for probe in probes:
    print(f'  {probe.flag:<15} {probe.place}')
