"""What a board is: its key, its window sizes and the record that is published."""
import dataclasses
import re
from typing import NamedTuple

_SIZE = re.compile(r'([1-9][0-9]*)([smhd])')
_UNIT_SECS = {'s': 1, 'm': 60, 'h': 3600, 'd': 86400}


class WindowSize(NamedTuple):
  """A window size: the label users write (`5m`) and its length in seconds."""
  label: str
  secs: int

  def start(self, epoch_secs: int) -> int:
    """Start, in UTC epoch seconds, of the window that holds this second.

    >>> WindowSize('1h', 3600).start(7300)
    7200
    """
    return epoch_secs - epoch_secs % self.secs


def parse_window_size(text: str) -> WindowSize:
  """Reads one size such as `30s`, `5m`, `1h` or `1d`.

  Raises:
    ValueError: not a positive whole number followed by s, m, h or d.
  """
  match = _SIZE.fullmatch(text.strip())
  if not match:
    raise ValueError(f'a window size must be a whole number and one of s, m, h, d, '
                     f'such as 5m; got {text!r}')
  return WindowSize(text.strip(), int(match[1]) * _UNIT_SECS[match[2]])


def parse_window_sizes(text: str) -> list[WindowSize]:
  """Reads a comma-separated list of sizes, finest first in the answer.

  >>> [size.label for size in parse_window_sizes('1h,1m,5m')]
  ['1m', '5m', '1h']

  Raises:
    ValueError: a size is malformed or repeated, or does not nest in the next coarser one.
  """
  sizes = sorted(map(parse_window_size, text.split(',')), key=lambda size: size.secs)
  for fine, coarse in zip(sizes, sizes[1:], strict=False):
    if fine.secs == coarse.secs:
      raise ValueError(f'{fine.label} and {coarse.label} are the same window size')
    if coarse.secs % fine.secs:
      raise ValueError(f'each window size must nest in the next coarser one; '
                       f'{coarse.label} is not a whole number of {fine.label}')
  return sizes


class Row(NamedTuple):
  """One ranked item: `count <= true weight <= upper`. Its rank is its place in the list, from 1."""
  item: str
  count: int   # type: ignore[assignment]   # shadows tuple.count, which no one needs
  upper: int


@dataclasses.dataclass(frozen=True)
class BoardRecord:
  """A published board: everything a store keeps of one (tenant, event type, window).

  Attributes:
    tenant_id, event_type: whose board it is.
    window_size: label such as `1h`.
    window_start, window_end: UTC epoch seconds.
    generation, events: the revision, compared in that order; a larger one is newer.
    total: weight of all events.
    tau: no item that the summary does not track weighs more.
    rest_upper: no item outside `rows` weighs more.
    epsilon, delta: the sketch's promise for one item: 0.0 while the summary is exact, None
      where it has no sketch.
    resolution: `exact`, `resolved`, `partial` or `low`, for all `rows` together.
    rows: the heaviest items, by (count descending, item ascending).
    summary: the encoded mergeable summary behind the rows.
  """
  tenant_id: str
  event_type: str
  window_size: str
  window_start: int
  window_end: int
  generation: int
  events: int
  total: int
  tau: int
  rest_upper: int
  epsilon: float | None
  delta: float | None
  resolution: str
  rows: tuple[Row, ...]
  summary: bytes

  @property
  def revision(self) -> tuple[int, int]:
    return self.generation, self.events
