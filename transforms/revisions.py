"""Revisions: what a newer record of a board changed, so that a correction is never silent."""
import dataclasses


@dataclasses.dataclass(frozen=True)
class Change:
  """What the newest revision of a stored board changed, as the store found it.

  Attributes:
    revisions: records that the store has applied to the board; 1 is its first.
    events_added: events more than in the record before; all of them in a first record and in
      one of a new generation, which counted every event anew.
    ranks_moved: listed items whose rank is another than in the record before, or new.
  """
  revisions: int
  events_added: int
  ranks_moved: int
