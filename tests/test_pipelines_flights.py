"""The sample input: real flights, out of order as they departed."""
import gzip
import hashlib
import json
import pathlib

import pytest

from leaderboard.pipelines import flights

SAMPLE = pathlib.Path(__file__).parent / 'data' / 'flights-sample.jsonl.gz'


@pytest.fixture(scope='module')
def stream(tmp_path_factory):
  path = tmp_path_factory.mktemp('flights') / 'flights.jsonl'
  flights.write_flights(path)
  return path


@pytest.mark.slow
def test_stream_is_the_same_bytes_every_time(stream, tmp_path):
  again = tmp_path / 'again.jsonl'
  flights.write_flights(again)
  digests = {hashlib.sha256(path.read_bytes()).hexdigest() for path in (stream, again)}
  assert digests == {'32a84bd5524f8e7a0210e86be96ff56786faf590e0bca83b5f10de43f90b79c0'}


@pytest.mark.slow
def test_stream_holds_every_flight_three_times_and_most_out_of_order(stream):
  events = untimed = itemless = departures = behind = 0
  newest = 0
  delays = []
  with open(stream, 'rb') as lines:
    for number, line in enumerate(lines):
      event = json.loads(line)
      events += 1
      untimed += event['timestamp'] is None
      itemless += event['item_id'] is None
      if number % 3 == 0 and event['timestamp'] is not None:
        departures += 1
        if event['timestamp'] < newest:
          behind += 1
          delays.append(newest - event['timestamp'])
        newest = max(newest, event['timestamp'])
  assert (events, untimed, itemless, departures) == (3 * 336_776, 3 * 8_255, 2_512, 328_521)
  assert round(behind / departures, 2) == 0.59
  assert sorted(delays)[len(delays) // 2] == 10 * 60_000
  assert max(delays) == 1300 * 60_000   # 21.7 hours


@pytest.mark.slow
def test_small_sample_is_a_stretch_of_the_stream(stream):
  assert gzip.decompress(SAMPLE.read_bytes()) in stream.read_bytes()


def test_missing_package_is_named(monkeypatch, tmp_path, capsys):
  monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
  assert flights.main([f'--output={tmp_path / "flights.jsonl"}']) == 1
  assert capsys.readouterr().err.startswith(
      'flights: the job failed: the flights come with a package')


def test_place_that_cannot_be_is_told_with_a_remedy(capsys):
  assert flights.main(['--output=/proc/nope/flights.jsonl']) == 2
  error = capsys.readouterr().err
  assert error.startswith("flights: --output: cannot write to '/proc/nope': ")
  assert 'name a folder that this user may write to' in error and error.count('\n') == 1
