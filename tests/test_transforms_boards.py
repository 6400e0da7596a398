"""Window sizes: what nests, what does not, and every second in exactly one window."""
import datetime
import itertools
import pickle
import zoneinfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leaderboard.transforms import calendars
from leaderboard.transforms.boards import (
    WindowSize,
    add_sliding_sizes,
    parse_secs,
    parse_window_size,
    parse_window_sizes,
)

ZONES = ['UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Kolkata', 'Australia/Lord_Howe',
         'America/St_Johns', 'America/Havana', 'America/Sao_Paulo', 'Pacific/Apia',
         'Antarctica/Casey', 'America/Nuuk', 'Asia/Gaza']
# Events lie from 2000 to 2100.
MOMENTS = st.integers(946_684_800, 4_102_444_799)


def at(text, zone='UTC'):
  moment = datetime.datetime.fromisoformat(text).replace(tzinfo=zoneinfo.ZoneInfo(zone))
  return int(moment.timestamp())


def hours(label, day, zone):
  size = parse_window_size(label, zone)
  start = size.start(at(f'{day}T12:00', zone))
  return (size.end(start) - start) / 3600


def test_sizes_are_read_and_ordered():
  assert parse_window_sizes('1d, 1m,90m,30s') == [
      WindowSize('30s', 30), WindowSize('1m', 60), WindowSize('90m', 5400),
      WindowSize('1d', 86_400)]


@pytest.mark.parametrize(('text', 'problem'), [
    ('', "got ''"), ('1x', "got '1x'"), ('0m', "got '0m'"), ('-1m', "got '-1m'"),
    ('1.5h', "got '1.5h'"), ('2w', "got '2w'"), ('60s,1m', '60s and 1m are the same'),
    ('1d,24h', '1d and 24h are the same'), ('1h,1w,1w', '1w and 1w are the same'),
    ('2m,5m', '5m is not a whole number of 2m: add 1m'),
    ('1w,1mo', '1mo of UTC is not a whole number of 1w of UTC: add 1d'),
    ('7d,1mo', '1mo of UTC is not a whole number of 7d: add 1d'),
    ('1w', 'must have a fixed length; got 1w of UTC; add 1h'),
    ('1m,1h/1m', 'a sliding size goes into --sliding, got 1h_every_1m')])
def test_bad_sizes_are_named(text, problem):
  with pytest.raises(ValueError, match=problem):
    parse_window_sizes(text)


@pytest.mark.parametrize(('text', 'zone', 'problem'), [
    ('1h,1d', 'Asia/Kolkata', '1d of Asia/Kolkata is not a whole number of 1h: add 30m'),
    ('1h,1mo', 'Australia/Lord_Howe', 'is not a whole number of 1h: add 30m'),
    ('2h,1d', 'Europe/Berlin', '1d of Europe/Berlin is not a whole number of 2h: add 1h'),
    ('1d,1mo', 'Europe/Berlin', 'fixed length; got 1d of Europe/Berlin; add 1h to it'),
    ('1h,2d', 'Europe/Berlin', "write 48h for windows of UTC, got '2d' with Europe/Berlin"),
    ('1h,1d', 'Berlin', "'Berlin' is no time zone that this machine knows; .* Europe/Berlin"),
    ('1h,1d', 'Europe', "'Europe' is no time zone"), ('1h,1d', '', "'' is no time zone"),
    ('1h,1d', '../passwd', "'../passwd' is no time zone")])
def test_what_does_not_nest_in_a_calendar_is_refused_with_a_remedy(text, zone, problem):
  with pytest.raises(ValueError, match=problem):
    parse_window_sizes(text, zone)


