"""Trying what a job needs before anything runs: everything at the same time, told together."""
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from leaderboard.pipelines.checks import one_line

_SECS = 30   # longer than any of our own checks waits


class Probe(NamedTuple):
  """One thing that a flag names.

  Attributes:
    place: what is tried, without its password.
    attempt: raises an error that says what is wrong when it is out of reach.
  """
  flag: str
  place: str
  attempt: Callable[[], object]


def failures(probes: Sequence[Probe]) -> list[str]:
  """What is out of reach, a line each in the order of the probes.

  They are tried at the same time: every server that is away is waited for some seconds.
  """
  told: dict[int, str | None] = {}

  def attempt(number: int) -> None:
    told[number] = _told(probes[number])

  # Of the service whose sign-in fails some clients log more than they say.
  heard = logging.root.manager.disable
  logging.disable(logging.ERROR)
  try:
    # Not a pool, whose end waits for all: a client may try for minutes what is told after _SECS.
    threads = [threading.Thread(target=attempt, args=(number,), daemon=True)
               for number in range(len(probes))]
    for thread in threads:
      thread.start()
    deadline = time.monotonic() + _SECS
    for thread in threads:
      thread.join(max(0, deadline - time.monotonic()))
  finally:
    logging.disable(heard)
  lines = [told.get(number, f'{probe.flag}: {probe.place} does not answer within {_SECS} s')
           for number, probe in enumerate(probes)]
  return list(dict.fromkeys(line for line in lines if line))


def _told(probe: Probe) -> str | None:
  try:
    probe.attempt()
  except Exception as error:   # of any kind that a client or its sign-in has: it is told
    return f'{probe.flag}: {one_line(error)}'
  return None


def print_tried(probes: Sequence[Probe]) -> None:
  """Tells what `--preflight=only` found in reach."""
  print('preflight: source and stores are in reach, and the options are right')
  wide = max((len(probe.flag) for probe in probes), default=0)
  for probe in probes:
    print(f'  {probe.flag:<{wide}}  {probe.place}')
