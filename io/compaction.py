"""Merges small Parquet files of the archive and of board snapshots, without losing or doubling.

A merged file takes its place before the files that it holds go. Whoever stops in between leaves
events that stand in two files, which every reader takes once: events by where they came from,
boards by their revision. The next compaction takes the rest away.
"""
import hashlib
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pyarrow as pa
from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems

from leaderboard.io import parquetio

# Files of half the size that is aimed at are left alone.
_LARGE = 0.5
_STALE_PART_SECS = 86_400


class Compacted(NamedTuple):
  """What became of a folder: files before and afterwards."""
  before: int
  after: int


class _File(NamedTuple):
  path: str
  size: int
  written_secs: float


def folders(root: str) -> list[str]:
  """Every folder of the archive and of the snapshots."""
  found = set()
  for pattern in (('events', '*', '*', '*', '*.parquet'), ('boards', '*', '*', '*.parquet')):
    (match,) = FileSystems.match([FileSystems.join(root, *pattern)])
    found |= {meta.path.rsplit('/', 1)[0] for meta in match.metadata_list}
  return sorted(found)


def compact(root: str, folder: str, target_bytes: int, older_secs: float) -> Compacted:
  """Merges the small files of one folder into files of about `target_bytes`.

  Two at once are safe: each deletes only what a file of its own holds.

  Args:
    root: of the archive.
    older_secs: nothing is done where a file is younger, since more may follow.
  """
  files = _files(folder)
  young = time.time() - older_secs
  if any(file.written_secs > young for file in files):
    return Compacted(len(files), len(files))
  boards = folder.removeprefix(root).strip('/').startswith('boards/')
  merge = parquetio.newest_boards if boards else _events_by_time
  after = len(files)
  for group in _groups(files, target_bytes):
    if _merge(folder, group, merge):
      after -= len(group) - 1
  return Compacted(len(files), after)


def delete_stale_parts(root: str) -> int:
  """Deletes what writers that died left half written more than a day ago; returns how many."""
  stale = []
  for pattern in (('events', '*', '*', '*'), ('boards', '*', '*'), ('accounts',), ('rejects',),
                  ('too_late',)):
    (match,) = FileSystems.match([FileSystems.join(root, *pattern, '.*.part')])
    stale += [meta.path for meta in match.metadata_list
              if (meta.last_updated_in_seconds or time.time()) < time.time() - _STALE_PART_SECS]
  parquetio.delete_files(stale)
  return len(stale)


def _files(folder: str) -> list[_File]:
  (match,) = FileSystems.match([FileSystems.join(folder, '*.parquet')])
  return sorted(_File(meta.path, meta.size_in_bytes, meta.last_updated_in_seconds or 0)
                for meta in match.metadata_list)


def _groups(files: list[_File], target_bytes: int) -> Iterator[list[str]]:
  """Neighbours by name, and so by origin, of two files and more."""
  group: list[str] = []
  size = 0
  for file in files:
    if file.size >= target_bytes * _LARGE:
      continue
    if group and size + file.size > target_bytes:
      if len(group) > 1:
        yield group
      group, size = [], 0
    group.append(file.path)
    size += file.size
  if len(group) > 1:
    yield group


def _merge(folder: str, paths: list[str], merge: Callable[[pa.Table], pa.Table]) -> bool:
  """Whether the files are one now; False where another has taken one of them away."""
  try:
    tables = [table for path in paths for _, table in parquetio.read_tables(path)]
  except (FileNotFoundError, BeamIOError):
    if all(map(FileSystems.exists, paths)):
      raise
    return False
  if len(tables) < len(paths):
    return False
  names = '\n'.join(path.rsplit('/', 1)[-1] for path in paths)
  merged = f'merged-{hashlib.sha256(names.encode()).hexdigest()[:32]}'
  parquetio.write_table(merge(pa.concat_tables(tables)), folder, merged)
  parquetio.delete_files([path for path in paths if not path.endswith(f'/{merged}.parquet')])
  return True


def _events_by_time(events: pa.Table) -> pa.Table:
  return parquetio.distinct_origins(events).sort_by(
      [('timestamp', 'ascending'), *((name, 'ascending') for name in parquetio.ORIGIN)])
