"""The query service over the stores: `python -m leaderboard.api.serve --help`."""
import logging

# Beam says on import that Google's client libraries are missing; only Dataflow asks for them.
logging.getLogger().addFilter(lambda record: 'apitools not found' not in record.getMessage())

__all__ = [
    'analysis', 'answers', 'app', 'archive', 'asking', 'boards', 'brackets', 'breaker', 'caches',
    'changes', 'client', 'comparison', 'compression', 'cursors', 'depth', 'distribution', 'exact',
    'examples', 'feed', 'guard', 'history', 'leaderboards', 'live', 'members', 'merging',
    'metrics', 'operations', 'page', 'parameters', 'problems', 'protocol', 'ranges', 'replies',
    'schemas', 'serve', 'settings', 'singleflight', 'ties', 'tiling', 'tracing', 'trends',
    'warmth']
