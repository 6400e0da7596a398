"""Counts the plain lines of a block in compiled code, which sets every other line apart.

A line is plain when nothing about it needs a judge: see `plainlines.c`.
"""
import ctypes
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from leaderboard.transforms import compiled, lines
from leaderboard.transforms.blocks import EventBlock
from leaderboard.transforms.compiled import Plain
from leaderboard.transforms.countingrules import CountingRules
from leaderboard.transforms.events import RawEvent

_PLAIN_NAME = re.compile(r'[A-Za-z0-9_-]+')


def fits(rules: CountingRules) -> bool:
  """Whether lines may be counted here by these rules."""
  return _paths_fit(rules.item_paths) and compiled.library() is not None


def _paths_fit(paths: Mapping[str, str]) -> bool:
  """Whether items are found by plain names, below fields that are no others."""
  keys = [path.split('.') for path in paths.values()]
  return (len(keys) <= compiled.MAX_PATHS
          and len({key[0] for key in keys}) <= compiled.MAX_ROOTS
          and all(len(key) <= compiled.MAX_KEYS + 1 and key[0] not in RawEvent._fields
                  for key in keys)
          and all(_PLAIN_NAME.fullmatch(name) for key in keys for name in key))


def count(data: memoryview, block: EventBlock, rules: CountingRules) -> Plain:
  """Counts the plain lines of a block that `fits` the rules.

  Args:
    data: its lines.
  """
  found = _run(data, block, rules, None, keep=rules.keep_events)
  return compiled.told(found, block, rules.parameters)


def event_times(data: memoryview, block: EventBlock,
                rules: CountingRules) -> tuple[np.ndarray, np.ndarray]:
  """The event time of every line of a block, -1 where it is not plain: int64[lines], epoch
  milliseconds; and the other lines, as `Plain.odd`."""
  times = np.full(lines.count_lines(data), -1, np.int64)
  with compiled.answer(_run(data, block, rules, times, keep=False), block) as counts:
    return times, compiled.odd_of(counts)


def _run(data: memoryview, block: EventBlock, rules: CountingRules, times: np.ndarray | None,
         keep: bool) -> Any:
  text = np.frombuffer(data, np.uint8)
  late = None if block.late is None else np.ascontiguousarray(block.late, np.uint8)
  asked = compiled.rules_of(block, rules, keep)
  if rules.item_paths:
    asked.paths = ctypes.pointer(_paths(rules.item_paths))
  return compiled.loaded().plain_count(
      text.ctypes.data, len(text), ctypes.byref(asked),
      None if late is None else late.ctypes.data, None if times is None else times.ctypes.data)


def _paths(paths: Mapping[str, str]) -> compiled.Paths:
  keys = [path.split('.') for path in paths.values()]
  roots = list(dict.fromkeys(key[0] for key in keys))
  found = compiled.Paths(len(roots), len(keys))
  found.root[:len(roots)] = list(map(_text, roots))
  for place, (event_type, (root, *below)) in enumerate(zip(paths, keys, strict=True)):
    found.path[place] = compiled.Path(_text(event_type), roots.index(root), len(below),
                                      tuple(map(_text, below)))
  return found


def _text(text: str) -> compiled.Text:
  data = text.encode()
  return compiled.Text(data, len(data))
