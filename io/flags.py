"""Flags of a command line: every problem is found before anything runs, and told at once."""
import argparse
import datetime
import zoneinfo
from collections.abc import Callable, Sequence
from typing import Any

from leaderboard.transforms.boards import parse_secs

EMBEDDED = 'embedded'


class UsageError(Exception):
  """What the user gave cannot work; each problem names the flag, the value and the remedy."""

  def __init__(self, problems: Sequence[str]) -> None:
    super().__init__('\n'.join(problems))
    self.problems = list(problems)


class Parser(argparse.ArgumentParser):
  """Reports its errors as the checks of the flags do."""

  def error(self, message: str) -> Any:
    raise UsageError([message.removeprefix('argument ')])


class Problems:
  """Collects what is wrong, so that the user is told everything at once."""

  def __init__(self) -> None:
    self.found: list[str] = []

  def check(self, flag: str, read: Any, *args: Any) -> Any:
    """What `read` makes of the arguments; None where it refuses them."""
    try:
      return read(*args)
    except (ValueError, OSError) as error:
      self.found.append(f'{flag}: {error}')
      return None


def argument(read: Callable[..., Any], *args: Any) -> Callable[[str], Any]:
  """A check as the `type` of a flag: the parser then tells what is wrong in its words."""
  def checked(text: str) -> Any:
    try:
      return read(text, *args)
    except ValueError as error:
      raise argparse.ArgumentTypeError(str(error)) from None
  return checked


def whole(text: str, least: int, most: int) -> int:
  """Reads a whole number within limits."""
  if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
    raise ValueError(f'must be a whole number from {least} to {most}, got {text!r}')
  return int(text)


def duration(text: str) -> int:
  """Seconds of a duration such as 90s, 2h, or 0."""
  if text.strip() in ('0', '0s', '0m', '0h', '0d'):
    return 0
  return parse_secs(text)


def moment(text: str, zone: str) -> int:
  """Epoch seconds of a date or time, which is in the time zone unless it says otherwise."""
  try:
    found = datetime.datetime.fromisoformat(text.replace('Z', '+00:00'))
  except ValueError:
    raise ValueError(f'must be a date or time such as 2013-07-01 or 2013-07-01T14:00Z, got '
                     f'{text!r}') from None
  if found.tzinfo is None:
    found = found.replace(tzinfo=zoneinfo.ZoneInfo(zone))
  return int(found.timestamp())


def utc(epoch_secs: int) -> str:
  """How a moment is told: 2013-07-01T14:00:00Z."""
  found = datetime.datetime.fromtimestamp(epoch_secs, datetime.timezone.utc)
  return found.strftime('%Y-%m-%dT%H:%M:%SZ')


def one_of(text: str, allowed: Sequence[str]) -> str:
  if text not in allowed:
    raise ValueError(f'must be one of {", ".join(allowed)}; got {text!r}')
  return text
