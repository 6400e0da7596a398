"""Plain rows counted by compiled code: the same boards, rejects and times as DuckDB and the judge
make of all rows."""
import datetime
import json
import os
import pathlib
import random
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from outcomes import check_same_outcome
from servers import cache
from servers.fixtures import need

from leaderboard.transforms import compiled, plainrows
from leaderboard.transforms.blocks import EventBlock, OriginRange
from leaderboard.transforms.boards import parse_window_size
from leaderboard.transforms.counting import BlockCounter, CountingRules

SOURCE = pathlib.Path(__file__).parents[1] / 'transforms' / 'plainlines.c'
NEW_YEAR = 1_356_998_400   # 2013-01-01T00:00:00Z
MINUTE = parse_window_size('1m')
RULES = [CountingRules(MINUTE), CountingRules(parse_window_size('1h'), 'epoch_s', 60),
         CountingRules(MINUTE, allowed_lateness_secs=30, max_future_secs=60),
         CountingRules(MINUTE, 'epoch_s', max_future_secs=0, clamp_future=True)]
TEXTS = ['x', 'y', '5', '', 'é', '😀', 'a"b', 'a\\b', ' ', 'x' * 50, 'x' * 51, 'é' * 25, 'é' * 26,
         't' * 64, 't' * 65, 'x' * 512, 'x' * 513, 'é' * 256, 'é' * 257, 'a\nb', '\x7f', '\x00',
         'sixteen bytes at', 'a text of more than that', None]


@pytest.fixture(autouse=True, scope='module')
def library():
  if compiled.library() is None:
    need(cache.missing(gcc='Debian: gcc libc6-dev') or 'transforms/plainlines.c was not compiled')


def same_outcome(rules, table, **fields):
  """The same with and without compiled code; what it is."""
  counter = BlockCounter(rules)
  found = check_same_outcome(counter, EventBlock(
      OriginRange('f', 0, 1000, 1000 + len(table)), table, **fields))
  counter.close()
  return found


def plain_and_odd(table, rules=RULES[0]):
  """How many rows are plain, and how many not; None where no row is looked at."""
  found = plainrows.count(table, EventBlock(OriginRange('f', 0, 0, len(table)), table), rules)
  return found and (sum(cell.events for cell in found.cells), len(found.odd))


def table_of(rows=9, **columns):
  return pa.table({'event_type': ['play'] * rows, 'timestamp': [NEW_YEAR * 1000] * rows,
                   'item_id': ['x'] * rows, **columns})


# One column at a time.


@pytest.mark.parametrize('kind', [
    pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string()),
    pa.dictionary(pa.int8(), pa.string()), pa.dictionary(pa.uint32(), pa.large_string())])
@pytest.mark.parametrize('name', ['tenant_id', 'event_type', 'item_id'])
def test_texts(name, kind):
  table = table_of(len(TEXTS), **{name: pa.array(TEXTS).cast(kind)})
  plain, odd = plain_and_odd(table)
  assert plain + odd == len(TEXTS) and plain > 8 and odd > 5
  same_outcome(RULES[0], table)


@pytest.mark.parametrize('column', [
    pa.array([NEW_YEAR * 1000, None, -1, 0, 946_684_799_999, 946_684_800_000, 4_102_444_799_999,
              4_102_444_800_000, 2**63 - 1]),
    *(pa.array([datetime.datetime(2013, 1, 1, 0, 0, 0, 1999), None,
                datetime.datetime(1969, 12, 31, 23, 59, 59, 999_999),
                *[datetime.datetime(2013, 1, 1)] * 6], kind) for kind in (
                    pa.timestamp('us'), pa.timestamp('ns'), pa.timestamp('us', 'Europe/Berlin'))),
    pa.array([NEW_YEAR, None, -1, 0, 946_684_799, 946_684_800, 4_102_444_799, 4_102_444_800,
              2**33], pa.timestamp('s')),
    pa.array([NEW_YEAR * 1000, None, -1, 0, 1, 2, 3, 4, 5], pa.timestamp('ms', 'UTC'))])
def test_moments(column):
  plain, odd = plain_and_odd(table_of(timestamp=column))
  assert plain >= 1 and odd >= 2
  same_outcome(RULES[0], table_of(timestamp=column))


