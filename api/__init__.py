"""The query service over the stores: `python -m leaderboard.api.serve --help`."""

__all__ = [
    'analysis', 'answers', 'app', 'boards', 'brackets', 'changes', 'distribution', 'history',
    'leaderboards', 'live', 'members', 'page', 'parameters', 'problems', 'serve', 'settings',
    'ties']
