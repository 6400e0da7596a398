"""Counts one block of events: a columnar delta per (board, base window), and the rest by name.

Lines and rows that are plain are counted by compiled code. The others are parsed and grouped by
DuckDB in one statement. What is no event is set apart, by rows or by texts; a second statement,
only where there is any, finds those rows, and `events.judge` names the fault of each.
"""
import dataclasses
import functools
import json
import threading
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from leaderboard.transforms import events, lines, plainlines, plainrows
from leaderboard.transforms.blockquery import BlockQuery, columns_of
from leaderboard.transforms.blocks import BlockFiles, EventBlock, OriginRange, StoredRows
from leaderboard.transforms.cells import Cell, cut_cells
from leaderboard.transforms.columnar import sum_encoded
from leaderboard.transforms.compiled import Plain
from leaderboard.transforms.countingrules import CountingRules
from leaderboard.transforms.events import Refused

__all__ = ['BlockCounter', 'Cell', 'CountedBlock', 'CountingRules']


@dataclasses.dataclass
class CountedBlock:
  """Everything a block held: read = sum of cell events + len(rejects) + len(too_late).

  Attributes:
    kept: the valid events with their offsets as an Arrow table, in order of tenant, type, moment
      and offset; None unless asked for.
    latest_ms: newest event time that is in range, of refused events too, epoch milliseconds, and no
      later than the moment when the block was read; None where there is none, and of bounded input.
  """
  origin: OriginRange
  read: int
  cells: list[Cell]
  rejects: list[Refused]
  too_late: list[Refused]
  kept: pa.Table | None
  latest_ms: int | None = None


