"""Murmur3 as everyone knows it, and columns cut from it."""
import mmh3
import numpy as np
import pytest

from leaderboard.transforms.hashing import columns


@pytest.mark.parametrize(('text', 'digest'), [
    ('hello', 'cbd8a7b341bd9b025b1e906a48ae1d19'),
    ('hello, world', '342fac623a5ebc8e4cdcbc079642414d'),
    ('foo', 'e271865701f545617eaf87e42bba7d87')])
def test_known_answers(text, digest):
  low, high = np.frombuffer(mmh3.mmh3_x64_128_digest(text.encode(), 0), '<u8')
  assert f'{low:016x}{high:016x}' == digest


@pytest.mark.parametrize(('digest', 'size', 'expected'), [
    (mmh3.mmh3_x64_128_digest, 16, 0x6384BA69), (mmh3.mmh3_32_digest, 4, 0xB0F57EE3),
    (mmh3.mmh3_x86_128_digest, 16, 0xB3ECE62A)])
def test_smhasher_verification(digest, size, expected):
  keys = b''.join(digest(bytes(range(n)), 256 - n) for n in range(256))
  assert int.from_bytes(digest(keys, 0)[:4], 'little') == expected
  assert len(keys) == 256 * size


def test_columns_are_lanes_scaled_to_the_width():
  lanes = np.frombuffer(mmh3.mmh3_x64_128_digest(b'foo', 3), '<u4')
  more = np.frombuffer(mmh3.mmh3_x64_128_digest(b'foo', 4), '<u4')
  for width in (1, 10, 8192, 2**31 - 1):
    expected = [int(lane) * width >> 32 for lane in [*lanes, *more]]
    assert columns(['foo'], 8, width, 3)[:, 0].tolist() == expected
    assert columns(['bar', 'foo'], 2, width, 3)[:, 1].tolist() == expected[:2]
  assert columns(['foo', 'bar'], 0, 5, 0).shape == (0, 2)
