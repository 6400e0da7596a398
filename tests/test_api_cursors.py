"""Pages follow each other in both directions; cursors are of one query, and refused otherwise."""
import base64
import random
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaderboard.api.brackets import Brackets
from leaderboard.api.cursors import MAX_CHARS, Cursor, decode, encode, page
from leaderboard.transforms.boards import Row

QUERY = ('acme', 'play', '1h')
TEXT = st.text(st.characters(exclude_categories=('Cs', 'Cc')), min_size=1, max_size=128)


def board_of(counts):
  ranked = sorted(counts, key=lambda item: (-counts[item], item))
  return Brackets.of_rows([Row(item, counts[item], counts[item]) for item in ranked], 0,
                          sum(counts.values()))


def walk(board, k, revision=(0, 1)):
  """All pages from the first to the last."""
  cursor, pages = None, []
  while True:
    found = page(board, 0, 3600, revision, k, cursor)
    pages.append(found)
    if found.next is None:
      return pages
    cursor = decode(encode(found.next, QUERY), QUERY)


@pytest.mark.parametrize('k', [1, 2, 3, 7, 100])
def test_pages_cover_the_board_once_and_lead_back(k):
  rng = random.Random(k)
  board = board_of({f'i{place}': rng.randint(1, 5) for place in range(23)})
  pages = walk(board, k)
  assert [row for found in pages for row in range(found.first, found.last)] == list(range(23))
  assert pages[0].previous is None
  for earlier, later in zip(pages, pages[1:], strict=False):
    back = page(board, 0, 3600, (0, 1), k, later.previous)
    assert (back.first, back.last, back.moved) == (earlier.first, earlier.last, False)


def test_page_of_a_board_that_moved_goes_on_behind_the_row_that_was_last():
  before = page(board_of({'a': 9, 'b': 7, 'c': 7, 'd': 1}), 0, 60, (0, 24), 2)
  now = board_of({'c': 12, 'a': 9, 'b': 8, 'd': 7, 'e': 7})
  found = page(now, 0, 60, (0, 43), 2, before.next)   # behind b with 7
  assert [now.items[row] for row in range(found.first, found.last)] == ['d', 'e'] and found.moved
  back = page(now, 0, 60, (0, 43), 2, found.previous)
  assert [now.items[row] for row in range(back.first, back.last)] == ['a', 'b'] and not back.moved
  # The row itself is still there, at its old count: it is not shown again.
  now = board_of({'a': 9, 'b': 7, 'c': 7, 'd': 7})
  found = page(now, 0, 60, (0, 30), 2, before.next)
  assert [now.items[row] for row in range(found.first, found.last)] == ['c', 'd']


def test_page_beyond_the_end_is_empty():
  found = page(board_of({'a': 1}), 0, 60, (0, 1), 5, Cursor(0, 60, 0, 1, 99, False, 1, 'a'))
  assert (found.first, found.last, found.next, found.previous) == (1, 1, None, None)
  empty = page(board_of({}), 0, 60, (0, 0), 5)
  assert (empty.first, empty.last, empty.next, empty.previous) == (0, 0, None, None)


@given(TEXT, st.integers(0, 2**63 - 1), st.integers(0, 2**33 - 1), st.booleans())
def test_any_cursor_is_read_back(item, number, moment, backwards):
  cursor = Cursor(moment, moment, 3, number, 7, backwards, number, item)
  text = encode(cursor, QUERY)
  assert decode(text, QUERY) == cursor and len(text) <= MAX_CHARS
  assert set(text) <= set(string.ascii_letters + string.digits + '-_')
  with pytest.raises(ValueError, match='no cursor of this query'):
    decode(text, (*QUERY, 'live'))
  with pytest.raises(ValueError, match='no cursor of this query'):
    decode(text[:-2], QUERY)


@given(st.text(max_size=200))
def test_any_other_text_is_refused(text):
  with pytest.raises(ValueError, match='no cursor of this query'):
    decode(text, QUERY)


@pytest.mark.parametrize('payload', [b'[]', b'{}', b'[' * 900, b'[1,2,3,4,5,true,1.5,"a"]',
                                     b'[1,2,3,4,1e400,true,1,"a"]', b'[1,2,3,4,5,true,"1","a"]',
                                     b'[99999999999999999999,2,3,4,5,true,1,"a"]', b'\xff',
                                     b'[1,2,3,4,-5,true,1,"a"]',
                                     b'[1,9999999999,3,4,5,true,1,"a"]'])
def test_payload_that_no_answer_held_is_refused_though_its_digest_fits(payload, monkeypatch):
  monkeypatch.setattr('leaderboard.api.cursors._digest', lambda *_: b'12345678')
  with pytest.raises(ValueError, match='no cursor of this query'):
    decode(base64.urlsafe_b64encode(b'12345678' + payload).decode().rstrip('='), QUERY)
