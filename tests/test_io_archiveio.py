"""Reading the archive back: every event of a time once, whatever was archived twice."""
import json

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest

from leaderboard.io.archiveio import ReadArchive, archived_folders, read_folder
from leaderboard.io.parquetio import _ArchiveFn
from leaderboard.pipelines.checks import beam_options
from leaderboard.transforms.blocks import EventBlock, OriginRange
from leaderboard.transforms.boards import parse_window_size
from leaderboard.transforms.countevents import KeptBlock
from leaderboard.transforms.counting import BlockCounter, CountingRules

START = 1_356_998_400   # 2013-01-01
DAY = 86_400


@pytest.fixture
def archive(tmp_path):
  """(first, end) archives events number first to end, one a minute, as one block."""
  counter = BlockCounter(CountingRules(parse_window_size('1m'), keep_events=True))

  def write(first, end, tenant='acme'):
    lines = [json.dumps({'event_type': 'play', 'tenant_id': tenant, 'item_id': f'i{number % 7}',
                         'timestamp': (START + 60 * number) * 1000})
             for number in range(first, end)]
    origin = OriginRange('kafka://t', 0, first, end)
    counted = counter.count(EventBlock(origin, '\n'.join(lines).encode(),
                                       offsets=np.arange(first, end)))
    _ArchiveFn(str(tmp_path)).process(KeptBlock(origin, counted.kept))

  yield write
  counter.close()


def offsets(root, from_secs, to_secs, block_rows=1000):
  blocks = [block for folder in archived_folders(str(root), from_secs, to_secs)
            for block in read_folder(folder, from_secs, to_secs, block_rows)]
  return [block.data['offset'].to_pylist() for block in blocks]


def test_events_archived_twice_are_read_once(archive, tmp_path):
  archive(0, 100)
  archive(50, 120)     # a restart, cut elsewhere
  archive(100, 130)
  assert offsets(tmp_path, START, START + DAY) == [list(range(130))]
  assert offsets(tmp_path, START, START + DAY, 60) == [
      list(range(60)), list(range(60, 120)), list(range(120, 130))]


def test_only_events_of_the_time_are_read(archive, tmp_path):
  archive(0, 3000)   # two days and two hours
  assert [folder.rsplit('/', 1)[1] for folder in archived_folders(
      str(tmp_path), START + DAY, START + 2 * DAY)] == ['date=2013-01-02']
  assert offsets(tmp_path, START + DAY - 120, START + DAY + 60) == [[1438, 1439], [1440]]
  assert offsets(tmp_path, START - DAY, START) == []


def test_archived_events_count_as_they_did(archive, tmp_path):
  archive(0, 100)
  archive(0, 100, tenant='b/c')
  counter = BlockCounter(CountingRules(parse_window_size('1h')))
  (one, other) = (block for folder in archived_folders(str(tmp_path), START, START + DAY)
                  for block in read_folder(folder, START, START + DAY))
  for block, tenant in ((one, 'acme'), (other, 'b/c')):
    counted = counter.count(block)
    assert not counted.rejects
    assert {(cell.tenant_id, cell.start): cell.events for cell in counted.cells} == {
        (tenant, START): 60, (tenant, START + 3600): 40}
  counter.close()


def test_pipeline_reads_the_archive(archive, tmp_path):
  archive(0, 30)
  seen = tmp_path / 'seen'
  with beam.Pipeline(options=beam_options([])) as pipeline:
    _ = (pipeline | ReadArchive(str(tmp_path), START, START + DAY)
         | beam.Map(_rows) | beam.io.WriteToText(str(seen), shard_name_template=''))
  assert seen.read_text().split() == ['30']


def _rows(block):
  assert isinstance(block.data, pa.Table)
  return len(block.data)
