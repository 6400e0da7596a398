"""Replays: the order of the files, a watermark that never goes back, a start from any mark."""
import gzip
import json
import os

import pytest

from leaderboard.io import filesio, replayio
from leaderboard.transforms.boards import parse_window_size
from leaderboard.transforms.counting import CountingRules

START = 1_356_998_400


def line(second, **more):
  event = {'event_type': 'play', 'item_id': 'x', 'timestamp': (START + second) * 1000, **more}
  return json.dumps(event).encode() + b'\n'


@pytest.fixture
def replay(tmp_path):
  """A plain and a gzip file, read in blocks of a few lines, ten seconds out of order."""
  (tmp_path / 'a.jsonl').write_bytes(b''.join(line(second) for second in (0, 40, 20, 5, 90, 60)))
  with gzip.open(tmp_path / 'b.jsonl.gz', 'wb') as file:
    file.write(b''.join(line(second) for second in (100, 80, 300)))
  return replayio._Replay(filesio.match_files(f'{tmp_path}/*'),
                          CountingRules(parse_window_size('1m')), 10, 2 * len(line(10)))


def drained(reader):
  """(lines of a block, its watermark, the reader's watermark behind it, mark) of every block."""
  blocks = []
  while reader.advance():
    block = reader.get_current()
    blocks.append((bytes(block.data), block.watermark_secs, reader.get_watermark(),
                   reader.get_checkpoint_mark()))
  reader.close()
  return blocks


def test_every_line_comes_once_in_order(replay):
  data = b''.join(block for block, *_ in drained(replay.create_reader(None, None)))
  seconds = [json.loads(text)['timestamp'] // 1000 - START for text in data.splitlines()]
  assert seconds == [0, 40, 20, 5, 90, 60, 100, 80, 300]


def test_watermark_stays_behind_the_newest_event_and_never_goes_back(replay):
  blocks = drained(replay.create_reader(None, None))
  newest, before = None, None
  for data, watermark, after, _ in blocks:
    assert watermark == before
    times = [json.loads(text)['timestamp'] // 1000 for text in data.splitlines()]
    newest = max(times if newest is None else [newest, *times])
    before = newest - 10
    assert int(after) == before
  assert replay.create_reader(None, blocks[-1][3]).advance() is False


def test_replay_goes_on_from_any_mark(replay):
  whole = drained(replay.create_reader(None, None))
  coder = replay.get_checkpoint_mark_coder()
  for done, (*_, mark) in enumerate(whole, 1):
    rest = drained(replay.create_reader(None, coder.decode(coder.encode(mark))))
    assert [block[:3] for block in rest] == [block[:3] for block in whole[done:]]


def test_an_event_of_the_future_never_pushes_the_watermark_past_the_clock(tmp_path):
  path = tmp_path / 'a.jsonl'
  path.write_bytes(line(0) + b'{"event_type":"play","item_id":"x","timestamp":4000000000000}\n')
  replay = replayio._Replay(filesio.match_files(str(path)),
                            CountingRules(parse_window_size('1m'), clamp_future=True), 0, 1 << 20)
  reader = replay.create_reader(None, None)
  assert reader.advance()
  assert int(reader.get_watermark()) == reader.get_current().read_secs
  reader.close()


def test_blocks_without_a_time_leave_the_watermark_alone(tmp_path):
  path = tmp_path / 'a.jsonl'
  path.write_bytes(line(50) + b'{"event_type":"play"}\n' * 20)
  replay = replayio._Replay(filesio.match_files(str(path)),
                            CountingRules(parse_window_size('1m')), 0, 60)
  assert {int(after) for _, _, after, _ in drained(replay.create_reader(None, None))} == {
      START + 50}


@pytest.fixture
def watched(tmp_path):
  return replayio._Replay([], CountingRules(parse_window_size('1m')), 10, 1 << 20,
                          f'{tmp_path}/*.jsonl', 1)


def look(reader, times=2):
  """Seconds of the events that so many looks bring."""
  found = []
  for _ in range(times):
    reader._looked -= 1
    while reader.advance():
      found += [json.loads(text)['timestamp'] // 1000 - START
                for text in bytes(reader.get_current().data).splitlines()]
  return found


def test_watched_files_are_read_once_when_they_have_stopped_growing(
    watched, tmp_path):
  reader = watched.create_reader(None, None)
  assert not reader.start()
  (tmp_path / 'b.jsonl').write_bytes(line(100))
  assert look(reader, 1) == []
  with open(tmp_path / 'b.jsonl', 'ab') as file:   # it was still growing
    file.write(line(110))
  assert look(reader, 1) == []
  assert look(reader, 1) == [100, 110]
  assert look(reader) == []
  assert reader.get_watermark() == replayio._timestamp(START + 100)
  reader.close()


def test_watch_goes_on_from_a_mark_and_takes_nothing_twice(watched, tmp_path):
  for number in range(3):
    path = tmp_path / f'{2 - number}.jsonl'
    path.write_bytes(line(number))
    os.utime(path, (1000 + number, 1000 + number))
  first = watched.create_reader(None, None)
  first.start()
  first._looked -= 1
  assert first.advance()   # by time, not by name
  assert json.loads(bytes(first.get_current().data))['timestamp'] == START * 1000
  mark = watched.get_checkpoint_mark_coder()
  mark = mark.decode(mark.encode(first.get_checkpoint_mark()))
  first.close()
  (tmp_path / '9.jsonl').write_bytes(line(9))
  second = watched.create_reader(None, mark)
  assert second.start()
  assert [1, *look(second)] == [1, 2, 9]
  second.close()
