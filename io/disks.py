"""Disks that are full: every writer tells it the same way."""
import contextlib
import errno
import os
from collections.abc import Iterator

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)   # the last of a user's own limit


class DiskFull(Exception):
  """Nothing more can be written to a place.

  Attributes:
    place: a folder or file, or the server that keeps its data there.
  """

  def __init__(self, reason: str, place: str) -> None:
    super().__init__(reason, place)   # Beam makes it anew, the name of a step added to the first
    self.place = place
    self.reason = reason

  def __str__(self) -> str:
    return f'{self.place} is full; make room and run it again ({self.reason})'


@contextlib.contextmanager
def told(place: str) -> Iterator[None]:
  """Tells a full disk, under which a place lies, by that place.

  Raises:
    DiskFull: nothing more can be written there.
  """
  try:
    yield
  except OSError as error:
    if error.errno not in _FULL:
      raise
    raise DiskFull(error.strerror or str(error), place) from None


def says_full(text: str) -> bool:
  """Whether a program that ended complained about a full disk."""
  return any(os.strerror(number) in text for number in _FULL)


def full_disk(error: BaseException | None) -> DiskFull | None:
  """The full disk that led to an error, if one did."""
  while error and not isinstance(error, DiskFull):
    error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
  return error   # type: ignore[return-value]
