"""The core: the summary, counting, windows and ranking. No clients, no files, no flags."""
from leaderboard.transforms.combine import TopK, Weighted
from leaderboard.transforms.countevents import CountEvents
from leaderboard.transforms.heavyhitters import HeavyHitters, Parameters
from leaderboard.transforms.ranking import RankBoards
from leaderboard.transforms.windows import CascadeWindows

__all__ = [
    'CascadeWindows', 'CountEvents', 'HeavyHitters', 'Parameters', 'RankBoards', 'TopK',
    'Weighted']
