"""The rules by which events are counted."""
import dataclasses
from collections.abc import Mapping

from leaderboard.transforms import events
from leaderboard.transforms.boards import WindowSize
from leaderboard.transforms.parameters import Parameters


@dataclasses.dataclass(frozen=True)
class CountingRules:
  """What counts and how.

  Attributes:
    base: the finest window.
    timestamp_format: `epoch_ms`, `epoch_s` or `rfc3339`.
    allowed_lateness_secs: an event is too late when its base window ended at least this
      long before the block's watermark.
    max_event_bytes: longer lines are refused unparsed.
    item_paths: event type -> dotted path of its item, for types that do not use `item_id`.
    parameters: of the summaries.
    keep_events: whether the valid events themselves are kept, for the archive.
    max_future_secs: how far an event of an endless source may lie ahead of the moment when
      it was read.
    clamp_future: whether an event beyond that counts at that moment, not as out of range.
  """
  base: WindowSize
  timestamp_format: str = 'epoch_ms'
  allowed_lateness_secs: int = 0
  max_event_bytes: int = 1 << 20
  item_paths: Mapping[str, str] = dataclasses.field(default_factory=dict)
  parameters: Parameters = Parameters()
  keep_events: bool = False
  max_future_secs: int = 86_400
  clamp_future: bool = False

  def __post_init__(self) -> None:
    if self.timestamp_format not in events.TIMESTAMP_FORMATS:
      raise ValueError(f'timestamp_format must be one of {", ".join(events.TIMESTAMP_FORMATS)}, '
                       f'got {self.timestamp_format!r}')

  def end_ms(self, read_secs: int | None) -> int:
    """The first moment that is out of range for an event of a block read then."""
    end = events.END_EPOCH_SECS
    if read_secs is not None and not self.clamp_future:
      end = min(end, read_secs + self.max_future_secs + 1)
    return end * 1000
