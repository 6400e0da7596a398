"""Sources and sinks, one module a system: `from leaderboard.io import redisio`."""
import logging

__all__ = [
    'archiveio', 'archiveviews', 'batching', 'compaction', 'disks', 'embedded', 'filesio',
    'flags', 'historyio', 'interrupts', 'kafkaclient', 'kafkaio', 'keeper', 'ledgerio', 'parquetio',
    'postgresio', 'pubsubio', 'redisio', 'rejectsio', 'replayio', 'retry', 'secretsio']

# Beam says on import that Google's client libraries are missing; only Dataflow asks for them.
logging.getLogger().addFilter(lambda record: 'apitools not found' not in record.getMessage())
