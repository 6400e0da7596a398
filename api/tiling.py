"""Which stored windows make up a range: the coarsest first, so that few are merged."""
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from leaderboard.transforms.boards import WindowSize, parse_window_size

Span = tuple[int, int]   # [start, end), epoch seconds
_DAY_SECS = 86_400


class Stored(NamedTuple):
  """A stored window and, where finer windows nest in its size, what those say.

  Attributes:
    size: label of its window size.
    start, end: epoch seconds.
    revision: (generation, events).
    total: weight of its events.
    parts: the revision that the finer windows inside it make, None where there are none.
  """
  size: str
  start: int
  end: int
  revision: tuple[int, int]
  total: int = 0
  parts: tuple[int, int] | None = None


def merge_order(labels: Iterable[str]) -> list[tuple[str, str | None]]:
  """Window sizes that tile, coarsest first, each with the coarsest one that nests in it.

  Sliding windows overlap and are left out.

  >>> merge_order(['1h', '1d', '1h_every_5m', '5m', '1mo'])
  [('1mo', '1d'), ('1d', '1h'), ('1h', '5m'), ('5m', None)]
  """
  sizes: list[WindowSize] = []
  for label in labels:
    try:
      size = parse_window_size(label)
    except ValueError:
      continue   # of another program
    if not size.period_secs:
      sizes.append(size)
  sizes.sort(key=lambda size: size.secs, reverse=True)
  order = []
  for size in sizes:
    feeder = size.feeder(sizes)
    order.append((size.label, feeder and feeder.label))
  return order


def grid_secs(labels: Iterable[str]) -> int | None:
  """The finest fixed step of windows that tile; None where there is none."""
  sizes = [parse_window_size(label) for label, _ in merge_order(labels)]
  return min((size.secs for size in sizes if size.fixed), default=None)


def choose(windows: Sequence[Stored], gaps: Sequence[Span]) -> tuple[list[Stored], list[Span]]:
  """The windows of one size to take, and the gaps that they leave.

  A window that its parts have overtaken, in events or by a newer generation, is left to them. Of
  windows that overlap, which are those of two time zones, the earlier one is taken.

  Args:
    windows: each inside one of the gaps; by start.
    gaps: what is to be covered, in order and apart.

  >>> choose([Stored('1d', 0, 86_400, (0, 9), parts=(0, 9))], [(0, 90_000)])[1]
  [(86400, 90000)]
  """
  taken: list[Stored] = []
  left: list[Span] = []
  place = 0
  for low, high in gaps:
    at = low
    while place < len(windows) and windows[place].start < high:
      window = windows[place]
      place += 1
      if window.start < at or window.end > high:
        continue
      if window.parts is not None and window.parts > window.revision:
        continue
      if window.start > at:
        left.append((at, window.start))
      taken.append(window)
      at = window.end
    if at < high:
      left.append((at, high))
  return taken, left


def blocks(tiles: Sequence[Stored], least: int) -> list[list[Stored]]:
  """Tiles in groups that are worth being kept merged: of one UTC day, or of one stretch of thirty,
  at least so many; others stay alone. Ranges that overlap have most of their groups in common."""
  groups: list[list[Stored]] = []
  for tile in tiles:
    block = _block(tile)
    if groups and block is not None and _block(groups[-1][-1]) == block:
      groups[-1].append(tile)
    else:
      groups.append([tile])
  return [part for group in groups
          for part in ([group] if len(group) >= least else [[tile] for tile in group])]


def _block(tile: Stored) -> tuple[int, int] | None:
  """Length and number of the block that holds a tile; None for a tile that no block holds."""
  secs = _DAY_SECS if tile.end - tile.start < _DAY_SECS else 30 * _DAY_SECS
  first, last = tile.start // secs, (tile.end - 1) // secs
  return (secs, first) if first == last else None
