"""Counting a block: every good event counted, every bad one named, none lost."""
import json
import random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leaderboard.io.filesio import FileRange, read_range
from leaderboard.transforms.blocks import EventBlock, OriginRange
from leaderboard.transforms.boards import parse_window_size
from leaderboard.transforms.counting import BlockCounter, CountingRules
from leaderboard.transforms.heavyhitters import HeavyHitters

NEW_YEAR_MS = 1_356_998_400_000   # 2013-01-01T00:00:00Z
MINUTE = parse_window_size('1m')


@pytest.fixture
def count():
  """(data, rules...) -> CountedBlock, the block standing at offset 1000 of file `f`."""
  counters = []

  def run(data, watermark_secs=None, **rules):
    counters.append(BlockCounter(CountingRules(MINUTE, **rules)))
    size = len(data)
    return counters[-1].count(
        EventBlock(OriginRange('f', 0, 1000, 1000 + size), data, watermark_secs))

  yield run
  for counter in counters:
    counter.close()


def event(**fields):
  return json.dumps({'event_type': 'play', 'timestamp': NEW_YEAR_MS, 'item_id': 'x', **fields})


def boards(counted):
  """{(tenant, type, start): {item: weight}}"""
  return {
      (cell.tenant_id, cell.event_type, cell.start): {
          row.item: row.count for row in HeavyHitters.from_bytes(cell.delta).top(10_000)}
      for cell in counted.cells}


def only_board(counted):
  (board,) = boards(counted).values()
  return board


