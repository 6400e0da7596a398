"""Numbers that Flink spreads evenly over the slots of a job.

Flink reads all parts of one element of an endless source in one slot, whatever the parts are: the
hash of the element alone (Beam's `FlinkKey` and Flink's `KeyGroupRangeAssignment`) says in which.
"""
import collections
import itertools

import mmh3
from apache_beam.coders import VarIntCoder

# Flink's own default up to 85 slots. A slot has the groups of an even share, in their order.
_GROUPS = 128


def key_group(number: int) -> int:
  """The group of an element of the type int."""
  code = mmh3.mmh3_x64_128_digest(VarIntCoder().encode(number))[:4]
  return abs(mmh3.hash(code)) % _GROUPS


def spread(count: int) -> list[int]:
  """So many different numbers; of as many slots each has one, of fewer each its share.

  >>> sorted(key_group(number) * 4 // 128 for number in spread(4))
  [0, 1, 2, 3]
  """
  wanted = collections.Counter((2 * place + 1) * _GROUPS // (2 * count) for place in range(count))
  found: list[int] = []
  for number in itertools.count():
    if len(found) == count:
      break
    group = key_group(number)
    if wanted[group]:
      wanted[group] -= 1
      found.append(number)
  return found
