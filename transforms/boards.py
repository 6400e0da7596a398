"""What a board is: its key, its window sizes and the record that is published."""
import dataclasses
import math
import re
from typing import NamedTuple

from leaderboard.transforms import calendars

_SIZE = re.compile(r'([1-9][0-9]*)([smhd])')
_SLIDING = re.compile(r'([^/_]+)(?:/|_every_)([^/_]+)')
_UNIT_SECS = {'s': 1, 'm': 60, 'h': 3600, 'd': 86_400}
_DAY_SECS, _HOUR_SECS = 86_400, 3600
# Label -> unit, and the length of a typical one.
_CALENDAR = {'1d': (calendars.DAY, _DAY_SECS), '1w': (calendars.WEEK, 7 * _DAY_SECS),
             '1mo': (calendars.MONTH, 30 * _DAY_SECS)}
# Every event is in so many windows at once, and a streaming job keeps it in each.
_MAX_STEPS = 60


class WindowSize(NamedTuple):
  """A window size of any kind: fixed, calendar or sliding.

  Attributes:
    label: its name in the stores, such as `5m`, `1mo` or `1h_every_1m`.
    secs: its length; of a calendar size that of a typical window.
    period_secs: of a sliding size, the time from one window's start to the next; otherwise 0.
    unit: of a calendar size, `day`, `week` or `month`; otherwise empty. Days of UTC are a fixed
      size.
    time_zone: whose calendar it is.
  """
  label: str
  secs: int
  period_secs: int = 0
  unit: str = ''
  time_zone: str = 'UTC'

  @property
  def fixed(self) -> bool:
    """Whether every window is `secs` long and the next one starts where it ends."""
    return not self.unit and not self.period_secs

  def start(self, epoch_secs: int) -> int:
    """Start, in UTC epoch seconds, of the window that holds this second; of a sliding size, of
    the one that ends first: the last hour as of then.

    >>> WindowSize('1h', 3600).start(7300)
    7200
    """
    if self.unit:
      return calendars.start_of(self.unit, self.time_zone, epoch_secs)
    if self.period_secs:
      return epoch_secs - epoch_secs % self.period_secs - self.secs + self.period_secs
    return epoch_secs - epoch_secs % self.secs

  def starts(self, epoch_secs: int) -> list[int]:
    """Starts of all windows that hold this second, earliest first.

    >>> WindowSize('1h_every_30m', 3600, 1800).starts(7300)
    [5400, 7200]
    """
    first = self.start(epoch_secs)
    return list(range(first, epoch_secs + 1, self.period_secs)) if self.period_secs else [first]

  def end(self, start: int) -> int:
    """End of the window that starts at this second."""
    if self.unit:
      return calendars.end_of(self.unit, self.time_zone, start)
    return start + self.secs

  def nests_in(self, other: 'WindowSize') -> bool:
    """Whether every window of another size is made of whole windows of this one; of a sliding
    size, whether these are its steps.

    >>> WindowSize('5m', 300).nests_in(WindowSize('1h', 3600))
    True
    """
    if self.period_secs or self == other:
      return False
    if other.period_secs:
      return self.fixed and self.secs == other.period_secs
    if other.fixed:
      return self.fixed and self.secs < other.secs and other.secs % self.secs == 0
    if self.fixed:
      return calendars.grain_secs(other.unit, other.time_zone) % self.secs == 0
    return self.time_zone == other.time_zone and self.unit == calendars.DAY

  def feeder(self, sizes: list['WindowSize']) -> 'WindowSize | None':
    """The coarsest of these sizes that nests in this one; None for none."""
    return max((size for size in sizes if size.nests_in(self)), key=lambda size: size.secs,
               default=None)

  def __str__(self) -> str:
    return f'{self.label} of {self.time_zone}' if self.unit else self.label


def parse_secs(text: str) -> int:
  """Seconds of a whole number of s, m, h or d.

  >>> parse_secs('90m')
  5400

  Raises:
    ValueError: it is something else.
  """
  match = _SIZE.fullmatch(text.strip())
  if not match:
    raise ValueError(f'must be a whole number and one of s, m, h, d, such as 5m; got {text!r}')
  return int(match[1]) * _UNIT_SECS[match[2]]


