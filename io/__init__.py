"""Sources and sinks, one module a system: `from leaderboard.io import redisio`."""

__all__ = [
    'archiveio', 'archiveviews', 'batching', 'compaction', 'embedded', 'filesio', 'flags',
    'historyio', 'kafkaclient', 'kafkaio', 'keeper', 'ledgerio', 'parquetio', 'postgresio',
    'pubsubio', 'redisio', 'rejectsio', 'replayio', 'retry', 'secretsio']
