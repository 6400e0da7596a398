"""The programs: `topk` is the main job, `show` prints boards, `size` sizes a
summary, `rollup` makes weeks and months of stored boards, `flights` makes sample input."""
from leaderboard.io import interrupts

__all__ = ['flights', 'options', 'report', 'rollup', 'show', 'size', 'topk']

# Before the programs import what takes seconds.
interrupts.until_begun()