@pytest.mark.parametrize(('text', 'zone', 'fed'), [
    ('1m,5m,1h,1d', 'UTC', ['', '1m', '5m', '1h']),
    ('1m,2m,3m,6m', 'UTC', ['', '1m', '1m', '3m']),
    ('1m,1h,1d,1w,1mo', 'UTC', ['', '1m', '1h', '1d', '1d']),
    ('30m,1h,1d,1w,1mo', 'Asia/Kolkata', ['', '30m', '30m', '1d', '1d']),
    ('1h,24h,1d,1mo', 'America/New_York', ['', '1h', '1h', '1d']),
    ('15m,1h,1w,1mo', 'Europe/Berlin', ['', '15m', '1h', '1h'])])
def test_each_size_is_fed_by_the_coarsest_that_nests(text, zone, fed):
  sizes = parse_window_sizes(text, zone)
  assert [getattr(size.feeder(sizes), 'label', '') for size in sizes] == fed
  for size in sizes[1:]:
    assert sizes.index(size.feeder(sizes)) < sizes.index(size)


@pytest.mark.parametrize(('text', 'problem'), [
    ('1h', 'a size and its period, such as 1h/1m; got 1h'),
    ('1h/1h', 'two or more whole periods, such as 1h/1m; got 1h/1h'),
    ('1h/7m', 'got 1h/7m'), ('1h/x', "got 'x'"), ('1mo/1d', "got '1mo'"), ('1h/', "got '1h/'"),
    ('2h/1m', 'at most 60 periods long, got 2h/1m of 120; take a period of at least 2m'),
    ('1h/2m', '1h_every_2m is made of windows of its period: add 2m to --windows'),
    ('1h/1m,60m/60s', 'are the same window size')])
def test_bad_sliding_sizes_are_named(text, problem):
  with pytest.raises(ValueError, match=problem):
    add_sliding_sizes(parse_window_sizes('1m,1h'), text)


def test_sliding_size_is_fed_by_its_period_and_read_back_from_its_label():
  sizes = add_sliding_sizes(parse_window_sizes('1m,1h,1mo', 'Europe/Berlin'), '1h/1m, 24h/1h')
  assert [(size.label, size.feeder(sizes) and size.feeder(sizes).label) for size in sizes] == [
      ('1m', None), ('1h_every_1m', '1m'), ('1h', '1m'), ('24h_every_1h', '1h'), ('1mo', '1h')]
  assert parse_window_size('1h_every_1m') == sizes[1]
  assert pickle.loads(pickle.dumps(sizes)) == sizes
  with pytest.raises(ValueError, match='1d_every_1h is made of windows of its period: add 1h'):
    add_sliding_sizes(parse_window_sizes('1m'), '1d/1h')


def test_window_start_is_floored_before_the_epoch_too():
  assert parse_window_size('1h').start(-1) == -3600
  assert parse_window_size('2h/1h').starts(-1) == [-7200, -3600]


@pytest.mark.parametrize(('day', 'zone', 'length'), [
    ('2013-03-30', 'Europe/Berlin', 24), ('2013-03-31', 'Europe/Berlin', 23),
    ('2013-10-27', 'Europe/Berlin', 25), ('2013-03-10', 'America/New_York', 23),
    ('2013-11-03', 'America/New_York', 25), ('2013-04-07', 'Australia/Lord_Howe', 24.5),
    ('2013-10-06', 'Australia/Lord_Howe', 23.5), ('2010-11-07', 'America/St_Johns', 24),
    ('2013-11-03', 'America/Havana', 25), ('2011-12-29', 'Pacific/Apia', 24),
    ('2011-12-31', 'Pacific/Apia', 24), ('2087-03-30', 'Europe/Berlin', 23)])
def test_days_on_which_clocks_change(day, zone, length):
  assert hours('1d', day, zone) == length


def test_what_clocks_show_twice_belongs_to_the_day_before():
  # From 00:01 they went back to 23:01: a minute of Sunday came before the last of Saturday.
  size = parse_window_size('1d', 'America/St_Johns')
  start = size.start(at('2010-11-06T12:00', 'America/St_Johns'))
  first_pass = at('2010-11-07T00:00:30', 'America/St_Johns')
  assert size.start(first_pass) == start and size.end(start) - start == 25 * 3600


