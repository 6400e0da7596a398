"""The query service over the stores: `python -m leaderboard.api.serve --help`."""
from leaderboard.io import interrupts

# Before the service imports what takes seconds.
interrupts.until_begun()

__all__ = [
    'analysis', 'answers', 'app', 'archive', 'asking', 'boards', 'brackets', 'breaker', 'caches',
    'changes', 'client', 'comparison', 'compression', 'cursors', 'depth', 'distribution', 'exact',
    'examples', 'feed', 'guard', 'history', 'leaderboards', 'live', 'members', 'merging',
    'metrics', 'operations', 'page', 'parameters', 'problems', 'protocol', 'ranges', 'replies',
    'schemas', 'serve', 'settings', 'singleflight', 'ties', 'tiling', 'tracing', 'trends',
    'warmth']