# What is refused, why, and for which field. `{T}` stands for a good timestamp.
REFUSED = [
    (b'{bad', 'malformed_json', ''),
    (b'{"event_type":"x', 'malformed_json', ''),
    (b'{"event_type":"a"} trailing', 'malformed_json', ''),
    (b'{"event_type":"a"}{"event_type":"b"}', 'malformed_json', ''),
    (b'{"event_type":"\xff"}', 'malformed_json', ''),
    (b'{"event_type":"raw\x00"}', 'malformed_json', ''),
    (b'{"event_type":"raw\x01"}', 'malformed_json', ''),
    (b'{"event_type":"cr"}\r{"event_type":"cr"}', 'malformed_json', ''),
    (b"{'event_type':'quotes'}", 'malformed_json', ''),
    (b'\xef\xbb\xbf{"event_type":"mark"}', 'malformed_json', ''),
    (b'[1,2]', 'not_an_object', ''),
    (b'5', 'not_an_object', ''),
    (b'null', 'not_an_object', ''),
    (b'"text"', 'not_an_object', ''),
    (b'{}', 'missing_field', 'event_type'),
    (b'{"event_type":null,"timestamp":{T},"item_id":"x"}', 'missing_field', 'event_type'),
    (b'{"event_type":7,"timestamp":{T},"item_id":"x"}', 'wrong_type', 'event_type'),
    (b'{"event_type":true,"timestamp":{T},"item_id":"x"}', 'wrong_type', 'event_type'),
    (b'{"event_type":{},"timestamp":{T},"item_id":"x"}', 'wrong_type', 'event_type'),
    (b'{"event_type":"","timestamp":{T},"item_id":"x"}', 'out_of_range', 'event_type'),
    (b'{"event_type":"' + b'e' * 51 + b'","timestamp":{T},"item_id":"x"}',
     'out_of_range', 'event_type'),
    (b'{"event_type":"nul\\u0000","timestamp":{T},"item_id":"x"}', 'bad_text', 'event_type'),
    (b'{"event_type":"\\ud800","timestamp":{T},"item_id":"x"}', 'bad_text', 'event_type'),
    (b'{"event_type":"a","item_id":"x"}', 'missing_field', 'timestamp'),
    (b'{"event_type":"a","timestamp":null,"item_id":"x"}', 'missing_field', 'timestamp'),
    (b'{"event_type":"a","timestamp":"{T}","item_id":"x"}', 'wrong_type', 'timestamp'),
    (b'{"event_type":"a","timestamp":{T}.5,"item_id":"x"}', 'wrong_type', 'timestamp'),
    (b'{"event_type":"a","timestamp":{T}.0,"item_id":"x"}', 'wrong_type', 'timestamp'),
    (b'{"event_type":"a","timestamp":1.3569984e12,"item_id":"x"}', 'wrong_type', 'timestamp'),
    (b'{"event_type":"a","timestamp":true,"item_id":"x"}', 'wrong_type', 'timestamp'),
    (b'{"event_type":"a","timestamp":NaN,"item_id":"x"}', 'wrong_type', 'timestamp'),
    (b'{"event_type":"a","timestamp":-62135596800000,"item_id":"x"}',
     'out_of_range', 'timestamp'),   # year 1
    (b'{"event_type":"a","timestamp":253402300799000,"item_id":"x"}',
     'out_of_range', 'timestamp'),   # year 9999
    (b'{"event_type":"a","timestamp":99999999999999999999999,"item_id":"x"}',
     'out_of_range', 'timestamp'),
    (b'{"event_type":"a","timestamp":946684799999,"item_id":"x"}', 'out_of_range', 'timestamp'),
    (b'{"event_type":"a","timestamp":4102444800000,"item_id":"x"}', 'out_of_range', 'timestamp'),
    (b'{"event_type":"a","timestamp":{T}}', 'missing_field', 'item_id'),
    (b'{"event_type":"a","timestamp":{T},"item_id":null}', 'missing_field', 'item_id'),
    (b'{"event_type":"a","timestamp":{T},"item_id":5.0}', 'wrong_type', 'item_id'),
    (b'{"event_type":"a","timestamp":{T},"item_id":1e3}', 'wrong_type', 'item_id'),
    (b'{"event_type":"a","timestamp":{T},"item_id":false}', 'wrong_type', 'item_id'),
    (b'{"event_type":"a","timestamp":{T},"item_id":["x"]}', 'wrong_type', 'item_id'),
    (b'{"event_type":"a","timestamp":{T},"item_id":""}', 'out_of_range', 'item_id'),
    (b'{"event_type":"a","timestamp":{T},"item_id":"' + b'x' * 513 + b'"}',
     'out_of_range', 'item_id'),
    (b'{"event_type":"a","timestamp":{T},"item_id":"' + 'é'.encode() * 257 + b'"}',
     'out_of_range', 'item_id'),
    (b'{"event_type":"a","timestamp":{T},"item_id":"tab\\t"}', 'bad_text', 'item_id'),
    (b'{"event_type":"a","timestamp":{T},"item_id":"del\x7f"}', 'bad_text', 'item_id'),
    (b'{"event_type":"a","timestamp":{T},"item_id":"\\udfff"}', 'bad_text', 'item_id'),
    (b'{"event_type":"a","timestamp":{T},"item_id":"x","tenant_id":7}', 'wrong_type', 'tenant_id'),
    (b'{"event_type":"a","timestamp":{T},"item_id":"x","tenant_id":""}',
     'out_of_range', 'tenant_id'),
    (b'{"event_type":"a","timestamp":{T},"item_id":"x","tenant_id":"' + b't' * 65 + b'"}',
     'out_of_range', 'tenant_id'),
    (b'{"event_type":"a","timestamp":{T},"item_id":"x","weight":0}', 'bad_weight', 'weight'),
    (b'{"event_type":"a","timestamp":{T},"item_id":"x","weight":-1}', 'bad_weight', 'weight'),
    (b'{"event_type":"a","timestamp":{T},"item_id":"x","weight":3.7}', 'bad_weight', 'weight'),
    (b'{"event_type":"a","timestamp":{T},"item_id":"x","weight":1000000000001}',
     'bad_weight', 'weight'),
    (b'{"event_type":"a","timestamp":{T},"item_id":"x","weight":"3"}', 'wrong_type', 'weight'),
    (b'{"event_type":"a","timestamp":{T},"item_id":"x","weight":true}', 'wrong_type', 'weight'),
]
REFUSED = [(line.replace(b'{T}', b'%d' % NEW_YEAR_MS), reason, field)
           for line, reason, field in REFUSED]

GOOD = [
    (event(), ('default', 'x', 1)),
    (event(tenant_id=None, weight=None), ('default', 'x', 1)),
    (event(item_id=5, weight=10**12), ('default', '5', 10**12)),
    (event(item_id=-7), ('default', '-7', 1)),
    (event(item_id='é' * 256), ('default', 'é' * 256, 1)),
    (event(item_id='quote"back\\slash/'), ('default', 'quote"back\\slash/', 1)),
    (event(tenant_id='😀' * 64), ('😀' * 64, 'x', 1)),
    (event(metadata={'deep': 'a\u0000b'}), ('default', 'x', 1)),
    (event() + '\r', ('default', 'x', 1)),
    (event().replace('"x"', '"\\u0041"'), ('default', 'A', 1)),
    # Of duplicate keys the first counts.
    (event()[:-1] + ', "item_id": "y", "weight": 2}', ('default', 'x', 2)),
    (event()[:-1] + ', "metadata": ' + '[' * 20_000 + ']' * 20_000 + '}', ('default', 'x', 1)),
]


