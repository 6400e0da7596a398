"""Sources and sinks, one module a system: `from leaderboard.io import redisio`."""

__all__ = [
    'batching', 'embedded', 'filesio', 'historyio', 'ledgerio', 'parquetio', 'postgresio',
    'redisio', 'rejectsio']
