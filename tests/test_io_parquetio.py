"""Parquet: every event in its own folder, atomic files, the newest board."""
import datetime
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from leaderboard.io import disks, parquetio
from leaderboard.transforms.blocks import OriginRange
from leaderboard.transforms.countevents import KeptBlock


def kept_block(rows, tenants=('t0', 't1', 't2', 't3', 't4'), seed=1):
  """A block of events over many tenants, types and days."""
  rng = random.Random(seed)
  start = datetime.datetime(2013, 1, 1)
  columns = {
      'tenant_id': [rng.choice(tenants) for _ in range(rows)],
      'event_type': [f'e{rng.randrange(4)}' for _ in range(rows)],
      'timestamp': pa.array([start + datetime.timedelta(minutes=rng.randrange(60 * 1440))
                             for _ in range(rows)], pa.timestamp('us')),
      'offset': list(range(rows))}
  return KeptBlock(OriginRange('f', 0, 0, rows), pa.table(columns).sort_by(
      [(name, 'ascending') for name in columns]))


def read_back(root):
  """[(folder parts, event)] of the whole archive."""
  return [(path.relative_to(root).parts[1:4], row)
          for path in sorted((root / 'events').rglob('*.parquet'))
          for _, table in parquetio.read_tables(str(path)) for row in table.to_pylist()]


@pytest.mark.slow
@pytest.mark.parametrize('rows', [1, 100, 200_000])
def test_every_event_lies_in_the_folder_of_its_tenant_type_and_day(tmp_path, rows):
  block = kept_block(rows)
  writer = parquetio._ArchiveFn(str(tmp_path))
  writer.process(block)
  writer.process(block)   # a replay replaces its own files
  stored = read_back(tmp_path)
  assert sorted(row['offset'] for _, row in stored) == list(range(rows))
  for folder, row in stored:
    assert folder == (f'tenant={row["tenant_id"]}', f'type={row["event_type"]}',
                      f'date={row["timestamp"].date()}')


@pytest.mark.parametrize('tenant', ['a/b', '..', 'ü😀' * 30, 'x' * 64, 'a=b', '*', ' '])
def test_odd_tenants_have_folders_of_their_own(tmp_path, tenant):
  parquetio._ArchiveFn(str(tmp_path)).process(kept_block(10, [tenant]))
  stored = read_back(tmp_path)
  assert len(stored) == 10 and {row['tenant_id'] for _, row in stored} == {tenant}
  assert len({folder[0] for folder, _ in stored}) == 1


def test_events_in_no_order_are_refused_before_a_file_takes_the_place_of_another(tmp_path):
  block = kept_block(100)
  events = block.events.take([*range(100), 0])
  with pytest.raises(ValueError, match='the events of .* are in no order'):
    parquetio._ArchiveFn(str(tmp_path)).process(KeptBlock(block.origin, events))


def test_columns_that_repeat_are_dictionaries_those_inside_of_boards_too(tmp_path, make_record):
  events = pa.table({name: [name] * 9 for name in ('item_id', *parquetio._UNIQUE)})
  for name, table, without in (
      ('events', events, set(parquetio._UNIQUE)),
      ('boards', parquetio.board_table([make_record({'a': 5})] * 9), set())):
    parquetio.write_table(table, str(tmp_path), name)
    group = pq.ParquetFile(tmp_path / f'{name}.parquet').metadata.row_group(0)
    columns = map(group.column, range(group.num_columns))
    assert {column.path_in_schema for column in columns
            if not column.has_dictionary_page} == without


def test_failed_write_leaves_nothing_behind(tmp_path, monkeypatch):
  def full(*_, **__):
    raise OSError(28, 'No space left on device')
  monkeypatch.setattr(parquetio.pq, 'write_table', full)
  with pytest.raises(disks.DiskFull, match='folder is full; make room and run it again'):
    parquetio.write_table(pa.table({'a': [1]}), str(tmp_path / 'folder'), 'name')
  assert list((tmp_path / 'folder').iterdir()) == []


def test_readers_take_the_newest_revision_of_each_board(tmp_path, make_record):
  boards = parquetio.ParquetBoards(str(tmp_path))
  history = [make_record({'a': 5}), make_record({'a': 7}), make_record({'b': 1}, generation=1),
             make_record({'a': 3}, tenant_id='other')]
  for records in (history, history[::-1], history[1:2]):
    writer = parquetio._BoardsFn(str(tmp_path))
    writer.start_bundle()
    for record in records:
      writer.process(record)
    writer.finish_bundle()
  assert boards.read_board('acme', 'play', '1h', 1_356_998_400) == history[2]
  assert boards.read_board('acme', 'play', '1h', 0) is None
  assert boards.revisions('1h', [('acme', 'play', 1_356_998_400), ('other', 'play', 1_356_998_400),
                                 ('none', 'play', 0)]) == {
      ('acme', 'play', 1_356_998_400): (1, 1), ('other', 'play', 1_356_998_400): (0, 3)}
