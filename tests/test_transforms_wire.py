"""The format: golden bytes, true bounds after rounding, and no trust in anyone's bytes."""
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leaderboard.transforms import wire
from leaderboard.transforms.columnar import merge_encoded
from leaderboard.transforms.heavyhitters import HeavyHitters


def example(candidates):
  summary = HeavyHitters(candidates=candidates, depth=2, width=4, seed=1, batch=3)
  for item, weight in (('JFK-LAX', 300), ('EWR-SFO', 2), ('é', 1), ('x', 1), ('y', 70_000)):
    summary.add(item, weight)
  return summary


GOLDEN = {
    4: (
        '544b484801000002040000000400000003000000050000000100000000000000a012010000000000'
        '05000000000000000000000000000000010401011200000000000000300000000000000001070701'
        '02701101002c0100000200000001000000010000000000000000794a464b2d4c41584557522d5346'
        '4f78c3a9d0cc1cd5'),
    1: (
        '544b484801010202010000000400000003000000010000000100000000000000a012010000000000'
        '05000000000000002c010000000000000104010201000000000000001f0000000000000001701101'
        '0000790200b8882c01000000000200b8882c01000100000000010049b24e44'),
}


@pytest.mark.parametrize('candidates', GOLDEN)
def test_golden_bytes(candidates):
  # A change of these bytes is a new version of the format.
  summary = example(candidates)
  assert summary.to_bytes(compress=False).hex() == GOLDEN[candidates]
  assert HeavyHitters.from_bytes(bytes.fromhex(GOLDEN[candidates])) == summary
  assert summary.exact == (candidates == 4)


@pytest.mark.parametrize('compress', [False, True])
@pytest.mark.parametrize('candidates', [1, 4])
def test_every_cut_and_every_flipped_bit_is_noticed(candidates, compress):
  data = example(candidates).to_bytes(compress)
  for end in range(len(data)):
    with pytest.raises(wire.CorruptSummary):
      HeavyHitters.from_bytes(data[:end])
  for bit in range(8 * len(data)):
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(wire.CorruptSummary):
      HeavyHitters.from_bytes(bytes(changed))
  with pytest.raises(wire.CorruptSummary):
    HeavyHitters.from_bytes(data + b'\0')


def resealed(data):
  """With a right checksum, as someone who means harm would send it."""
  return data[:-4] + struct.pack('<I', zlib.crc32(data[:-4]))


def test_unknown_version_is_named():
  data = bytearray(example(4).to_bytes())
  data[4] = 9
  with pytest.raises(wire.CorruptSummary, match='version 9 is not known'):
    HeavyHitters.from_bytes(bytes(data))


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([1, 4]), st.booleans(), st.data())
def test_absurd_headers_with_a_right_checksum_are_refused_without_large_allocations(
    candidates, compress, data):
  encoded = bytearray(example(candidates).to_bytes(compress))
  for _ in range(data.draw(st.integers(1, 3))):
    place = data.draw(st.integers(0, 83))
    value = data.draw(st.binary(min_size=1, max_size=8))
    encoded[place:place + len(value)] = value
  hostile = resealed(bytes(encoded))
  for read in (HeavyHitters.from_bytes,
               lambda bytes_: merge_encoded([bytes_, bytes_])):   # without an object per item
    tracemalloc.start()
    try:
      read(hostile)
    except (wire.CorruptSummary, OverflowError):
      pass   # twice a total that is possible may not be
    finally:
      peak = tracemalloc.get_traced_memory()[1]
      tracemalloc.stop()
    assert peak < 4 << 20


def forged(kind=wire.EXACT, lengths=(1, 1), lowers=(2, 1), spans=(0, 0), text=b'ab', tau=0,
           total=3, table=()):
  """The bytes of two items, a: 2 and b: 1, or what someone would have us believe instead."""
  return wire.encode(wire.Columns(
      kind, 1, 2, 4, 4, 0, total, 3, tau, np.array(lengths, np.int64), np.array(lowers, np.int64),
      np.array(spans, np.int64), text, np.array(table, np.int64)), compress=False)


SPILLED = {'kind': wire.SPILLED, 'table': (3, 2)}


def test_what_is_forged_in_the_next_test_is_right_but_for_one_lie():
  for fields in ({}, SPILLED):
    assert HeavyHitters.from_bytes(forged(**fields)).bounds('a') == (2, 2)


@pytest.mark.parametrize(('lie', 'problem'), [
    ({'lengths': (2**40, -1)}, '63 bits'),
    ({'lengths': (2, 1)}, 'add up to their text'),
    ({'lengths': (2**62, 2)}, 'add up to their text'),
    ({'lowers': (2**40, -1)}, '63 bits'),
    ({'lowers': (2**62, 2**62)}, 'add up to the total'),
    ({'total': 4}, 'add up to the total'),
    ({'total': -1}, 'values that no summary has'),
    ({'text': b'aa'}, 'stands twice'),
    ({'text': b'a\xff'}, 'no summary'),
    ({**SPILLED, 'spans': (2**63 - 1, 0)}, 'beyond the total'),
    ({**SPILLED, 'spans': (2, 0)}, 'beyond the total'),
    ({**SPILLED, 'tau': 4}, 'beyond the total'),
    ({**SPILLED, 'table': (4, 1)}, 'beyond the total'),
])
def test_lies_with_a_right_checksum_are_refused(lie, problem):
  with pytest.raises(wire.CorruptSummary, match=problem):
    HeavyHitters.from_bytes(forged(**lie))
  if 'stands' not in problem and problem != 'no summary':
    with pytest.raises(wire.CorruptSummary, match=problem):
      merge_encoded([forged(), forged(**lie)])


def test_nothing_may_follow_the_packed_body():
  data = example(4).to_bytes(compress=True)
  body = data[76:-4]
  for more in (body + b'x', body + body):
    longer = data[:68] + struct.pack('<Q', len(more)) + more + data[-4:]
    with pytest.raises(wire.CorruptSummary, match='does not end where'):
      HeavyHitters.from_bytes(resealed(longer))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_are_refused(data):
  with pytest.raises(wire.CorruptSummary):
    HeavyHitters.from_bytes(data)


@given(st.lists(st.integers(0, 2**63 - 1) | st.integers(0, 2**18) | st.integers(0, 70).map(
    lambda bits: min(2**bits, 2**63 - 1)), min_size=1, max_size=50))
def test_rounded_cells_are_never_smaller_and_hardly_larger(cells):
  table = np.array(cells, np.int64)
  rounded, shifts = wire._scale(table)
  restored = [int(cell) << int(shift) for cell, shift in zip(
      rounded, shifts if len(shifts) else [0] * len(cells), strict=True)]
  for cell, value in zip(cells, restored, strict=True):
    assert cell <= value <= cell + cell // 2**14 + (0 if cell < 2**16 else 1)
  again, more = wire._scale(np.array([min(value, 2**63 - 1) for value in restored], np.int64))
  assert rounded.max() < 2**16 and (not len(more) or again.max() < 2**16)