def test_day_whose_midnight_is_skipped_starts_with_the_next_second():
  size = parse_window_size('1d', 'America/Sao_Paulo')
  start = size.start(at('2013-10-20T12:00', 'America/Sao_Paulo'))
  shown = datetime.datetime.fromtimestamp(start, zoneinfo.ZoneInfo('America/Sao_Paulo'))
  assert (shown.isoformat(), (size.end(start) - start) / 3600) == ('2013-10-20T01:00:00-02:00', 23)


def test_months_and_iso_weeks():
  month, week = (parse_window_size(label, 'Europe/Berlin') for label in ('1mo', '1w'))
  assert [hours('1mo', f'2012-{number:02}-01', 'Europe/Berlin') / 24 for number in (1, 2, 4)] == [
      31, 29, 30]
  march = month.start(at('2013-03-31T23:59', 'Europe/Berlin'))
  assert (month.end(march) - march) / 3600 == 31 * 24 - 1
  assert month.end(march) == at('2013-04-01T00:00', 'Europe/Berlin')
  # The first week of 2013 starts on Monday, the last day of 2012.
  monday = week.start(at('2013-01-03T12:00', 'Europe/Berlin'))
  assert monday == at('2012-12-31T00:00', 'Europe/Berlin')
  assert week.end(monday) == at('2013-01-07T00:00', 'Europe/Berlin')
  assert parse_window_size('1w').start(at('1970-01-05T00:00')) == 4 * 86_400
  assert parse_window_size('1mo').start(at('1969-12-31T23:00')) == at('1969-12-01T00:00')


@settings(max_examples=300, deadline=None)
@given(MOMENTS, st.sampled_from(ZONES), st.sampled_from(['1d', '1w', '1mo']))
def test_windows_follow_each_other_and_hold_every_second_once(moment, zone, label):
  size = parse_window_size(label, zone)
  start = size.start(moment)
  end = size.end(start)
  assert start <= moment < end
  assert size.starts(moment) == [start] == [size.start(start)] == [size.start(end - 1)]
  assert size.start(end) == end and size.end(size.start(start - 1)) == start
  # As the clocks of the zone say it; a day that they show twice in part has what they repeat.
  shown, first, last = (datetime.datetime.fromtimestamp(second, zoneinfo.ZoneInfo(zone)).date()
                        for second in (moment, start, end - 1))
  assert first <= last
  if label == '1mo':
    assert first.day == 1
    assert (first.year, first.month) == (last.year, last.month)
  if label == '1w':
    assert first.isocalendar()[:2] == last.isocalendar()[:2] and first.weekday() == 0
  if zone not in ('America/St_Johns', 'Antarctica/Casey'):
    assert first <= shown <= last


@settings(max_examples=100, deadline=None)
@given(MOMENTS, st.sampled_from(ZONES))
def test_finer_windows_lie_whole_in_those_that_they_nest_in(moment, zone):
  base = calendars.grain_secs(calendars.DAY, zone)
  sizes = parse_window_sizes(f'{min(base, 3600)}s,1d,1w,1mo', zone)
  for fine, coarse in itertools.product(sizes, sizes):
    if fine.nests_in(coarse):
      start = fine.start(moment)
      assert coarse.start(start) == coarse.start(moment) == coarse.start(fine.end(start) - 1)


@given(MOMENTS, st.sampled_from(['1h/1m', '24h/1h', '90s/30s']))
def test_sliding_windows_that_hold_a_second(moment, text):
  size = parse_window_size(text)
  expected = [start for start in range(moment - size.secs, moment + 1)
              if start % size.period_secs == 0 and start <= moment < size.end(start)]
  assert size.starts(moment) == expected and size.start(moment) == expected[0]


def test_durations_are_no_calendar():
  assert parse_secs(' 2h ') == 7200
  with pytest.raises(ValueError, match="such as 5m; got '1mo'"):
    parse_secs('1mo')
