"""Launches the pipeline `topk`: what its Flex Template runs."""
import sys

from leaderboard.pipelines import topk
from leaderboard.pipelines.command import submit

if __name__ == '__main__':
  sys.exit(submit('topk', topk.launch))