@pytest.mark.parametrize('kind', [pa.int32(), pa.uint32(), pa.int64(), pa.uint64()])
def test_seconds(kind):
  column = pa.array([NEW_YEAR, None, 0, 1, 946_684_799, 946_684_800, NEW_YEAR + 59, 5, 6], kind)
  assert plain_and_odd(table_of(timestamp=column), RULES[1]) == (3, 6)
  same_outcome(RULES[1], table_of(timestamp=column))


@pytest.mark.parametrize('column', [
    pa.array([1, 2, None, 0, -1, 10**12, 10**12 + 1, -2**63, 2**63 - 1]),
    pa.array([1, 2, None, 0, 5, 6, 7, 8, 255], pa.uint8())])
def test_weights(column):
  plain, odd = plain_and_odd(table_of(weight=column))
  assert (plain, odd) in ((4, 5), (8, 1))
  same_outcome(RULES[0], table_of(weight=column))


def test_items_that_are_numbers():
  column = pa.array([1, -5, None, 0, 2**63 - 1, -2**63, 7, 7, 7])
  assert plain_and_odd(table_of(item_id=column)) == (8, 1)
  (board,) = same_outcome(RULES[0], table_of(item_id=column)).boards.values()
  assert board[3]['7'] == (3, 3) and board[3]['-5'] == (1, 1)


def test_text_that_is_not_utf8_is_odd():
  texts = [b'\xff', b'\xc3', b'\xe2\x82', b'\xa9x', b'\xed\xa0\x80', b'good', b'\xc3\xa9', b'x',
           b'\xf0\x9f\x98']
  column = pa.StringArray.from_buffers(9, *pa.array(texts, pa.binary()).buffers()[1:])
  assert plain_and_odd(table_of(item_id=column)) == (3, 6)


@pytest.mark.parametrize('columns', [
    {'timestamp': [NEW_YEAR * 1000.0] * 9}, {'timestamp': [str(NEW_YEAR * 1000)] * 9},
    {'timestamp': [2**64 - 1] * 9}, {'weight': [1.5] * 9}, {'weight': ['1'] * 9},
    {'weight': [True] * 9}, {'item_id': [1.0] * 9}, {'item_id': [b'x'] * 9},
    {'event_type': [5] * 9}, {'tenant_id': [5] * 9}, {'item_id': [['x']] * 9}])
def test_columns_of_other_types_are_left_to_the_judge(columns):
  table = table_of(**{name: pa.array(values, pa.uint64() if values[0] == 2**64 - 1 else None)
                      for name, values in columns.items()})
  assert plain_and_odd(table) is None
  same_outcome(RULES[0], table)


def test_missing_columns_and_no_rows():
  for name in ('event_type', 'timestamp', 'item_id'):
    assert plain_and_odd(table_of().drop_columns([name])) is None
    same_outcome(RULES[0], table_of().drop_columns([name]))
  assert plain_and_odd(table_of().slice(0, 0)) == (0, 0)
  nothing = pa.array([None] * 9, pa.string())
  assert plain_and_odd(table_of(tenant_id=nothing)) == (9, 0)
  assert plain_and_odd(table_of(item_id=nothing)) == (0, 9)
  assert plain_and_odd(table_of(), CountingRules(MINUTE, 'rfc3339')) is None
  assert plain_and_odd(table_of(), CountingRules(MINUTE, keep_events=True)) is None
  assert plain_and_odd(table_of(), CountingRules(MINUTE, item_paths={'play': 'item_id'})) is None


def test_odd_rows_keep_their_place_and_their_bytes():
  table = table_of(3000, item_id=['x'] * 2999 + [''], more=list(range(3000)))
  ((reason, field, data, _, _, offset),) = same_outcome(RULES[0], table).rejects
  assert (reason, field, offset) == ('out_of_range', 'item_id', 3999)
  assert json.loads(data)['more'] == 2999


# All at once.