def parse_window_size(text: str, time_zone: str = 'UTC') -> WindowSize:
  """Reads one size: `30s`, `5m`, `1h`; `1d`, `1w` or `1mo` of a time zone; or a sliding `1h/1m`,
  which is stored as `1h_every_1m`.

  Raises:
    ValueError: it is none of these, or the time zone is not known.
  """
  text = text.strip()
  sliding = _SLIDING.fullmatch(text)
  if sliding:
    return _sliding(*sliding.groups())
  if text in _CALENDAR and (text, time_zone) != ('1d', 'UTC'):
    unit, secs = _CALENDAR[text]
    return WindowSize(text, secs, unit=unit, time_zone=calendars.check_time_zone(time_zone))
  if not _SIZE.fullmatch(text):
    raise ValueError(f'a window size must be a whole number and one of s, m, h, d, such as 5m, or '
                     f'1w or 1mo; got {text!r}')
  secs = parse_secs(text)
  if text.endswith('d') and time_zone != 'UTC':
    raise ValueError(f'of days, only 1d follows a time zone; write {secs // _HOUR_SECS}h for '
                     f'windows of UTC, got {text!r} with {time_zone}')
  return WindowSize(text, secs)


def _sliding(size: str, period: str) -> WindowSize:
  secs, period_secs = parse_secs(size), parse_secs(period)
  steps, rest = divmod(secs, period_secs)
  if rest or steps < 2:
    raise ValueError(f'a sliding size must be two or more whole periods, such as 1h/1m; got '
                     f'{size}/{period}')
  if steps > _MAX_STEPS:
    least = _label(-(-secs // _MAX_STEPS))
    raise ValueError(f'a sliding size may be at most {_MAX_STEPS} periods long, got '
                     f'{size}/{period} of {steps}; take a period of at least {least}')
  return WindowSize(f'{size}_every_{period}', secs, period_secs)


def parse_window_sizes(text: str, time_zone: str = 'UTC') -> list[WindowSize]:
  """Reads a comma-separated list of sizes, finest first in the answer.

  >>> [size.label for size in parse_window_sizes('1mo,1h,1d,1m', 'Europe/Berlin')]
  ['1m', '1h', '1d', '1mo']

  Raises:
    ValueError: a size is malformed, repeated or sliding, or none nests in it; or the finest is
      none of fixed length.
  """
  sizes = [parse_window_size(part, time_zone) for part in text.split(',')]
  for size in sizes:
    if size.period_secs:
      raise ValueError(f'a sliding size goes into --sliding, got {size.label}')
  sizes = order_sizes(sizes)
  if not sizes[0].fixed:
    raise ValueError(f'the finest window size must have a fixed length; got {sizes[0]}; add '
                     f'{_label(_common_secs(sizes[0], _HOUR_SECS))} to it')
  return sizes


def add_sliding_sizes(sizes: list[WindowSize], text: str) -> list[WindowSize]:
  """Adds a comma-separated list of sliding sizes, whose steps are among `sizes`.

  >>> [size.label for size in add_sliding_sizes(parse_window_sizes('1m,1h'), '1h/1m')]
  ['1m', '1h_every_1m', '1h']

  Raises:
    ValueError: a size is malformed or repeated, or there are no windows as long as its period.
  """
  added = [parse_window_size(part) for part in text.split(',')]
  for size in added:
    if not size.period_secs:
      raise ValueError(f'a sliding size is a size and its period, such as 1h/1m; got {size.label}')
    if not size.feeder(sizes):
      raise ValueError(f'{size.label} is made of windows of its period: add '
                       f'{_label(size.period_secs)} to --windows')
  return order_sizes([*sizes, *added])


def order_sizes(sizes: list[WindowSize]) -> list[WindowSize]:
  """Sizes, finest first: each but the first is fed by one before it.

  Raises:
    ValueError: two are the same, or nothing nests in one that is not the finest.
  """
  # Of one length: sliding, fixed, then calendar windows, in which fixed ones may nest.
  sizes = sorted(sizes, key=lambda size: (size.secs, not size.period_secs, size[2:]))
  for one, other in zip(sizes, sizes[1:], strict=False):
    if one[1:] == other[1:]:
      raise ValueError(f'{one.label} and {other.label} are the same window size')
  finest = sizes[0]
  for size in sizes[1:]:
    if not size.feeder(sizes):
      fitting = _label(_common_secs(size, finest.secs)) if finest.fixed else '1d'
      raise ValueError(f'each window size must nest in a coarser one; {size} is not a whole number '
                       f'of {finest}: add {fitting}')
  return sizes


def _common_secs(size: WindowSize, secs: int) -> int:
  """The longest fixed window that nests in a size and in so many seconds."""
  return math.gcd(secs, calendars.grain_secs(size.unit, size.time_zone) if size.unit
                  else size.secs)


def _label(secs: int) -> str:
  for unit in 'dhm':
    if secs % _UNIT_SECS[unit] == 0:
      return f'{secs // _UNIT_SECS[unit]}{unit}'
  return f'{secs}s'


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