class BlockCounter:
  """Counts blocks on one DuckDB instance; `count` may be called from several threads.

  Each call runs single-threaded on a cursor of its own: two blocks in flight use two
  cores better than one block with two threads.
  """

  def __init__(self, rules: CountingRules) -> None:
    self._rules = rules
    self._files = BlockFiles()
    self._opened: duckdb.DuckDBPyConnection | None = None
    self._opening = threading.Lock()

  def close(self) -> None:
    if self._opened:
      self._opened.close()

  @property
  def _connection(self) -> duckdb.DuckDBPyConnection:
    """Opened when it is first asked for, since plain lines need none."""
    with self._opening:
      if not self._opened:
        self._opened = duckdb.connect(config={'threads': 1})
        self._opened.register_filesystem(self._files)
      return self._opened

  def count(self, block: EventBlock) -> CountedBlock:
    if isinstance(block.data, bytes | memoryview):
      data = memoryview(block.data)
      if not plainlines.fits(self._rules):
        return self._count_lines(block, data)
      plain = plainlines.count(data, block, self._rules)
      rest = self._count_lines(*_rest(block, data, plain.odd)) if len(plain.odd) else None
    else:
      table = self._table(block.data)
      found = plainrows.count(table, block, self._rules)
      if found is None:
        return self._count_rows(block, block.data, table, np.arange(len(table)))
      plain = found
      rest = (self._count_rows(block, block.data, table, plain.odd[:, 2])
              if len(plain.odd) else None)
    return _together(block, plain, rest)

  def latest_secs(self, block: EventBlock) -> int | None:
    """The newest event time in a block that is in range, epoch seconds; None when there is none.

    An event of the future tells no more than the moment when it was read.
    """
    latest_ms = None
    if isinstance(block.data, bytes | memoryview):
      data = memoryview(block.data)
      if plainlines.fits(self._rules):
        times, odd = plainlines.event_times(data, block, self._rules)
        if (times >= 0).any():
          latest_ms = _no_later(int(times.max()), block)
        if not len(odd):
          return None if latest_ms is None else latest_ms // 1000
        block, data = _rest(block, data, odd)
      rows: list[memoryview] | pa.Table = _pieces(data, self._holes(data)[0])
    else:
      rows = self._table(block.data)
    with BlockQuery(self._connection, self._files, rows, block, self._rules) as query:
      latest_ms = _newest(latest_ms, query.latest_ms())
    return None if latest_ms is None else latest_ms // 1000

  def event_times(self, block: EventBlock) -> np.ndarray:
    """The event time of every line of a block of messages, epoch milliseconds: int64[lines].

    -1 where a line tells none that is in range. An event of the future tells no more than the
    moment when it was read.
    """
    assert block.offsets is not None and isinstance(block.data, bytes | memoryview)
    data = memoryview(block.data)
    if not plainlines.fits(self._rules):
      return self._event_times(block, data)
    times, odd = plainlines.event_times(data, block, self._rules)
    if block.read_secs is not None:
      times = np.minimum(times, block.read_secs * 1000)
    if len(odd):
      times[odd[:, 2]] = self._event_times(*_rest(block, data, odd))
    return times

  def _event_times(self, block: EventBlock, data: memoryview) -> np.ndarray:
    """The same, of lines of which none need be plain."""
    assert block.offsets is not None
    holes, _ = self._holes(data)
    times = np.full(len(block.offsets), -1, np.int64)
    pieces = _pieces(data, holes)
    with BlockQuery(self._connection, self._files, pieces, block, self._rules) as query:
      found = query.times_ms()
    rows = _lines_of_rows(data, len(times), holes)
    if len(found) != len(rows):
      raise RuntimeError(f'the parser made {len(found)} rows of {len(rows)} lines in '
                         f'{block.origin}; the block is not counted')
    times[rows] = found
    return times

  def _holes(self, data: memoryview) -> tuple[list[tuple[int, int]], list[str]]:
    """(start, end) of the lines that must not reach the parser, and the fault of each."""
    holes = lines.too_large(data, self._rules.max_event_bytes)
    faults = ['too_large'] * len(holes)
    marked = lines.marked_first_line(data)
    if marked and marked not in holes:
      # DuckDB passes over a byte order mark at the start of what it reads, and nowhere else;
      # what becomes of a line must not depend on where a block happens to begin.
      holes, faults = [marked, *holes], ['malformed_json', *faults]
    return holes, faults

  def _count_lines(self, block: EventBlock, data: memoryview) -> CountedBlock:
    holes, faults = self._holes(data)
    pieces = _pieces(data, holes)

    @functools.cache
    def spans() -> np.ndarray:
      """Where each row's line stands in `data`: asked only when a row is refused or kept."""
      found = [lines.line_spans(piece) + (start, start) for piece, (start, _) in zip(
          pieces, lines.pieces_between(len(data), holes), strict=True)]
      return np.concatenate(found) if found else np.zeros((0, 2), np.int64)

    def row_bytes(rows: np.ndarray) -> list[bytes]:
      found = [bytes(data[start:end]) for start, end in spans()[rows]]
      if not block.raw:
        return found
      numbers = rows_lines()[rows].tolist()
      return [block.raw.get(line, text) for line, text in zip(numbers, found, strict=True)]

    @functools.cache
    def rows_lines() -> np.ndarray:
      """The line of each row, in a block of messages."""
      assert block.offsets is not None
      return _lines_of_rows(data, len(block.offsets), holes)

    def row_offsets() -> np.ndarray:
      if block.offsets is None:
        return spans()[:, 0] + block.origin.start
      return block.offsets[rows_lines()]

    late = None if block.late is None else np.flatnonzero(block.late[rows_lines()])
    with BlockQuery(self._connection, self._files, pieces, block, self._rules, late) as query:
      counted = self._run(query, block, row_bytes, row_offsets)
    if not holes:
      expected = lines.count_lines(data)
    if holes or counted.read != expected:
      # Blank lines are no events; every other line must have come back as one row.
      expected = len(spans())
    if counted.read != expected:
      raise RuntimeError(f'the parser made {counted.read} rows of {expected} lines in '
                         f'{block.origin}; the block is not counted')
    counted.read += len(holes)
    for fault, (start, end) in zip(faults, holes, strict=True):
      offset = block.origin.start + start
      if block.offsets is not None:
        offset = int(block.offsets[lines.count_lines(data[:start])])
      counted.rejects.append(Refused(
          fault, '', bytes(data[start:min(end, start + events.KEPT_BYTES)]),
          block.origin.source, block.origin.partition, offset))
    return counted

  def _table(self, rows: pa.Table | StoredRows) -> pa.Table:
    """Those columns of the rows that counting asks for."""
    return rows if isinstance(rows, pa.Table) else rows.read(columns_of(self._rules))

  def _count_rows(self, block: EventBlock, rows: pa.Table | StoredRows, table: pa.Table,
                  numbers: np.ndarray) -> CountedBlock:
    """Counts some rows of a table.

    Args:
      table: those columns of it that counting asks for.
      numbers: of the rows, from 0.
    """
    def row_bytes(places: np.ndarray) -> list[bytes]:
      whole = rows if isinstance(rows, pa.Table) else rows.read()
      return [json.dumps(row, default=str, ensure_ascii=False).encode('utf-8', 'surrogatepass')
              for row in whole.take(numbers[places]).to_pylist()]

    if len(numbers) < len(table):
      table = table.take(numbers)
    with BlockQuery(self._connection, self._files, table, block, self._rules) as query:
      counted = self._run(query, block, row_bytes, lambda: numbers + block.origin.start)
    if counted.read != len(numbers):
      raise RuntimeError(f'{counted.read} of {len(numbers)} rows of {block.origin} were read; '
                         f'the block is not counted')
    return counted

  def _run(self, query: BlockQuery, block: EventBlock, row_bytes: Any,
           row_offsets: Any) -> CountedBlock:
    """Runs the counting statement and names the faults of the rows that are set apart.

    Args:
      row_bytes: row numbers (from 0) -> the original bytes of those rows.
      row_offsets: () -> the offset of every row in its source.
    """
    origin = block.origin
    counts = query.counts()
    if not len(counts):
      return CountedBlock(origin, 0, [], [], [], None)
    cut = cut_cells(counts, self._rules.parameters, query.in_json)
    latest_ms = pc.max(counts['latest_ms']).as_py()
    rejects: list[Refused] = []
    too_late: list[Refused] = []
    bad = np.zeros(0, np.int64)
    if cut.refused:
      found = query.refused(cut.unfit)
      if len(found) != cut.refused:
        raise RuntimeError(f'{cut.refused} events of {origin} were set apart and {len(found)} '
                           f'found again; the block is not counted')
      bad = np.array([row for row, _, _ in found]) - 1
      offsets = row_offsets()[bad]
      for (_, raw, epoch_ms), line, offset in zip(
          found, row_bytes(bad), offsets.tolist(), strict=True):
        fault = events.judge(raw, line, self._rules.timestamp_format, epoch_ms,
                             self._rules.end_ms(block.read_secs))
        reason, field = fault or (events.TOO_LATE, 'timestamp')
        (rejects if fault else too_late).append(
            Refused(reason, field, line[:events.KEPT_BYTES], origin.source, origin.partition,
                    offset))
    if too_late and block.watermark_secs is None and block.late is None:
      raise RuntimeError(f'{len(too_late)} events of {origin} were set apart without a fault, '
                         f'the first at offset {too_late[0].offset}; the block is not counted')
    kept = None
    if self._rules.keep_events:
      kept = _in_order(query.kept_events(bad, row_offsets()))
    read = sum(cell.events for cell in cut.cells) + len(bad)
    return CountedBlock(origin, read, cut.cells, rejects, too_late, kept, latest_ms)


