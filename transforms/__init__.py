"""The core: the summary, counting, windows and ranking. No clients, no files, no flags."""
from leaderboard.transforms.combine import TopK, Weighted
from leaderboard.transforms.countevents import CountEvents
from leaderboard.transforms.countmin import CountMinSketch
from leaderboard.transforms.heavyhitters import HeavyHitters
from leaderboard.transforms.parameters import Parameters
from leaderboard.transforms.ranking import RankBoards
from leaderboard.transforms.rollups import RollUp
from leaderboard.transforms.views import MisraGries, SpaceSaving
from leaderboard.transforms.windows import CascadeWindows

__all__ = [
    'CascadeWindows', 'CountEvents', 'CountMinSketch', 'HeavyHitters', 'MisraGries',
    'Parameters', 'RankBoards', 'RollUp', 'SpaceSaving', 'TopK', 'Weighted']
