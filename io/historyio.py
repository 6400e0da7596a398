"""The history as a source: summaries that PostgreSQL stores, read back to be merged."""
import dataclasses
import datetime
import itertools
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics

from leaderboard.io.postgresio import connect
from leaderboard.transforms.boards import WindowSize
from leaderboard.transforms.countevents import BoardCell

_DAY_SECS = 86_400
# Of at most some 100 KB each.
_FETCH_SUMMARIES = 200
_FETCH_REVISIONS = 10_000
_UTC = datetime.timezone.utc

_BOARDS = ("select tenant_id, event_type, extract(epoch from window_start)::bigint, generation, {} "
           "from board_windows where window_size = %s and window_start >= %s and window_start < %s")


class History:
  """What PostgreSQL stores of one window size; it holds no more than a few boards in memory.

  Args:
    dsn: where PostgreSQL is; its schema is up to date (`postgresio.migrate`).
    label: of the window size.
  """

  def __init__(self, dsn: str, label: str) -> None:
    self._dsn = dsn
    self._label = label

  def starts(self, from_secs: int | None = None, to_secs: int | None = None) -> list[int]:
    """Starts of the windows, earliest first, that start in [from, to) (epoch seconds)."""
    with connect(self._dsn) as connection:
      return [start for (start,) in connection.execute(
          'select distinct extract(epoch from window_start)::bigint as start from board_windows '
          'where window_size = %s and window_start >= %s and window_start < %s order by start',
          [self._label, _moment(from_secs, '-infinity'), _moment(to_secs, 'infinity')])]

  def revisions(self, from_secs: int, to_secs: int) -> Iterator[tuple[BoardCell, tuple[int, int]]]:
    """Boards whose windows start in [from, to), each with its revision (generation, events)."""
    for *board, generation, events in self._rows('events', from_secs, to_secs, _FETCH_REVISIONS):
      yield tuple(board), (generation, events)

  def summaries(self, from_secs: int, to_secs: int
                ) -> Iterator[tuple[BoardCell, tuple[int, bytes]]]:
    """Boards whose windows start in [from, to), each with its generation and encoded summary."""
    for *board, generation, summary in self._rows('summary', from_secs, to_secs, _FETCH_SUMMARIES):
      yield tuple(board), (generation, summary)

  def _rows(self, column: str, from_secs: int, to_secs: int, fetch: int) -> Iterator[Any]:
    with (connect(self._dsn) as connection,
          connection.cursor('history', binary=True) as cursor):
      cursor.itersize = fetch
      yield from cursor.execute(_BOARDS.format(column),
                                [self._label, _moment(from_secs, ''), _moment(to_secs, '')])


def _moment(epoch_secs: int | None, open_end: str) -> datetime.datetime | str:
  return open_end if epoch_secs is None else datetime.datetime.fromtimestamp(epoch_secs, _UTC)


@dataclasses.dataclass
class ReadSummaries(beam.PTransform):
  """Reads the stored summaries of some windows, a day or thirty of them at once.

  Args:
    dsn: where PostgreSQL is.
    size: window size of the boards.
    starts: of the windows that are read (epoch seconds), earliest first.
  Output: (BoardCell, (generation, encoded summary)).
  """
  dsn: str
  size: WindowSize
  starts: list[int]

  def expand(self, pipeline: beam.Pipeline) -> beam.PCollection:
    stretch_secs = _DAY_SECS if self.size.secs < _DAY_SECS else 30 * _DAY_SECS
    grouped = [list(group) for _, group in itertools.groupby(
        self.starts, lambda start: start // stretch_secs)]
    return (pipeline
            | 'Stretches' >> beam.Create([(group[0], group[-1] + 1) for group in grouped])
            | 'Spread' >> beam.Reshuffle()
            | 'Read' >> beam.ParDo(_ReadFn(self.dsn, self.size.label)).with_output_types(
                tuple[BoardCell, tuple[int, bytes]]))


class _ReadFn(beam.DoFn):

  def __init__(self, dsn: str, label: str) -> None:
    self._history = History(dsn, label)
    self._read = Metrics.counter('ReadSummaries', 'summaries_read')

  def process(self, stretch: tuple[int, int]) -> Iterator[Any]:
    for summary in self._history.summaries(*stretch):
      self._read.inc()
      yield summary
