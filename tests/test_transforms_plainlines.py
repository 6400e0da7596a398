"""Plain lines counted by compiled code: the same boards, rejects and times as DuckDB and the judge
make of all lines; and no read, write or leak that should not be."""
import concurrent.futures
import datetime
import gc
import itertools
import json
import pathlib
import random
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import randomlines
from hypothesis import given, seed, settings
from hypothesis import strategies as st
from outcomes import check_same_outcome, outcome
from randomlines import NEW_YEAR_MS

from leaderboard.io.kafkaio import joined
from leaderboard.transforms import compiled, plainlines
from leaderboard.transforms.blocks import EventBlock, OriginRange
from leaderboard.transforms.boards import parse_window_size
from leaderboard.transforms.counting import BlockCounter, CountingRules

MAIN = pathlib.Path(__file__).parent / 'plainlines_main.c'
NEW_YEAR = NEW_YEAR_MS // 1000
MINUTE = parse_window_size('1m')
RULES = [
    CountingRules(MINUTE),
    CountingRules(MINUTE, max_event_bytes=300, allowed_lateness_secs=30),
    CountingRules(parse_window_size('1h'), 'epoch_s', max_future_secs=60),
    CountingRules(MINUTE, 'epoch_s', 60, 150, max_future_secs=0, clamp_future=True),
    CountingRules(parse_window_size('1d'), 'rfc3339'),
    CountingRules(MINUTE, 'rfc3339', 3600, 400, max_future_secs=3600, clamp_future=True),
    CountingRules(parse_window_size('1h'), max_future_secs=30, clamp_future=True),
    CountingRules(MINUTE, keep_events=True),
    CountingRules(parse_window_size('1d'), 'epoch_s', 60, 400, max_future_secs=60,
                  clamp_future=True, keep_events=True),
    CountingRules(parse_window_size('1h'), 'rfc3339', keep_events=True),
    CountingRules(MINUTE, item_paths={'play': 'metadata.song.id', 'view': 'user_id', 'é': 'a.a'}),
    CountingRules(MINUTE, max_event_bytes=500, keep_events=True,
                  item_paths={'play': 'metadata.a', 'view': 'metadata'}),
]
KEPT, PATHS = RULES[7], RULES[10]

pytestmark = pytest.mark.skipif(
    not plainlines.fits(RULES[0]), reason='topk-leaderboard was installed without a C compiler')


def line_of(**fields):
  return json.dumps({'event_type': 'play', 'timestamp': NEW_YEAR_MS, 'item_id': 'x', **fields},
                    ensure_ascii=False, separators=(',', ':')).encode()


def whole(data, **fields):
  return EventBlock(OriginRange('f', 0, 1000, 1000 + len(data)), data, **fields)


def plain_and_odd(data, rules=RULES[0]):
  """How many lines are plain, and how many neither that nor blank."""
  found = plainlines.count(memoryview(data), whole(data), rules)
  return sum(cell.events for cell in found.cells), len(found.odd)


NESTED = b'{"m":' + b'[' * 64 + b']' * 64 + b',' + line_of()[1:]
PLAIN = [
    line_of(), line_of() + b'\r', b' \t' + line_of() + b' \t\r',
    line_of(tenant_id=None, weight=None), line_of(tenant_id='t', weight=10**12),
    line_of(item_id=0), line_of(item_id=10**18 - 1),
    line_of(item_id='é' * 256), line_of(item_id='😀' * 128), line_of(item_id='\u0085\uffff/'),
    line_of(tenant_id='t' * 64, event_type='e' * 50), line_of(timestamp=946_684_800_000),
    line_of(timestamp=4_102_444_799_999), line_of(metadata={'a': [1, -2.5e-3, True, None, {}, []]}),
    line_of(metadata='a"\\\n\x00\x7f'), line_of(ITEM_ID='y', timestam=1, Weight='w'), NESTED,
    b'{"m":"\\ud83d\\ude00\\u00e9\\u0000\x7f",' + line_of()[1:],
    json.dumps(json.loads(line_of(weight=3)), indent=None, separators=('\t,\t', ' : ')).encode(),
    b'{"' + b'k' * 40 + b'":1,"k":1,"k":2,' + line_of()[1:]]
PLAIN_MOMENTS = ['2013-01-01T05:17:00Z', '2012-02-29 23:59:59.999999999Z', '2000-01-01T00:00:00.0Z',
                 '2096-02-29T00:00:00-13:59', '2013-01-01T00:00:00.5+13:59']