@pytest.mark.parametrize(('line', 'reason', 'field'), REFUSED)
def test_bad_event_is_refused_with_its_reason_bytes_and_place(count, line, reason, field):
  good = event().encode()
  counted = count(good + b'\n' + line + b'\n' + good)
  (reject,) = counted.rejects
  assert reject == (reason, field, line, 'f', 0, 1000 + len(good) + 1)
  assert counted.read == 3
  assert boards(counted) == {('default', 'play', NEW_YEAR_MS // 1000): {'x': 2}}


def test_hostile_block_keeps_every_good_event_and_names_every_bad_one(count):
  lines = [(line, (reason, field)) for line, reason, field in REFUSED] * 3
  lines += [(line.encode(), None) for line, _ in GOOD] * 3
  lines += [(blank, None) for blank in (b'', b'   ', b'\t', b' \r', b'\x0b\x0c')]
  lines += [(b'x' * 3_000_000, ('too_large', '')), (b'{"a":"' + b'x' * 2_000_000 + b'"}',
                                                    ('too_large', ''))]
  random.Random(7).shuffle(lines)
  data = b'\n'.join(line for line, _ in lines)
  counted = count(data)
  bad = [(fault, line) for line, fault in lines if fault]
  assert counted.read == len(GOOD) * 3 + len(bad)
  assert sorted((reject.reason, reject.field, reject.data) for reject in counted.rejects) == sorted(
      (*fault, line[:64 << 10]) for fault, line in bad)
  for reject in counted.rejects:
    start = reject.offset - 1000
    assert data[start:start + len(reject.data)] == reject.data
  totals = {}
  for _, (tenant, item, weight) in GOOD * 3:
    totals[tenant, item] = totals.get((tenant, item), 0) + weight
  assert {(tenant, item): weight for (tenant, _, _), board in boards(counted).items()
          for item, weight in board.items()} == totals


def test_byte_order_mark_is_no_part_of_json_wherever_its_line_stands(count):
  marked = b'\xef\xbb\xbf' + event().encode()
  for data in (marked, marked + b'\n' + event().encode(), event().encode() + b'\n' + marked):
    counted = count(data)
    assert [(reject.reason, reject.data) for reject in counted.rejects] == [
        ('malformed_json', marked)]
    assert counted.read == data.count(b'\n') + 1


def test_number_and_text_of_the_same_item_are_one_item(count):
  counted = count('\n'.join([event(item_id=5), event(item_id='5'), event(item_id='6')]).encode())
  assert only_board(counted) == {'5': 2, '6': 1}
  assert counted.cells[0].events == 3


def test_events_and_weight_are_counted_apart(count):
  (cell,) = count((event(weight=10) + '\n' + event(weight=5)).encode()).cells
  summary = HeavyHitters.from_bytes(cell.delta)
  assert (cell.events, summary.events, summary.total) == (2, 2, 15)


def test_windows_start_at_whole_minutes(count):
  stamps = [NEW_YEAR_MS, NEW_YEAR_MS + 59_999, NEW_YEAR_MS + 60_000]
  counted = count('\n'.join(event(timestamp=stamp) for stamp in stamps).encode())
  assert {start - NEW_YEAR_MS // 1000: sum(board.values())
          for (_, _, start), board in boards(counted).items()} == {0: 2, 60: 1}


@pytest.mark.parametrize(('text', 'start'), [
    ('2013-01-01T00:00:00Z', 0), ('2013-01-01t00:00:59.999999999z', 0),
    ('2013-01-01T05:30:00+05:30', 0), ('2012-12-31T16:01:00-08:00', 60),
])
def test_rfc3339_moments_are_understood_with_their_offset(count, text, start):
  counted = count(event(timestamp=text).encode(), timestamp_format='rfc3339')
  assert [cell.start - NEW_YEAR_MS // 1000 for cell in counted.cells] == [start]


@pytest.mark.parametrize(('stamp', 'reason'), [
    ('2013-02-30T00:00:00Z', 'bad_timestamp'), ('2013-01-01', 'bad_timestamp'),
    ('2013-01-01T00:00:00', 'bad_timestamp'), ('2013-01-01T25:00:00Z', 'bad_timestamp'),
    ('1999-12-31T23:59:59Z', 'out_of_range'), (NEW_YEAR_MS, 'wrong_type'),
])
def test_bad_rfc3339_moment_is_refused(count, stamp, reason):
  (reject,) = count(event(timestamp=stamp).encode(), timestamp_format='rfc3339').rejects
  assert (reject.reason, reject.field) == (reason, 'timestamp')


def test_epoch_seconds(count):
  counted = count((event(timestamp=NEW_YEAR_MS // 1000) + '\n' + event()).encode(),
                  timestamp_format='epoch_s')
  assert [cell.start for cell in counted.cells] == [NEW_YEAR_MS // 1000]
  assert [reject.reason for reject in counted.rejects] == ['out_of_range']


def test_item_path_of_one_event_type(count):
  rows = [event(event_type='song', metadata={'song': {'id': 's1'}}), event(item_id='plain'),
          event(event_type='song', metadata={'song': {'id': None}}),
          event(event_type='song', metadata={})]
  counted = count('\n'.join(rows).encode(), item_paths={'song': 'metadata.song.id'})
  assert boards(counted) == {('default', 'song', NEW_YEAR_MS // 1000): {'s1': 1},
                             ('default', 'play', NEW_YEAR_MS // 1000): {'plain': 1}}
  assert [(reject.reason, reject.field) for reject in counted.rejects] == [
      ('missing_field', 'item_id')] * 2


def test_event_is_too_late_once_its_window_ended_the_allowed_lateness_before_the_watermark(count):
  lines = [event(item_id='old'), event(item_id='new', timestamp=NEW_YEAR_MS + 60_000), 'broken']
  edge = NEW_YEAR_MS // 1000 + 60 + 30
  counted = count('\n'.join(lines).encode(), watermark_secs=edge, allowed_lateness_secs=30)
  assert [(late.reason, late.data) for late in counted.too_late] == [
      ('too_late', lines[0].encode())]
  assert [reject.reason for reject in counted.rejects] == ['malformed_json']
  assert only_board(counted) == {'new': 1}
  in_time = count('\n'.join(lines).encode(), watermark_secs=edge - 1, allowed_lateness_secs=30)
  assert not in_time.too_late and in_time.read == counted.read == 3


def test_kept_events_are_the_valid_ones_with_decoded_fields_and_offsets(count):
  lines = [event(event_id='e1', metadata={'a': 1}), '{bad', event(item_id='q"', weight=3)]
  data = '\n'.join(lines).encode()
  kept = count(data, keep_events=True).kept.to_pylist()
  assert [(row['item_id'], row['weight'], row['event_id'], row['metadata']) for row in kept] == [
      ('x', 1, 'e1', '{"a":1}'), ('q"', 3, None, None)]
  assert [row['offset'] for row in kept] == [1000, 1000 + data.index(lines[2].encode())]
  assert {row['tenant_id'] for row in kept} == {'default'}


def test_arrow_rows_are_judged_by_the_same_contract(count):
  table = pa.table({
      'event_type': ['play', 'play', None, 'play'],
      'timestamp': [NEW_YEAR_MS, NEW_YEAR_MS, NEW_YEAR_MS, 5],
      'item_id': [1, 1, 2, 3], 'weight': [2, None, 1, 1]})
  block = EventBlock(OriginRange('f', 0, 10, 14), table)
  counter = BlockCounter(CountingRules(MINUTE))
  counted = counter.count(block)
  counter.close()
  assert boards(counted) == {('default', 'play', NEW_YEAR_MS // 1000): {'1': 3}}
  assert [(reject.reason, reject.field, reject.offset) for reject in counted.rejects] == [
      ('missing_field', 'event_type', 12), ('out_of_range', 'timestamp', 13)]


def test_refused_parquet_rows_keep_columns_that_counting_never_read(tmp_path):
  path = tmp_path / 'rows.parquet'
  rows = [{'event_type': 'play', 'timestamp': NEW_YEAR_MS, 'item_id': item, 'note': 'n'}
          for item in ('a', 'a', 'b\x07', 'c\x7f', '', 'b\x07', '5', 'é' * 257)]
  pq.write_table(pa.Table.from_pylist(rows), path)
  (block,) = read_range(FileRange(str(path), 0, path.stat().st_size))
  counter = BlockCounter(CountingRules(MINUTE))
  counted = counter.count(block)
  counter.close()
  assert boards(counted) == {('default', 'play', NEW_YEAR_MS // 1000): {'a': 2, '5': 1}}
  assert [(r.reason, r.offset, json.loads(r.data)) for r in counted.rejects] == [
      ('bad_text', 2, rows[2]), ('bad_text', 3, rows[3]), ('out_of_range', 4, rows[4]),
      ('bad_text', 5, rows[5]), ('out_of_range', 7, rows[7])]


def test_texts_that_no_event_may_have_take_no_neighbours_along(count):
  lines = [event(item_id=item, tenant_id=tenant, event_type=kind) for item, tenant, kind in (
      ('a', 't', 'play'), ('a\x7f', 't', 'play'), ('a', 't\n', 'play'), ('a', 't', 'x' * 51),
      ('a"b', 't', 'play'), ('a\x7f', 't', 'play'), (7, 't', 'play'), ('7', 't', 'play'),
      (7.5, 't', 'play'), (-7, 't', 'play'), ('a\x7f', 'u', 'play'))]
  counted = count('\n'.join(lines).encode())
  assert boards(counted) == {
      ('t', 'play', NEW_YEAR_MS // 1000): {'a': 1, 'a"b': 1, '7': 2, '-7': 1}}
  assert [(r.reason, r.field, r.data) for r in counted.rejects] == [
      (reason, field, lines[place].encode()) for place, reason, field in (
          (1, 'bad_text', 'item_id'), (2, 'bad_text', 'tenant_id'),
          (3, 'out_of_range', 'event_type'), (5, 'bad_text', 'item_id'),
          (8, 'wrong_type', 'item_id'), (10, 'bad_text', 'item_id'))]


def first_wins(pairs):
  fields = {}
  for key, value in pairs:
    fields.setdefault(key, value)
  return fields


def is_good(line):
  """The contract once more, written plainly, to hold the query against."""
  try:
    fields = json.loads(line, object_pairs_hook=first_wins)
  except ValueError:
    return False
  if not isinstance(fields, dict):
    return False

  def text(value, chars):
    return isinstance(value, str) and 1 <= len(value) <= chars and not any(
        ord(char) < 32 or ord(char) == 127 for char in value)

  def whole(value):
    return isinstance(value, int) and not isinstance(value, bool)

  item, stamp, weight = fields.get('item_id'), fields.get('timestamp'), fields.get('weight')
  return (text(fields.get('event_type'), 50)
          and whole(stamp) and 946_684_800_000 <= stamp < 4_102_444_800_000
          and (whole(item) or (text(item, 512) and len(item.encode()) <= 512))
          and (fields.get('tenant_id') is None or text(fields['tenant_id'], 64))
          and (weight is None or (whole(weight) and 1 <= weight <= 10**12)))


ODD_CHARS = 'ab"\\/é😀\x00\x1f\x7f\x80\u2028 {}'
ODD_TEXT = st.text(st.sampled_from(ODD_CHARS), max_size=6) | st.sampled_from(
    ['x' * 50, 'x' * 51, 'x' * 64, 'x' * 65, 'é' * 50])
ODD_VALUE = st.one_of(
    ODD_TEXT, st.none(), st.booleans(), st.integers(-5, 5), st.sampled_from(
        [NEW_YEAR_MS, 946_684_799_999, 946_684_800_000, 4_102_444_799_999, 4_102_444_800_000,
         10**12, 10**12 + 1, 10**30, -10**30, 1.5, 1e12, 3.0, 2.5e-3]),
    st.just([1]), st.just({'a': 'b'}))


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.lists(st.fixed_dictionaries(
    {'event_type': st.just('play') | ODD_VALUE, 'timestamp': st.just(NEW_YEAR_MS) | ODD_VALUE,
     'item_id': ODD_TEXT | ODD_VALUE},
    optional={'tenant_id': ODD_VALUE, 'weight': ODD_VALUE, 'metadata': ODD_VALUE}),
    min_size=1, max_size=30))
def test_query_and_contract_agree_on_odd_events(events):
  lines = [json.dumps(fields, ensure_ascii=bool(i % 2)) for i, fields in enumerate(events)]
  data = '\n'.join(lines).encode()
  counter = BlockCounter(CountingRules(MINUTE))
  try:
    counted = counter.count(EventBlock(OriginRange('f', 0, 0, len(data)), data))
  finally:
    counter.close()
  assert counted.read == len(lines)
  assert [reject.data for reject in counted.rejects] == [
      line.encode() for line in lines if not is_good(line)]


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=40).map(lambda line: line.replace(b'\n', b'')), max_size=20))
def test_random_bytes_never_crash_and_are_all_accounted_for(lines):
  data = b'\n'.join(lines)
  counter = BlockCounter(CountingRules(MINUTE))
  try:
    counted = counter.count(EventBlock(OriginRange('f', 0, 0, len(data)), data))
  finally:
    counter.close()
  assert counted.read == len(counted.rejects) == sum(
      bool(line.strip(b' \t\r\n\v\f')) for line in lines)


# Blocks of messages: every line has an offset of its own.


def messages(values, late=None, raw=None, **fields):
  """A block of one message a line, whose offsets have gaps: 7, 17, 27, ..."""
  offsets = np.arange(7, 7 + 10 * len(values), 10)
  return EventBlock(OriginRange('kafka://t', 3, 7, int(offsets[-1]) + 1), b'\n'.join(values),
                    offsets=offsets, late=late, raw=raw, **fields)


@pytest.fixture
def counter():
  counter = BlockCounter(CountingRules(MINUTE, max_event_bytes=300, keep_events=True))
  yield counter
  counter.close()


def test_refused_messages_keep_their_own_offsets_and_bytes(counter):
  good, huge = event().encode(), event(item_id='x' * 300).encode()
  values = [good, b'{bad', huge, good, huge, b'{}', good, b'\x01', good, b'\x01']
  garbage = b'two\nlines'
  counted = counter.count(messages(values, raw={7: garbage, 9: b''}))
  assert sorted((r.offset, r.reason, r.data) for r in counted.rejects) == [
      (17, 'malformed_json', b'{bad'), (27, 'too_large', huge), (47, 'too_large', huge),
      (57, 'missing_field', b'{}'), (77, 'malformed_json', garbage),
      (97, 'malformed_json', b'')]
  assert {(r.source, r.partition) for r in counted.rejects} == {('kafka://t', 3)}
  assert counted.read == len(values)
  assert only_board(counted) == {'x': 4}
  assert counted.kept['offset'].to_pylist() == [7, 37, 67, 87]


def test_a_message_that_the_source_judged_too_late_is_not_counted(counter):
  huge = event(item_id='x' * 300).encode()
  values = [huge, event(item_id='a').encode(), event(item_id='a').encode(), b'{bad',
            event(item_id='b').encode(), event(item_id='a').encode()]
  late = np.array([False, False, True, True, True, False])
  counted = counter.count(messages(values, late))
  assert [(r.offset, r.reason, r.data) for r in counted.too_late] == [
      (27, 'too_late', values[2]), (47, 'too_late', values[4])]
  assert [r.reason for r in counted.rejects] == ['malformed_json', 'too_large']
  assert only_board(counted) == {'a': 2}
  assert counted.kept['offset'].to_pylist() == [17, 57]
  assert counted.read == 6


def test_event_times_of_messages(counter):
  values = [event(timestamp=NEW_YEAR_MS + 5).encode(), b'{bad', event(item_id='x' * 300).encode(),
            event(timestamp=NEW_YEAR_MS + 3).encode(), event(timestamp=1).encode(), b'{}',
            event(timestamp=NEW_YEAR_MS + 10**6).encode()]
  read_secs = NEW_YEAR_MS // 1000 + 60
  assert counter.event_times(messages(values, read_secs=read_secs)).tolist() == [
      NEW_YEAR_MS + 5, -1, -1, NEW_YEAR_MS + 3, -1, -1, read_secs * 1000]


def test_a_marked_message_is_refused_and_tells_no_time(counter):
  block = messages([b'\xef\xbb\xbf' + event().encode(), event().encode()])
  assert counter.event_times(block).tolist() == [-1, NEW_YEAR_MS]
  assert [(r.offset, r.reason) for r in counter.count(block).rejects] == [(7, 'malformed_json')]


@pytest.mark.parametrize('line', [
    b'\xef\xbb\xbf' + event(timestamp=NEW_YEAR_MS + 10**6).encode(),
    event(timestamp=NEW_YEAR_MS + 10**6, metadata='x' * 300).encode()])
def test_the_newest_time_is_none_of_a_line_that_is_refused_unread_wherever_it_stands(line):
  counter = BlockCounter(CountingRules(MINUTE, max_event_bytes=300))
  good = event().encode()
  for data in (line + b'\n' + good, good + b'\n' + line, good + b'\n' + line + b'\n' + good):
    block = EventBlock(OriginRange('f', 0, 0, len(data)), data)
    assert counter.latest_secs(block) == NEW_YEAR_MS // 1000
  counter.close()
