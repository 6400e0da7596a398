"""Gathering board records inside a bundle, for every store alike."""
import apache_beam as beam

from leaderboard.transforms.boards import BoardRecord


class BoardBatchFn(beam.DoFn):
  """Hands boards to `write` in batches: at a limit, and what is left when the bundle ends.

  Args:
    max_boards, max_rows: a batch is written as soon as it has so many.
  """

  def __init__(self, max_boards: int, max_rows: int) -> None:
    self._max_boards = max_boards
    self._max_rows = max_rows

  def write(self, records: list[BoardRecord]) -> None:
    """Writes a batch, of at least one record."""
    raise NotImplementedError

  def start_bundle(self) -> None:
    # What a failed bundle left behind will come again.
    self._records: list[BoardRecord] = []
    self._rows = 0

  def process(self, record: BoardRecord) -> None:
    self._records.append(record)
    self._rows += len(record.rows)
    if len(self._records) >= self._max_boards or self._rows >= self._max_rows:
      self.finish_bundle()

  def finish_bundle(self) -> None:
    if self._records:
      self.write(self._records)
    self.start_bundle()