ODD = [
    line_of()[:-1], line_of() + b'x', line_of() + b'\r\r', line_of() + b'\v', b'{}', b'5', b'\0',
    b'\xef\xbb\xbf' + line_of(), line_of(item_id='a"'), line_of(item_id='a\x7f'),
    line_of(item_id=-1), line_of(item_id=''), line_of(item_id=10**18), line_of(item_id='x' * 513),
    line_of(item_id=1.5), line_of(item_id=None), line_of(tenant_id=''), line_of(tenant_id='t' * 65),
    line_of(tenant_id=7),
    line_of(event_type='é' * 26), line_of(event_type=None), line_of(event_type=''),
    line_of(timestamp=946_684_799_999), line_of(timestamp=4_102_444_800_000), line_of(weight=0),
    line_of(timestamp=NEW_YEAR_MS + .0), line_of(timestamp=str(NEW_YEAR_MS)), line_of(weight='1'),
    line_of(weight=10**12 + 1), line_of(weight=True), line_of(weight=1.0), line_of(weight=-1),
    line_of(timestamp=None), line_of(timestamp=NEW_YEAR_MS // 1000), NESTED.replace(b'[]', b'[[]]'),
    line_of()[:-1] + b',"item_id":"x"}', line_of()[:-1] + b',"weight":null,"weight":2}',
    line_of().replace(b'item_id', b'it\\u0065m_id'), line_of().replace(b'item_id', b'Item_id'),
    line_of().replace(b'{', b'{"a":1e400,'), line_of().replace(b'{', b'{"a":01,'),
    line_of().replace(b'{', b'{"a":+1,'), line_of().replace(b'{', b'{"a":1.,'),
    line_of().replace(b'{', b'{"a":NaN,'), line_of().replace(b'{', b'{"a":"\\ud800",'),
    line_of().replace(b'{', b'{"a":"\\x",'), line_of().replace(b'{', b'{"a":"\xff",'),
    line_of().replace(b'{', b'{"a":"\xc0\xaf",'), line_of().replace(b'{', b'{"a":"\xed\xa0\x80",'),
    line_of().replace(b'{', b'{"a":"\x01",'), line_of().replace(b'{', b'{"a":[1,],'),
    line_of().replace(b'{', b'{,'), line_of().replace(b'}', b',}'), line_of().replace(b',', b'\r,'),
    line_of().replace(b'"', b"'")]
ODD_MOMENTS = ['2013-01-01t05:17:00Z', '2013-01-01T05:17:00z', '2013-02-29T00:00:00Z',
               '2100-02-29T00:00:00Z', '1999-12-31T23:59:59Z', '2100-01-01T00:00:00Z',
               '2013-01-01T24:00:00Z', '2013-01-01T23:59:60Z', '2013-01-01T00:00:00.1234567890Z',
               '2013-01-01T00:00:00', '2013-01-01T00:00:00+14:00', '2013-01-01T00:00:00.Z',
               '2013-01-01', '2000-01-01T00:00:00+00:01', NEW_YEAR_MS]


@pytest.mark.parametrize('line', PLAIN)
def test_plain_line(line):
  """Were all lines odd, the other tests would hold as well."""
  assert plain_and_odd(line) == (1, 0)
  assert plain_and_odd(b'\n'.join([line] * 9) + b'\n') == (9, 0)


@pytest.mark.parametrize('line', ODD)
def test_odd_line(line):
  assert plain_and_odd(line) == (0, 1)
  assert plain_and_odd(b'\n'.join([line, line_of()] * 9)) == (9, 9)


METADATA = {   # as it stands in a line: as it is kept
    'null': None, 'true': 'true', '[]': '[]', '{}': '{}', '""': '""', '"x"': '"x"', '0': '0',
    '-5': '-5', '1.5': '1.5', '-0.0': '-0.0', '100.0': '100.0', '0.00001': '0.00001',
    '12345678901234.5': '12345678901234.5', '0.12345': '0.12345', '9' * 18: '9' * 18,
    '"\x7f é😀"': '"\x7f é😀"', r'"\n\"\\\b\f\t\r"': r'"\n\"\\\b\f\t\r"',
    '{"a": 1, "b" :\t[ 1,\t"c: , d" ] ,"b":"\\\\" }': '{"a":1,"b":[1,"c: , d"],"b":"\\\\"}'}
METADATA_ODD = {
    '-0': '0', '1.50': '1.5', '1.00': '1.0', '1e5': '100000.0', '[1E-2]': '[0.01]',
    '0.000001': '0.000001', '1234567890123456.5': '1234567890123456.5',
    r'"\u0041"': '"A"', r'{"\/":1}': '{"/":1}', r'"\u0001"': r'"\u0001"'}
IDS = {'null': None, '""': '', '"x y"': 'x y', '"é😀"': 'é😀', '0': '0', '123': '123'}
IDS_ODD = {'true': 'true', '-5': '-5', '1.5': '1.5', '{"a": 1}': '{"a":1}', r'"\n"': '\n',
           '"\x7f"': '\x7f', '9' * 19: '9' * 19}


@pytest.mark.parametrize(('field', 'values', 'plain'), [
    ('metadata', METADATA, 1), ('metadata', METADATA_ODD, 0), ('event_id', IDS, 1),
    ('user_id', IDS, 1), ('session_id', IDS, 1), ('user_id', IDS_ODD, 0)])
def test_plain_and_odd_lines_of_events_that_are_kept(counters, field, values, plain):
  for told, expected in values.items():
    line = line_of()[:-1] + f',"{field}":{told}}}'.encode()
    assert plain_and_odd(line, KEPT) == (plain, 1 - plain), told
    _, (kept,) = check_same_outcome(counters[7], whole(line)).kept
    assert kept == {
        'tenant_id': 'default', 'event_type': 'play', 'weight': 1, 'item_id': 'x', 'offset': 1000,
        'timestamp': datetime.datetime(2013, 1, 1), 'event_id': None, 'user_id': None,
        'session_id': None, 'metadata': None, field: expected}
  line = line_of()[:-1] + f',"{field}":1,"{field}":2}}'.encode()
  assert plain_and_odd(line, KEPT) == (0, 1)
  assert plain_and_odd(line) == (1, 0)


@pytest.mark.parametrize(('found', 'item'), [
    ({'metadata': {'song': {'id': 'y'}}}, 'y'), ({'metadata': {'song': {'id': 7}}}, '7'),
    ({'metadata': {'x': {'song': 1}, 'id': 2, 'song': {'ID': 3, 'id': 'z'}}}, 'z'),
    ({'metadata': {'song': {'id': 'y'}}, 'item_id': None}, 'y'),
    ({'event_type': 'view', 'user_id': 'u', 'metadata': 0}, 'u'),
    ({'event_type': 'view', 'user_id': 10**17}, '1' + '0' * 17),
    ({'event_type': 'é', 'a': {'a': 'é' * 256}}, 'é' * 256),
    ({'event_type': 'other', 'metadata': {'song': {'id': 'y'}}}, 'x')])
def test_plain_lines_whose_item_lies_elsewhere(counters, found, item):
  for spaced in (False, True):
    line = json.dumps(json.loads(line_of(**found)), ensure_ascii=False,
                      separators=(' ,\t', '\t: ') if spaced else None).encode()
    assert plain_and_odd(line, PATHS) == (1, 0)
    ((_, _, _, items),) = check_same_outcome(counters[10], whole(line)).boards.values()
    assert items == {item: (1, 1)}


@pytest.mark.parametrize('line', [
    line_of(), line_of(metadata={}), line_of(metadata=None), line_of(metadata=[1]),
    line_of(metadata={'song': 'id'}), line_of(metadata={'song': {}}), line_of(metadata='song'),
    line_of(metadata={'song': {'id': None}}), line_of(metadata={'song': {'id': ''}}),
    line_of(metadata={'song': {'id': 1.5}}), line_of(metadata={'song': {'id': 'x' * 513}}),
    line_of(metadata={'song': {'id': 'a"'}}), line_of(metadata={'a"': 1, 'song': {'id': 'y'}}),
    line_of(metadata={'': 1, 'song': {'id': 'y'}}), line_of(event_type='view'),
    line_of(event_type='view', user_id={}), line_of(item_id=None, event_type='other'),
    line_of(metadata={'song': {'id': 'y'}})[:-1] + b',"metadata":1}',
    line_of(metadata={'song': {'id': 'y'}}, item_id=1.5),
    line_of(metadata={'song': {'id': 'y'}}).replace(b'"song"', b'"s\\u006fng"')])
def test_odd_lines_whose_item_lies_elsewhere(counters, line):
  assert plain_and_odd(line, PATHS) == (0, 1)
  check_same_outcome(counters[10], whole(line + b'\n' + line_of(event_type='other')))


@pytest.mark.parametrize('paths', [
    {'a': 'weight'}, {'a': 'item_id.x'}, {'a': 'm.é'}, {'a': 'm.*'}, {'a': 'm. '}, {'a': 'm.a[0]'},
    {'a': 'm' + '.a' * 9}, {str(n): 'm' for n in range(33)}, {str(n): str(n) for n in range(9)}])
def test_paths_that_compiled_code_does_not_know(paths):
  assert not plainlines.fits(CountingRules(MINUTE, item_paths=paths))


def test_kept_events_are_in_order_and_outlive_the_counter():
  boards = [(tenant, kind) for tenant in ('b', 'a', 'ab', 'é', 'a\uffff') for kind in 'yx']
  rng = random.Random(3)
  lines = [line_of(tenant_id=tenant, event_type=kind, item_id=n,
                   timestamp=NEW_YEAR_MS + rng.randrange(200_000))
           for n, (tenant, kind) in enumerate(boards * 300)]
  rng.shuffle(lines)
  counter = BlockCounter(KEPT)
  events = counter.count(whole(b'\n'.join(lines))).kept
  counter.close()
  gc.collect()
  rows = [(row['tenant_id'].encode(), row['event_type'], row['timestamp'], row['offset'])
          for row in events.to_pylist()]
  assert rows == sorted(rows) and len(set(rows)) == 3000
  assert sorted(map(int, events['item_id'].to_pylist())) == list(range(3000))


@pytest.mark.parametrize(('moments', 'expected'), [(PLAIN_MOMENTS, 1), (ODD_MOMENTS, 0)])
def test_plain_and_odd_moments(moments, expected):
  for moment in moments:
    found = plain_and_odd(line_of(timestamp=moment), CountingRules(MINUTE, 'rfc3339'))
    assert found == (expected, 1 - expected), moment


def test_length_of_a_plain_line():
  rules = CountingRules(MINUTE, max_event_bytes=len(line_of()))
  assert plain_and_odd(b'\n'.join([line_of(), line_of() + b'\r', b'', line_of()]), rules) == (2, 1)


# The whole outcome, with and without compiled code.


@pytest.fixture(scope='module')
def counters():
  """A counter for each of RULES."""
  counters = [BlockCounter(rules) for rules in RULES]
  yield counters
  for counter in counters:
    counter.close()


def random_block(rng, rules, lines):
  """The lines as a part of a file or as messages, read at some time."""
  moments = {'watermark_secs': rng.choice([None, None, NEW_YEAR + rng.randrange(-200, 200)]),
             'read_secs': rng.choice([None, None, NEW_YEAR + rng.randrange(-200, 400)])}
  if rng.randrange(2):
    return whole(b'\n'.join(lines) + b'\n' * rng.randrange(2), **moments)
  data, raw = joined(lines)
  offsets = 5 + np.cumsum([rng.randrange(1, 4) for _ in lines], dtype=np.int64)
  late = np.array([rng.randrange(8) == 0 for _ in lines], bool) if rng.randrange(2) else None
  return EventBlock(OriginRange('kafka://t', 3, 5, int(offsets[-1]) + 1 if lines else 6), data,
                    offsets=offsets, late=late, raw=raw, **moments)


def random_lines(rng, rules, count):
  lines = [randomlines.line(rng, rules.timestamp_format, rules.max_event_bytes % (1 << 20))
           for _ in range(count)]
  share = rng.choice([0, 0, 3])
  return [randomlines.mutated(rng, line, rng.choice(lines)) if share and rng.randrange(share) == 0
          else line for line in lines]


@pytest.mark.parametrize('number', range(len(RULES)))
def test_random_lines_count_as_without_compiled_code(counters, number):
  rng = random.Random(number)
  rules, plain = RULES[number], 0
  for count in (1500, 1, 2, 3, 0):
    lines = random_lines(rng, rules, count)
    check_same_outcome(counters[number], random_block(rng, rules, lines))
    plain += plain_and_odd(b'\n'.join(lines), rules)[0]
  assert plain > (50 if rules.item_paths else 200)


@pytest.mark.slow
@seed(20130101)
@settings(max_examples=300, deadline=None)
@given(st.randoms(use_true_random=False), st.sampled_from(range(len(RULES))), st.integers(0, 12))
def test_any_lines_count_as_without_compiled_code(counters, rng, number, count):
  rules = RULES[number]
  check_same_outcome(counters[number], random_block(rng, rules, random_lines(rng, rules, count)))


@pytest.mark.slow
@seed(20130102)
@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(
    st.sampled_from(PLAIN + ODD),
    st.binary(max_size=70).map(lambda found: found.replace(b'\n', b'')),
    st.sampled_from(PLAIN).flatmap(lambda line: st.integers(0, len(line)).flatmap(
        lambda at: st.binary(max_size=2).map(
            lambda found: (line[:at] + found + line[at + 1:]).replace(b'\n', b'\r'))))),
    max_size=12), st.booleans())
