"""The query service over the stores: `python -m leaderboard.api.serve --help`."""

__all__ = [
    'analysis', 'answers', 'app', 'archive', 'asking', 'boards', 'brackets', 'breaker', 'caches',
    'changes', 'client', 'comparison', 'compression', 'cursors', 'depth', 'distribution', 'exact',
    'examples', 'feed', 'guard', 'history', 'leaderboards', 'live', 'members', 'merging',
    'metrics', 'operations', 'page', 'parameters', 'problems', 'protocol', 'ranges', 'replies',
    'schemas', 'serve', 'settings', 'singleflight', 'ties', 'tiling', 'trends', 'warmth']
