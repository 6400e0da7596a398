"""The programs: `topk` is the main job, `show` prints boards, `size` sizes a
summary, `rollup` makes weeks and months of stored boards, `flights` makes sample input."""
import logging

__all__ = ['flights', 'options', 'report', 'rollup', 'show', 'size', 'topk']

# Beam says on import that Google's client libraries are missing; only Dataflow asks for them.
logging.getLogger().addFilter(lambda record: 'apitools not found' not in record.getMessage())