def test_lines_with_one_byte_changed_count_as_without_compiled_code(counters, lines, ended):
  check_same_outcome(counters[0], whole(b'\n'.join(lines) + b'\n' * ended))


@pytest.mark.parametrize('size', [0, 1, 2, 63, 64, 65, 127, 128, 129, 200])
def test_lines_at_the_end_of_a_block_that_is_small(counters, size):
  """Where the copy of the last lines begins."""
  for line in (line_of(), b'x', b''):
    for end in (b'', b'\n', b'\r\n', b'\n\n', b' '):
      data = (line + b'\n') * (size // (len(line) + 1))
      check_same_outcome(counters[0], whole(data + line[:size - len(data)] + end))
      check_same_outcome(counters[0], whole(data + line + end))


def test_byte_order_mark_of_any_line(counters):
  marked = b'\xef\xbb\xbf' + line_of(timestamp=NEW_YEAR_MS + 10**6)
  for lines in set(itertools.permutations([marked, line_of(), b'{bad', b''])):
    found = check_same_outcome(counters[0], whole(b'\n'.join(lines)))
    assert (found.read, len(found.rejects), found.latest_secs) == (3, 2, NEW_YEAR)


def test_two_threads_count_as_one(counters):
  rng = random.Random(5)
  blocks = [random_block(rng, rules, random_lines(rng, rules, 800)) for rules in RULES] * 3
  work = list(zip(counters * 3, blocks, strict=True))
  expected = [outcome(*task) for task in work]
  with concurrent.futures.ThreadPoolExecutor(2) as pool:
    assert list(pool.map(outcome, *zip(*work, strict=True))) == expected


# Tables that grow.


@pytest.fixture
def columns(monkeypatch):
  """The columns of every delta, in order: lengths, weights, texts, events."""
  found = []
  monkeypatch.setattr(compiled, 'delta_bytes', lambda _, *columns: found.append(columns) or b'')
  return found


@pytest.mark.slow
def test_two_million_items_of_one_board(columns):
  numbers = range(2_000_000)
  lines = [b'{"event_type":"a","timestamp":1356998400000,"weight":%d,"item_id":"%d"}\n' % (
      1 + n % 7, n * n) for n in numbers]
  data = b''.join(lines + lines[::3])
  assert plain_and_odd(data) == (2_666_667, 0)
  ((lengths, weights, text, events),) = columns
  assert text == b''.join(b'%d' % (n * n) for n in numbers)
  assert lengths.tolist() == [len(str(n * n)) for n in numbers]
  assert weights.tolist() == [(1 + n % 7) * (2 if n % 3 == 0 else 1) for n in numbers]
  assert events == 2_666_667


@pytest.mark.slow
def test_hundred_thousand_boards_with_the_same_items(columns):
  boards = [(f't{n % 500}', f'e{n % 4}', NEW_YEAR + n // 500 * 60) for n in range(100_000)]
  lines = [line_of(tenant_id=tenant, event_type=kind, timestamp=start * 1000 + 59_999,
                   item_id=item, weight=10**12 - place)
           for item in ('x', 'y' * 20) for place, (tenant, kind, start) in enumerate(boards)]
  data = b'\n'.join(lines * 2)
  found = plainlines.count(memoryview(data), whole(data), RULES[0])
  assert [cell[:4] for cell in found.cells] == [(*board, 4) for board in boards]
  assert found.latest_ms == boards[-1][2] * 1000 + 59_999
  for place, (lengths, weights, text, events) in enumerate(columns):
    assert (lengths.tolist(), text, events) == ([1, 20], b'x' + b'y' * 20, 4)
    assert weights.tolist() == [2 * 10**12 - 2 * place] * 2


@pytest.mark.parametrize('distance', [1, 30, 31, 32, 33, 34, 63, 64, 65])
def test_an_item_comes_again_while_others_wait(counters, distance):
  lines = [line_of(item_id=n % distance, weight=10**12) for n in range(200)]
  check_same_outcome(counters[0], whole(b'\n'.join(lines)))


# Memory.


def corpus():
  """Blocks as `plainlines_main.c` reads them."""
  rng = random.Random(9)
  many = [line_of(tenant_id=f't{n % 700}', item_id=n) for n in range(50_000)]
  blocks = [(RULES[0], [*many, *ODD * 3, *many[::7]]), (RULES[0], []), (RULES[0], PLAIN + ODD)]
  for _ in range(250):
    rules = rng.choice(RULES)
    blocks.append((rules, random_lines(rng, rules, rng.choice([1, 2, 5, 40, 300]))))
  for rules, lines in blocks:
    data = b'\n'.join(lines) + b'\n' * rng.randrange(2)
    yield len(data).to_bytes(8, sys.byteorder) + bytes(
        compiled.rules_of(whole(data), rules, rules.keep_events))[:56] + bytes(16) + data


@pytest.mark.slow
def test_no_sanitizer_finds_a_fault_with_and_without_sse2(tmp_path):
  answers = []
  for name, more in (('sse2', []), ('plain', ['-U__SSE2__', '-U__SIZEOF_INT128__'])):
    program = tmp_path / name
    build = subprocess.run(
        ['gcc', '-g', '-O1', '-Wall', '-Wextra', '-Werror', '-fsanitize=address,undefined',
         '-fno-sanitize-recover=all', *more, str(MAIN), '-o', str(program)],
        capture_output=True, text=True)
    if 'asan' in build.stderr:
      pytest.skip('gcc has no AddressSanitizer here; on Debian: apt install build-essential')
    assert build.returncode == 0, build.stderr
    run = subprocess.run([program], input=b''.join(corpus()), capture_output=True)
    assert run.returncode == 0, run.stderr.decode()
    answers.append(run.stdout)
  assert answers[0] == answers[1] and len(answers[0]) > 1 << 20


def run_apart(program):
  """What a program prints, in a process that may end badly."""
  run = subprocess.run([sys.executable, '-c', textwrap.dedent(program)], capture_output=True,
                       text=True, cwd=pathlib.Path(__file__).parent)
  assert run.returncode == 0, run.stderr
  return run.stdout


def test_nothing_is_read_beyond_a_block():
  """Blocks that end where memory ends."""
  assert run_apart('''
      import ctypes, mmap, random
      from test_transforms_plainlines import PLAIN, ODD, RULES, plain_and_odd, random_lines
      pages = mmap.mmap(-1, 64 * mmap.PAGESIZE)
      end = 63 * mmap.PAGESIZE
      last = ctypes.addressof(ctypes.c_char.from_buffer(pages, end))
      assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(last), mmap.PAGESIZE, 0) == 0
      rng, plain = random.Random(3), 0
      for number in range(600):
        rules = RULES[number % len(RULES)]
        lines = random_lines(rng, rules, rng.choice([1, 1, 2, 3, 20]))
        lines += [rng.choice(PLAIN + ODD)]
        data = b'\\n'.join(lines)[:end]
        data = data[:rng.choice([len(data), len(data), rng.randrange(len(data) + 1)])]
        pages[end - len(data):end] = data
        found = plain_and_odd(memoryview(pages)[end - len(data):end], rules)
        assert found == plain_and_odd(data, rules), data
        plain += found[0]
      print(plain > 500)
      ''') == 'True\n'


def test_memory_that_runs_out_is_an_error_that_names_the_block():
  assert run_apart('''
      import re, resource
      from test_transforms_plainlines import line_of, plain_and_odd
      data = b'\\n'.join(line_of(item_id=n) for n in range(400_000))
      plain_and_odd(data[:100_000])
      held = int(re.search(r'VmSize:\\s+(\\d+)', open('/proc/self/status').read())[1]) << 10
      for room in (1 << 20, 4 << 20, 16 << 20, 24 << 20):
        resource.setrlimit(resource.RLIMIT_AS, (held + room, resource.RLIM_INFINITY))
        try:
          plain_and_odd(data)
        except MemoryError as error:
          print(error)
      ''') == "no memory is left to count OriginRange(source='f', partition=0, start=1000, " \
      'end=25889889)\n' * 4
