"""Compaction: fewer files, and for every reader the same events and boards."""
import collections
import os
import pathlib
import threading

import pytest

from leaderboard.io import compaction, parquetio
from leaderboard.io.archiveio import archived_folders, read_folder
from leaderboard.io.archiveviews import open_archive
from leaderboard.pipelines import compact, topk
from leaderboard.pipelines.checks import UsageError

DAYS = (1_356_998_400, 1_388_534_400)


@pytest.fixture
def root(sample_events, tmp_path):
  """The folder of a stream: many small files."""
  topk.run([f'--input={sample_events}', '--windows=1h,1d', '--streaming', '--replay_bytes=65536',
            '--out_of_orderness=30h', f'--parquet={tmp_path}/parquet', f'--data_dir={tmp_path}'])
  return tmp_path / 'parquet'


def archived(root):
  """Every archived event, as often as the project's own reader has it."""
  return collections.Counter(
      tuple(row.items()) for folder in archived_folders(str(root), *DAYS)
      for block in read_folder(folder, *DAYS) for row in block.data.to_pylist())


def boards(root):
  return sorted(map(str, parquetio.latest_boards(str(root), '1h').to_pylist()))


def files(root):
  return list(pathlib.Path(root).glob('events/**/*.parquet')) + list(
      pathlib.Path(root).glob('boards/**/*.parquet'))


def test_compaction_leaves_one_file_a_folder_and_the_same_events_and_boards(root, capsys):
  before, ranked, count = archived(root), boards(root), len(files(root))
  report = compact.run([f'--parquet={root}', '--older_than=0s'])
  assert archived(root) == before and boards(root) == ranked
  assert len(files(root)) == report.after == report.folders < count == report.before
  assert 'files are' in capsys.readouterr().out
  again = compact.run([f'--parquet={root}', '--older_than=0s'])
  assert again.before == again.after


@pytest.mark.slow
def test_replay_after_a_compaction_doubles_nothing(root, sample_events, tmp_path):
  before, ranked = archived(root), boards(root)
  compact.run([f'--parquet={root}', '--older_than=0s'])
  topk.run([f'--input={sample_events}', '--windows=1h,1d', '--streaming', '--replay_bytes=65536',
            '--out_of_orderness=30h', f'--parquet={root}', f'--data_dir={tmp_path}'])
  assert archived(root) == before and boards(root) == ranked
  with open_archive(root) as views:
    assert views.sql('select count(*) from events').fetchall() == [(before.total(),)]
  compact.run([f'--parquet={root}', '--older_than=0s'])
  assert archived(root) == before and boards(root) == ranked


@pytest.mark.slow
def test_stopping_before_the_deletion_doubles_nothing(root, monkeypatch):
  before = archived(root)
  with monkeypatch.context() as patched:
    patched.setattr(parquetio, 'delete_files', lambda paths: None)
    compact.run([f'--parquet={root}', '--older_than=0s'])
  assert archived(root) == before
  compact.run([f'--parquet={root}', '--older_than=0s'])
  assert archived(root) == before
  assert len(files(root)) == len(compaction.folders(str(root)))


@pytest.mark.slow
def test_two_at_once_lose_and_double_nothing(root):
  before, ranked = archived(root), boards(root)
  threads = [threading.Thread(target=compact.run, args=[[
      f'--parquet={root}', '--older_than=0s', f'--target_bytes={size}']])
             for size in (10_000, 1 << 20, 1 << 20)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert archived(root) == before and boards(root) == ranked


@pytest.mark.slow
def test_files_have_about_the_size_that_is_asked_for(root):
  compact.run([f'--parquet={root}', '--older_than=0s', '--target_bytes=20000'])
  assert max(path.stat().st_size for path in files(root)) < 30_000


@pytest.mark.slow
def test_young_folders_are_left_alone(root):
  report = compact.run([f'--parquet={root}'])
  assert report.before == report.after


@pytest.mark.slow
def test_bounded_load_again_from_another_file_replaces_what_was_compacted(
    sample_events, tmp_path):
  flags = ['--windows=1h', f'--parquet={tmp_path}/parquet', f'--data_dir={tmp_path}']
  topk.run([f'--input={sample_events}', *flags])
  root = tmp_path / 'parquet'
  before = archived(root)
  for path in list(root.glob('events/*/*/*/*.parquet'))[:3]:   # as if it had been two
    table = parquetio.pq.ParquetFile(path).read()
    parquetio.write_table(table.slice(0, 1), str(path.parent), 'merged-1')
    parquetio.write_table(table.slice(1), str(path.parent), 'merged-2')
    path.unlink()
  compact.run([f'--parquet={root}', '--older_than=0s'])
  copy = tmp_path / 'copy.jsonl.gz'
  copy.write_bytes(sample_events.read_bytes())
  report = topk.run([f'--input={copy}', *flags])
  assert report.balanced and report.superseded == 1
  again = archived(root)
  assert again.total() == before.total()


@pytest.mark.slow
def test_stale_parts_are_deleted_and_young_ones_are_not(root):
  folder = compaction.folders(str(root))[0]
  old, young = (pathlib.Path(folder) / f'.{name}.part' for name in ('old', 'young'))
  old.touch()
  young.touch()
  os.utime(old, (1, 1))
  assert compact.run([f'--parquet={root}', '--older_than=0s']).stale == 1
  assert (old.exists(), young.exists()) == (False, True)


@pytest.mark.slow
def test_views_have_every_event_and_the_newest_boards(root):
  with open_archive(root) as views:
    counted = views.sql('select count(*), count(distinct event_id) from events').fetchall()
    assert counted == [(archived(root).total(),) * 2]
    ((kept,),) = views.sql("select count(*) from boards where \"window\" = '1h'").fetchall()
    assert kept == len(boards(root))
    plan = views.sql("explain analyze select count(*) from events where tenant = 'JFK' "
                     "and date = '2013-02-10'").fetchall()[0][1]
  opened = len(list(root.glob('events/tenant=JFK/*/date=2013-02-10/*.parquet')))
  assert f'Total Files Read: {opened}' in ' '.join(plan.split()).replace('│', ''), plan


def test_views_of_an_empty_folder_are_empty(tmp_path):
  with open_archive(tmp_path) as views:
    assert views.sql('select (select count(*) from events), (select count(*) from boards)'
                     ).fetchall() == [(0, 0)]


@pytest.mark.parametrize(('flags', 'problem'), [
    ([], '--parquet: is required'), (['--parquet=/nowhere'], 'holds no events/'),
    (['--parquet=x', '--older_than=soon'], '--older_than: must be'),
    (['--parquet=x', '--target_bytes=big'], '--target_bytes: must be a whole number'),
])
def test_wrong_flags_are_named(flags, problem):
  with pytest.raises(UsageError, match=problem):
    compact.run(flags)
