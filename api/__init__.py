"""The query service over the stores: `python -m leaderboard.api.serve --help`."""

__all__ = [
    'analysis', 'answers', 'app', 'archive', 'asking', 'boards', 'brackets', 'breaker', 'caches',
    'changes', 'client', 'comparison', 'cursors', 'depth', 'distribution', 'exact', 'feed',
    'history', 'leaderboards', 'live', 'members', 'merging', 'metrics', 'page', 'parameters',
    'problems', 'ranges', 'schemas', 'serve', 'settings', 'singleflight', 'ties', 'tiling',
    'trends']