def _pieces(data: memoryview, holes: list[tuple[int, int]]) -> list[memoryview]:
  """What the parser reads: the data without those holes."""
  return [data[start:end] for start, end in lines.pieces_between(len(data), holes)]


def _lines_of_rows(data: memoryview, count: int, holes: list[tuple[int, int]]) -> np.ndarray:
  """Of a block of messages, one a line: the line of every row, for holes that give no row."""
  return np.delete(np.arange(count), [lines.count_lines(data[:start]) for start, _ in holes])


def _rest(block: EventBlock, data: memoryview,
          odd: np.ndarray) -> tuple[EventBlock, memoryview]:
  """The block of those lines alone, each with the offset that it has in its source; its data.

  Args:
    odd: see `plainlines.PlainLines`.
  """
  starts, ends, numbers = odd.T
  raw = None
  if block.raw:
    raw = {place: block.raw[line] for place, line in enumerate(numbers.tolist())
           if line in block.raw}
  text = b''.join([bytes(data[start:end]) + b'\n' for start, end in zip(
      starts.tolist(), ends.tolist(), strict=True)])
  return dataclasses.replace(
      block, data=text, raw=raw, late=None if block.late is None else block.late[numbers],
      offsets=starts + block.origin.start if block.offsets is None else block.offsets[numbers]
  ), memoryview(text)


def _together(block: EventBlock, plain: Plain, rest: CountedBlock | None) -> CountedBlock:
  """The plain events of a block and the others."""
  read = sum(cell.events for cell in plain.cells)
  latest_ms = None if block.read_secs is None else _no_later(plain.latest_ms, block)
  if rest is None:
    return CountedBlock(block.origin, read, plain.cells, [], [], plain.kept, latest_ms)
  kept = plain.kept
  if kept is not None and rest.kept is not None:
    kept = _in_order(pa.concat_tables([kept, rest.kept]))
  return CountedBlock(block.origin, read + rest.read, _joined(plain.cells + rest.cells),
                      rest.rejects, rest.too_late, kept, _newest(latest_ms, rest.latest_ms))


def _joined(cells: list[Cell]) -> list[Cell]:
  """One cell for each board and base window."""
  found: dict[tuple[str, str, int], list[Cell]] = {}
  for cell in cells:
    found.setdefault(cell[:3], []).append(cell)
  return [same[0] if len(same) == 1 else same[0]._replace(
      events=sum(cell.events for cell in same), delta=sum_encoded(cell.delta for cell in same))
          for same in found.values()]


def _in_order(kept: pa.Table) -> pa.Table:
  return kept.sort_by([(name, 'ascending') for name in (
      'tenant_id', 'event_type', 'timestamp', 'offset')])


def _no_later(latest_ms: int | None, block: EventBlock) -> int | None:
  """A moment, but no later than when the block was read."""
  if latest_ms is None or block.read_secs is None:
    return latest_ms
  return min(latest_ms, block.read_secs * 1000)


def _newest(*moments: int | None) -> int | None:
  return max((moment for moment in moments if moment is not None), default=None)
