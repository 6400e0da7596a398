"""The shape of every answer, as OpenAPI shows it and as the client's types have it.

Moments are text, RFC 3339 in UTC; counts are exact integers, of up to 63 bits. A `Between` holds
the true value: `lower <= true <= upper`.
"""
from typing import Any, Literal

# pydantic needs this one before Python 3.12.
from typing_extensions import TypedDict

Span = TypedDict('Span', {'from': str, 'to': str})
StoredWay = Literal['auto', 'live', 'history']
Direction = Literal['up', 'down', 'same', 'unproven']


class Revision(TypedDict):
  generation: int
  events: int


class WindowCount(TypedDict):
  size: str
  count: int


class Coverage(TypedDict):
  complete: bool
  windows: list[WindowCount]
  missing: list[Span]
  missing_windows: int


class About(Span):
  """Which board this is, of which revision, and by which way the answer came."""
  tenant: str
  event_type: str
  window: str | None
  path: Literal['live', 'history', 'exact']
  degraded: str | None
  revision: Revision
  final: bool | None
  coverage: Coverage


class Reading(TypedDict):
  """When the store was read, and how long ago that was when this was sent."""
  as_of: str
  age_secs: float


class Identity(About, Reading):
  pass


class Between(TypedDict):
  lower: int
  upper: int


class Shares(TypedDict):
  """Parts of a total, from 0 to 1."""
  lower: float
  upper: float


class Ranks(TypedDict):
  best: int
  worst: int


class Row(TypedDict):
  """`count` is what is proven, the same as `lower`."""
  rank: int
  item: str
  count: int
  lower: int
  upper: int
  certified: bool
  share: float
  previous_rank: int | None
  movement: int | Literal['new'] | None


class Compared(Span):
  """The time before, and whether all of it is covered."""
  complete: bool


class Leaderboard(Identity):
  """The rows of a board.

  `rest_upper`: no item outside of those that are kept of this board weighs more; the kept ones
  are all that pages lead through, not only the rows shown here. They are, of a stored window by
  `live` or `history`, the rows in its store (the first 1,000, or what the job's `--keep` says) and,
  once pages go beyond these, all items that its summary tracks; of merged windows, all items that
  the merged summary tracks; of `exact`, the 10,000 heaviest. `tau`: no item that the board's
  summary does not track weighs more.

  `compared_with` is the time against which rows tell `previous_rank` and `movement`; null where
  none is told.
  """
  k: int
  events: int
  total: int
  tau: int
  rest_upper: int
  resolution: Literal['exact', 'resolved', 'partial', 'low']
  epsilon: float | None
  delta: float | None
  certified_prefix: int
  compared_with: Compared | None
  rows: list[Row]
  next: str | None
  previous: str | None
  moved: bool


class Standing(TypedDict):
  """An item on a board.

  `listed` tells whether it is among the items that are kept of the board (see Leaderboard); of any
  other only `lower` 0 and an upper bound are known, and by `exact` its count. `rank` is null for an
  item that surely was not counted.
  """
  item: str
  listed: bool
  rank: Ranks | None
  count: int
  lower: int
  upper: int
  share: Shares
  percentile: Shares | None


class Member(Identity):
  total: int
  items: Between
  member: Standing


class Members(Identity):
  total: int
  items: Between
  members: list[Standing]


class Neighbours(Identity):
  total: int
  items: Between
  member: Standing
  above: list[Standing]
  below: list[Standing]


class Percentile(TypedDict):
  """So many percent of the items have a count of at most the true value between the bounds."""
  percent: float
  lower: int
  upper: int


class Percentiles(Identity):
  total: int
  items: Between
  percentiles: list[Percentile]


class Bin(TypedDict):
  """How many items have a count of at least `at_least` and below `below`."""
  at_least: int
  below: int
  items: Between


class Head(TypedDict):
  """What the k heaviest items have together."""
  k: int
  weight: Between
  share: Shares


class Holding(TypedDict):
  """How many of the heaviest items it takes to hold this share of the total."""
  share: float
  items: Between


class Distribution(Identity):
  total: int
  items: Between
  histogram: list[Bin]
  heads: list[Head]
  holding: list[Holding]


class Place(TypedDict):
  rank: Ranks | None
  count: int
  lower: int
  upper: int
  share: Shares


class Change(TypedDict):
  """An item on two boards: `by` bounds what its count gained, `ranks_gained` its ranks."""
  item: str
  now: Place
  before: Place
  by: Between
  share_by: Shares
  ranks_gained: Between | None
  direction: Direction


class Comparison(Reading):
  now: About
  before: About
  changes: list[Change]


class Point(Span):
  """An item in one window; all null where nothing is stored of it."""
  stored: bool
  total: int | None
  rank: Ranks | None
  count: int | None
  lower: int | None
  upper: int | None
  share: Shares | None
  final: bool | None


class Trend(Span, Reading):
  tenant: str
  event_type: str
  window: str
  item: str
  path: Literal['live', 'history']
  degraded: str | None
  points: list[Point]


class StoredSize(TypedDict):
  """A window size, and the starts of the oldest and of the newest window of it; of Redis alone the
  oldest is not known, and the newest stands for it."""
  size: str
  oldest: str
  newest: str


class Family(TypedDict):
  tenant: str
  event_type: str
  windows: list[StoredSize]


class EventTypes(TypedDict):
  boards: list[Family]


class Tenants(TypedDict):
  tenants: list[str]


class ChangeEvent(TypedDict):
  """A server-sent event of the changes of boards.

  `board`: the data is the board's new state, with the rows that changed since the revision `since`
  (all of them where that is null) and the items that are `gone`. `reset`: changes were missed, read
  the board. `status`: whether the service itself is `connected` to the changes.
  """
  event: Literal['board', 'reset', 'status']
  id: str | None
  data: dict[str, Any]


class Problem(TypedDict):
  """RFC 9457."""
  type: str
  title: str
  status: int
  detail: str
  field: str | None
  value: Any
  remedy: str | None
