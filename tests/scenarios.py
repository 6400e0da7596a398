"""What may happen to events in time, as data: the golden scenarios of every runner.

A scenario is a list of steps: a block of events arrives, then the source's watermark moves. A
plain second writing of the rules (`outcome`) tells what must stand in the stores in the end.
"""
import collections
import dataclasses
import json
import random
from typing import NamedTuple

from leaderboard.transforms.boards import parse_window_sizes

START = 1_356_998_400   # 2013-01-01
MINUTE, HOUR, DAY = 60, 3600, 86_400

Board = tuple[str, str, int]   # tenant, event type, start


class Event(NamedTuple):
  """An event, its time in seconds after START."""
  second: float
  item: str = 'a'
  tenant: str = 'acme'
  event_type: str = 'play'


@dataclasses.dataclass(frozen=True)
class Step:
  """What one block brings, and what follows it.

  Attributes:
    events: of the block; none for a source that only tells the time.
    watermark: afterwards, seconds after START; None to leave it.
    pause_secs: how long the source is silent afterwards.
  """
  events: list[Event] = dataclasses.field(default_factory=list)
  watermark: int | None = None
  pause_secs: float = 0


@dataclasses.dataclass(frozen=True)
class Scenario:
  """A course of events and what it must lead to, counted by hand.

  Attributes:
    read_secs: the clock of the source, seconds after START.
    flags: of the main job.
    too_late, rejected: events set apart.
    needs_clock: only runners whose clock publishes early boards can play it.
    revisions: events of the first minute's board at each time it is published, by a runner
      that fires as the watermark moves; empty where that is not asked.
  """
  name: str
  steps: list[Step]
  windows: str = '1m,5m,1h'
  lateness: int = 10 * MINUTE
  flags: tuple[str, ...] = ()
  read_secs: int = 3650 * DAY
  too_late: int = 0
  rejected: int = 0
  needs_clock: bool = False
  revisions: tuple[int, ...] = ()

  @property
  def events(self) -> list[Event]:
    return [event for step in self.steps for event in step.events]

  def __str__(self) -> str:
    return self.name


@dataclasses.dataclass
class Outcome:
  """What the stores must hold: {size label: {board: {item: count}}} and events set apart."""
  boards: dict[str, dict[Board, collections.Counter[str]]]
  too_late: list[Event]
  rejected: list[Event]


def as_line(event: Event) -> bytes:
  return json.dumps({
      'event_type': event.event_type, 'tenant_id': event.tenant, 'item_id': event.item,
      'timestamp': round((START + event.second) * 1000)}).encode() + b'\n'


