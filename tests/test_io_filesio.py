"""Reading files: every line in exactly one block, whatever the cuts."""
import gzip
import itertools

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from leaderboard.io import filesio
from leaderboard.io.filesio import FileRange, InputFile, match_files, read_range

LINES = [b'line-%d' % i + b'x' * (i % 7) for i in range(50)]
DATA = b'\n'.join(LINES) + b'\n'


def blocks_of(path, size, block_bytes, start=0):
  return [block for begin in range(start, size, block_bytes)
          for block in read_range(FileRange(str(path), begin, min(begin + block_bytes, size)))]


@pytest.mark.parametrize('read_lines', [filesio._mapped_lines, filesio._fetched_lines])
@pytest.mark.parametrize('ending', [b'\n', b''])
def test_every_cut_leaves_each_line_in_exactly_one_block(
    tmp_path, monkeypatch, read_lines, ending):
  # A remote file system is read by other calls than a local file, with the same result.
  monkeypatch.setattr(filesio, '_mapped_lines', read_lines)
  data = DATA.rstrip(b'\n') + ending
  path = tmp_path / 'lines.jsonl'
  path.write_bytes(data)
  for block_bytes in [*range(1, 40), len(data), len(data) + 1]:
    blocks = blocks_of(path, len(data), block_bytes)
    assert b''.join(bytes(block.data) for block in blocks) == data
    for block in blocks:
      start, end = block.origin.start, block.origin.end
      assert data[start:end] == bytes(block.data)
      assert start == 0 or data[start - 1:start] == b'\n'


def test_byte_order_mark_at_the_start_is_no_part_of_the_first_line(tmp_path):
  path = tmp_path / 'mark.jsonl'
  path.write_bytes(b'\xef\xbb\xbf' + DATA)
  blocks = blocks_of(path, len(DATA) + 3, 100)
  assert b''.join(bytes(block.data) for block in blocks) == DATA
  assert blocks[0].origin.start == 3


@pytest.mark.parametrize(('ending', 'pack'), [
    ('.gz', gzip.compress),
    ('.gz', lambda data: gzip.compress(data[:100]) + gzip.compress(data[100:])),
    ('.zst', zstandard.compress),
    ('.zst', lambda data: zstandard.compress(data[:100]) + zstandard.compress(data[100:])),
])
def test_compressed_file_is_read_whole_with_offsets_in_the_unpacked_stream(tmp_path, ending, pack):
  path = tmp_path / f'lines.jsonl{ending}'
  path.write_bytes(pack(DATA))
  for block_bytes in (1, 10, 64, 10_000):
    blocks = list(read_range(FileRange(str(path), 0, path.stat().st_size), block_bytes))
    assert b''.join(bytes(block.data) for block in blocks) == DATA
    assert all(DATA[block.origin.start:block.origin.end] == block.data for block in blocks)
    assert all(bytes(block.data).endswith(b'\n') for block in blocks)


@pytest.mark.parametrize(('ending', 'pack'), [('.gz', gzip.compress), ('.zst', zstandard.compress)])
def test_truncated_archive_is_named(tmp_path, ending, pack):
  path = tmp_path / f'cut.jsonl{ending}'
  path.write_bytes(pack(DATA * 50)[:-20])
  with pytest.raises(ValueError, match=f'cut.jsonl{ending}.*damaged or cut short'):
    list(read_range(FileRange(str(path), 0, 1)))


def test_parquet_row_groups_become_blocks(tmp_path):
  path = tmp_path / 'rows.parquet'
  pq.write_table(pa.table({'item_id': list(range(25))}), path, row_group_size=10)
  blocks = list(read_range(FileRange(str(path), 0, path.stat().st_size)))
  assert [(block.origin.start, block.origin.end) for block in blocks] == [
      (0, 10), (10, 20), (20, 25)]
  tables = [block.data.read(['item_id', 'weight']) for block in blocks]
  assert list(itertools.chain(*(table['item_id'].to_pylist() for table in tables))) == list(
      range(25))


def test_globs_and_lists_are_matched_once_each_and_in_order(tmp_path, monkeypatch):
  for name in ('b.jsonl', 'a.jsonl', 'c.txt'):
    (tmp_path / name).write_bytes(b'12')
  monkeypatch.chdir(tmp_path)
  expected = [InputFile(str(tmp_path / name), 2) for name in ('a.jsonl', 'b.jsonl', 'c.txt')]
  assert match_files('*.jsonl, b.jsonl,c.txt') == expected
  with pytest.raises(ValueError, match='no file matches .*none'):
    match_files('*.jsonl,none*')
