"""Days, weeks and months of a time zone: where they start and end, in UTC epoch seconds.

A day starts at the last moment at which the date of the zone's clocks becomes that day: days follow
each other without gap or overlap, last 23, 24 or 25 hours (23.5 and 24.5 at Lord Howe), and a
second belongs to the day that clocks show, save where they are set back over midnight: what they
show twice belongs to the day before. Weeks start on Monday (ISO 8601).
"""
import bisect
import datetime
import functools
import math
import zoneinfo

DAY, WEEK, MONTH = 'day', 'week', 'month'

# Blocks come in any order, but the windows of one stretch of time are asked for again and again:
# the minutes of eleven days.
_REMEMBERED = 1 << 14
_ONE_DAY = datetime.timedelta(days=1)
# The years in which events may lie.
_FIRST, _LAST = datetime.date(2000, 1, 1), datetime.date(2100, 1, 1)


def check_time_zone(name: str) -> str:
  """Returns the name of a time zone that is known.

  >>> check_time_zone('Europe/Berlin')
  'Europe/Berlin'

  Raises:
    ValueError: it is not known.
  """
  _zone(name)
  return name


@functools.lru_cache(_REMEMBERED)
def start_of(unit: str, time_zone: str, epoch_secs: int) -> int:
  """Start of the day, week or month that holds this second.

  >>> start_of(MONTH, 'Europe/Berlin', 1_364_700_000)   # March: it starts in winter time
  1362092400
  """
  first = _first_day(unit, _date(time_zone, epoch_secs))
  start = _midnight(time_zone, first)
  if start > epoch_secs:   # the clocks will show this again
    start = _midnight(time_zone, _first_day(unit, first - _ONE_DAY))
  return start


@functools.lru_cache(_REMEMBERED)
def end_of(unit: str, time_zone: str, start: int) -> int:
  """End of the day, week or month that starts at this second.

  >>> (end_of(DAY, 'Europe/Berlin', 1_364_684_400) - 1_364_684_400) / 3600
  23.0
  """
  return _midnight(time_zone, _next(unit, _first_day(unit, _date(time_zone, start))))


@functools.lru_cache
def grain_secs(unit: str, time_zone: str) -> int:
  """The longest fixed window of which every day, week or month from 2000 to 2100 is made.

  >>> grain_secs(DAY, 'Asia/Kolkata')
  1800
  """
  grain, day = 0, _first_day(unit, _FIRST)
  while day <= _LAST:
    grain = math.gcd(grain, _midnight(time_zone, day))
    day = _next(unit, day)
  return grain


@functools.lru_cache
def _zone(name: str) -> datetime.tzinfo:
  try:
    return zoneinfo.ZoneInfo(name)
  except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
    raise ValueError(f'{name!r} is no time zone that this machine knows; expected a name such as '
                     f'Europe/Berlin or UTC') from None


def _date(time_zone: str, epoch_secs: int) -> datetime.date:
  return datetime.datetime.fromtimestamp(epoch_secs, _zone(time_zone)).date()


def _first_day(unit: str, day: datetime.date) -> datetime.date:
  if unit == WEEK:
    return day - day.weekday() * _ONE_DAY
  return day.replace(day=1) if unit == MONTH else day


def _next(unit: str, first: datetime.date) -> datetime.date:
  if unit == MONTH:
    return (first + 31 * _ONE_DAY).replace(day=1)
  return first + (7 if unit == WEEK else 1) * _ONE_DAY


def _midnight(time_zone: str, day: datetime.date) -> int:
  """The second from which on clocks show this day or a later one."""
  midnight = datetime.datetime.combine(day, datetime.time(), _zone(time_zone))
  first, second = (int(midnight.replace(fold=fold).timestamp()) for fold in (0, 1))
  if first < second:   # shown twice, for another hour of this day or of the one before
    return second if _date(time_zone, second - 1) < day else first
  # Where it is skipped, the offsets before and after give a later and an earlier moment.
  return second + bisect.bisect_left(
      range(second, first), True, key=lambda moment: _date(time_zone, moment) >= day)