def random_table(rng, rules, rows):
  """Rows of any columns that are known, in one or more chunks, some of them a part of others."""
  scale = 1 if rules.timestamp_format == 'epoch_s' else 1000

  def column(values, kinds):
    odd = rng.choice([0, 0, 0.01, 0.3])
    found = pa.array([None if rng.random() < odd else rng.choice(values) for _ in range(rows)],
                     pa.int64() if isinstance(values[0], int) else None).cast(rng.choice(kinds))
    cut = rng.randrange(rows + 1)
    behind = pa.concat_arrays([found.slice(0, cut), found]).slice(cut)
    return rng.choice([found, behind, pa.chunked_array([found.slice(0, cut), found.slice(cut)])])

  strings = [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())]
  few, good = rng.choice([TEXTS, TEXTS[:2]]), [f'item {n}' for n in range(300)]
  columns = {
      'event_type': column(few[:-1], strings), 'item_id': column(
          rng.choice([few[:-1], good, [5, 6, 7]]), strings[:2]),
      'timestamp': column([(NEW_YEAR + rng.randrange(-200, 200)) * scale + rng.randrange(scale)
                           for _ in range(50)], [pa.int64()])}
  if rng.randrange(2):
    columns['tenant_id'] = column(few[:-1], strings)
  if rng.randrange(2):
    columns['weight'] = column([1, 2, 0, 10**12, 10**12 + 1] if rng.randrange(2) else [3], [
        pa.int64()])
  if scale == 1000 and rng.randrange(2):
    columns['timestamp'] = pa.chunked_array([columns['timestamp']]) if isinstance(
        columns['timestamp'], pa.Array) else columns['timestamp']
    columns['timestamp'] = columns['timestamp'].cast(pa.timestamp('ms')).cast(
        pa.timestamp(rng.choice(['ms', 'us', 'ns']), rng.choice([None, 'UTC'])))
  return pa.table(columns)


@pytest.mark.parametrize('seed', range(24))
def test_random_tables_count_as_without_compiled_code(seed):
  rng = random.Random(seed)
  rules = RULES[seed % len(RULES)]
  table = random_table(rng, rules, rng.choice([1, 20, 3000]))
  assert plain_and_odd(table, rules) is not None
  same_outcome(
      rules, table, watermark_secs=rng.choice([None, NEW_YEAR + rng.randrange(-200, 200)]),
      read_secs=rng.choice([None, NEW_YEAR + rng.randrange(-200, 200)]))


@pytest.mark.slow
def test_no_sanitizer_finds_a_fault_in_rows(tmp_path):
  library = tmp_path / 'plainlines.so'
  build = subprocess.run(
      ['gcc', '-g', '-O1', '-shared', '-fPIC', '-fsanitize=address,undefined',
       '-fno-sanitize-recover=all', str(SOURCE), '-o', str(library)],
      capture_output=True, text=True, check=False)
  if 'asan' in build.stderr:
    pytest.skip('gcc has no AddressSanitizer here; on Debian: apt install build-essential')
  assert build.returncode == 0, build.stderr
  sanitizers = [subprocess.run(['gcc', f'-print-file-name={name}'], capture_output=True, text=True,
                               check=True).stdout.strip() for name in ('libasan.so', 'libubsan.so')]
  program = f'''
import random
from test_transforms_plainrows import RULES, compiled, plain_and_odd, random_table
library = compiled.opened({str(library)!r})
compiled.library = lambda: library
plain = 0
for seed in range(300):
  rng = random.Random(seed)
  rules = RULES[seed % len(RULES)]
  plain += plain_and_odd(random_table(rng, rules, rng.choice([1, 2, 20, 3000])), rules)[0]
print(plain > 10_000)
'''
  # Python leaks at its end, and its own memory is not looked at.
  run = subprocess.run(
      [sys.executable, '-c', program], capture_output=True, text=True,
      cwd=pathlib.Path(__file__).parent,
      env={**os.environ, 'LD_PRELOAD': ' '.join(sanitizers), 'ASAN_OPTIONS': 'detect_leaks=0'},
      check=False)
  assert (run.returncode, run.stdout) == (0, 'True\n'), run.stderr


@pytest.mark.slow
def test_two_hundred_thousand_items_of_many_boards():
  rng = np.random.default_rng(5)
  rows = 500_000
  items = [f'an item of some length, number {n}' for n in range(200_000)]
  codes = rng.integers(0, len(items), rows).astype(np.int32)
  table = table_of(
      rows, item_id=pa.DictionaryArray.from_arrays(codes, items),
      timestamp=NEW_YEAR * 1000 + rng.integers(0, 600_000, rows),
      tenant_id=pa.array([f't{n % 30}' for n in range(rows)]), weight=1 + np.arange(rows) % 5)
  assert plain_and_odd(table) == (rows, 0)
  assert len(same_outcome(RULES[0], table).boards) == 300