def outcome(scenario: Scenario) -> Outcome:
  """Plays a scenario by the rules alone: no blocks, no windows, no runner."""
  sizes = parse_window_sizes(scenario.windows)
  boards = {size.label: collections.defaultdict(collections.Counter) for size in sizes}
  result = Outcome(boards, [], [])
  watermark = None
  for step in scenario.steps:
    for event in step.events:
      second = event.second
      if second > scenario.read_secs + DAY:
        if '--future=clamp' not in scenario.flags:
          result.rejected.append(event)
          continue
        second = scenario.read_secs
      moment = int(START + second // 1)
      end = sizes[0].start(moment) + sizes[0].secs
      if watermark is not None and end + scenario.lateness <= START + watermark:
        result.too_late.append(event)
        continue
      for size in sizes:
        boards[size.label][event.tenant, event.event_type, size.start(moment)][event.item] += 1
    if step.watermark is not None:
      watermark = step.watermark
  return result


def _mixed(seed: int) -> list[Step]:
  """Two hours in which three of ten events are late, a few of them too late."""
  rng = random.Random(seed)
  steps = []
  for number in range(24):
    now = number * 5 * MINUTE
    events = []
    for _ in range(20):
      late = rng.random() < 0.3
      second = now - rng.uniform(0, 20 * MINUTE) if late else now + rng.uniform(0, 5 * MINUTE)
      events.append(Event(max(0, second), rng.choice('abcde')))
    steps.append(Step(events, now))
  return steps


def _many(boards: int) -> list[Step]:
  return [Step([Event(1, f'i{n}', f't{n}') for n in range(boards)], 30),
          Step([Event(2, f'i{n}', f't{n}') for n in range(0, boards, 10)], HOUR)]


SCENARIOS = [
    Scenario('on time', [
        Step([Event(5), Event(30, 'b'), Event(59.999)], 60),
        Step([Event(60), Event(119, 'b')], 120),
        Step([Event(301), Event(3599, 'c')], 3600)]),
    Scenario('speculative', [
        Step([Event(5), Event(30, 'b')], 31, pause_secs=4),
        Step([Event(31), Event(45, 'c')], 46, pause_secs=4),
        Step([Event(59)], 7200)], flags=('--early=1s',), needs_clock=True,
             revisions=(2, 4, 5)),
    Scenario('late but unobserved', [
        Step([Event(30)], 40),
        Step([Event(5, 'b'), Event(10, 'b')], 50),   # behind the watermark, window still open
        Step([Event(55, 'c')], 3700)]),
    Scenario('late and refining', [
        Step([Event(5), Event(70)], 130),
        Step([Event(10, 'b'), Event(50, 'b')], 310),   # the first minute is closed
        Step([Event(110), Event(20, 'c')], 600),       # five minutes are closed too
        Step([Event(601)], 7300)], revisions=(1, 3, 4)),
    Scenario('droppably late', [
        Step([Event(5), Event(700)], 659),
        Step([Event(20, 'in time')], 660),   # the minute ended 599 s before the watermark
        Step([Event(59, 'too late'), Event(5, 'too late'), Event(61, 'in time')], 4000),
        Step([Event(700, 'too late')], 8000)], too_late=3),
    Scenario('first element of a window late', [
        Step([Event(400)], 410),
        Step([Event(10, 'b')], 420),
        Step([Event(130, 'c')], 500),
        Step([Event(15, 'b')], 7300)], revisions=(1, 2)),
    Scenario('empty windows', [
        Step([Event(5)], 70),
        Step(watermark=40 * MINUTE),
        Step([Event(41 * MINUTE, 'b')], 42 * MINUTE),
        Step(watermark=5 * HOUR),
        Step([Event(5 * HOUR + 1, 'c')], 6 * HOUR)]),
    Scenario('idle source', [
        Step([Event(5)], 30, pause_secs=2),
        Step(pause_secs=2),
        Step([Event(40, 'b')], 90, pause_secs=2),
        Step(watermark=120),
        Step([Event(50, 'c')], 7200)]),
    Scenario('watermark jumps', [
        Step([Event(5), Event(65)], 10),
        Step([Event(6, 'b')], 10 * DAY),   # past the end of the day and of all lateness at once
        Step([Event(7, 'too late'), Event(10 * DAY + 1)], 10 * DAY + 2),
        Step([Event(10 * DAY - 30, 'late')], 30 * DAY),
        Step([Event(30 * DAY)], 60 * DAY)], windows='1m,5m,1h,1d', too_late=1),
    Scenario('out-of-order years', [
        Step([Event(year * 365 * DAY + 17, f'y{year}') for year in (6, 1, 8, 0, 3)]),
        Step([Event(year * 365 * DAY + 40, f'y{year}') for year in (5, 0, 7)], 8 * 365 * DAY),
        Step([Event(8 * 365 * DAY + 1), Event(2 * 365 * DAY, 'too late')], 3600 * DAY)],
             windows='1h,1d', too_late=1),
    Scenario('keys that appear once', [
        Step([Event(n, f'i{n}', f't{n}') for n in range(100)], 100),
        Step([Event(n, f'i{n}', f'u{n}') for n in range(0, 100, 2)], 7200)]),
    Scenario('10,000 boards', _many(10_000), windows='1h'),
    Scenario('one board with everything', [
        *(Step([Event(second, f'i{(second * n) % 7}') for n in range(20)], second)
          for second in range(1, 59, 2)),
        Step([Event(1, 'b')] * 3, 100),
        *(Step([Event(2, 'late')], 100 + second) for second in range(1, 20)),   # hot and late
        Step([Event(3, 'late')], 7200)]),
    Scenario('future rejected', [
        Step([Event(5), Event(2 * DAY + 1, 'b')], 30),
        Step([Event(70), Event(DAY - 1, 'c')], 2 * DAY)],
             windows='1h,1d', read_secs=HOUR, rejected=1),
    Scenario('future clamped', [
        Step([Event(5), Event(2 * DAY + 1, 'b')], 30),
        Step([Event(70), Event(DAY - 1, 'c')], 2 * DAY)],
             windows='1h,1d', read_secs=HOUR, flags=('--future=clamp',)),
    Scenario('three of ten late', _mixed(7), too_late=29),
]
