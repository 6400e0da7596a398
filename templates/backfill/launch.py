"""Launches the pipeline `backfill`: what its Flex Template runs."""
import sys

from leaderboard.pipelines import backfill
from leaderboard.pipelines.command import submit

if __name__ == '__main__':
  sys.exit(submit('backfill', backfill.launch))
