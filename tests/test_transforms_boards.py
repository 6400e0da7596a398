"""Window sizes: what nests, what does not."""
import pytest

from leaderboard.transforms.boards import WindowSize, parse_window_size, parse_window_sizes


def test_sizes_are_read_and_ordered():
  assert parse_window_sizes('1d, 1m,90m,30s') == [
      WindowSize('30s', 30), WindowSize('1m', 60), WindowSize('90m', 5400),
      WindowSize('1d', 86_400)]


@pytest.mark.parametrize(('text', 'problem'), [
    ('', "got ''"), ('1x', "got '1x'"), ('0m', "got '0m'"), ('-1m', "got '-1m'"),
    ('1.5h', "got '1.5h'"), ('60s,1m', '60s and 1m are the same'),
    ('2m,5m', '5m is not a whole number of 2m')])
def test_bad_sizes_are_named(text, problem):
  with pytest.raises(ValueError, match=problem):
    parse_window_sizes(text)


def test_window_start_is_floored_before_the_epoch_too():
  assert parse_window_size('1h').start(-1) == -3600
