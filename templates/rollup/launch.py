"""Launches the pipeline `rollup`: what its Flex Template runs."""
import sys

from leaderboard.pipelines import rollup
from leaderboard.pipelines.command import submit

if __name__ == '__main__':
  sys.exit(submit('rollup', rollup.launch))
