"""The events behind the speed benchmarks: seeded, made once, kept outside the repository.

An event is some 240 bytes of JSON, or the Parquet row of the same fields. Events come in order of
time but for 30 seconds of jitter, as a log does. `TOPK_CACHE` names another folder to keep them in.
"""
import dataclasses
import os
import pathlib
import uuid

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

START_MS = 1_704_067_200_000   # 2024-01-01
JITTER_MS = 30_000
TENANTS = {'acme': 0.7, 'umbrella': 0.3}
TYPES = {'play': 0.6, 'like': 0.3, 'share': 0.1}
_CHUNK = 500_000   # a multiple of every size makes a smaller input the beginning of a larger one


@dataclasses.dataclass(frozen=True)
class Events:
  """What an input holds.

  Attributes:
    events: how many.
    skew: an item of rank r comes with a probability of r ** -skew.
    distinct: items there are to choose from.
    kind: `json` or `parquet`.
    per_sec: events a second of event time.
    boards: tenants, if not those of TENANTS, each of one type.
    seed: of the random numbers.
  """
  events: int
  skew: float = 1.2
  distinct: int = 1_500_000
  kind: str = 'json'
  per_sec: int = 8_333
  boards: int = 0
  seed: int = 7

  @property
  def path(self) -> pathlib.Path:
    name = '-'.join(str(value) for name, value in dataclasses.asdict(self).items()
                    if name != 'kind')
    return _folder() / f'events-{name}.{"jsonl" if self.kind == "json" else self.kind}'

  def make(self) -> pathlib.Path:
    """Writes the file unless it is there; returns its path."""
    if not self.path.exists():
      self.path.parent.mkdir(parents=True, exist_ok=True)
      part = self.path.with_name(f'.{uuid.uuid4().hex}.part')
      try:
        (_write_json if self.kind == 'json' else _write_parquet)(self, part)
        part.rename(self.path)
      finally:
        part.unlink(missing_ok=True)
    return self.path


def _folder() -> pathlib.Path:
  named = os.environ.get('TOPK_CACHE')
  return (pathlib.Path(named) if named else
          pathlib.Path.home() / '.cache' / 'topk-leaderboard') / 'bench'


def _tables(wanted: Events):
  weights = np.cumsum(np.arange(1, wanted.distinct + 1) ** -wanted.skew)
  weights /= weights[-1]
  for first in range(0, wanted.events, _CHUNK):
    n = min(_CHUNK, wanted.events - first)
    rng = np.random.default_rng([wanted.seed, first])
    number = np.arange(first, first + n)
    ranks = np.minimum(np.searchsorted(weights, rng.random(n)), wanted.distinct - 1)
    jitter = np.minimum(rng.exponential(JITTER_MS / 10, n), JITTER_MS)
    stamps = (START_MS + JITTER_MS + number * 1000 / wanted.per_sec - jitter).astype(np.int64)
    if wanted.boards:
      tenants = _numbered('tenant-', rng.integers(0, wanted.boards, n), 5)
      types = pa.array(['play']).take(np.zeros(n, int))
    else:
      tenants = _chosen(rng, TENANTS, n)
      types = _chosen(rng, TYPES, n)
    yield pa.table({
        'event_id': _numbered('e', number, 12),
        'user_id': _numbered('user-', rng.integers(0, 10**7, n), 8),
        'session_id': _numbered('s', rng.integers(0, 10**9, n), 10),
        'event_type': types,
        'timestamp': stamps,
        'tenant_id': tenants,
        'item_id': _numbered('item-', ranks, 7),
        'metadata': pc.binary_join_element_wise(
            '{"country":"', _chosen(rng, {'DE': .4, 'FR': .3, 'JP': .3}, n), '","device":"',
            _chosen(rng, {'mobile': .6, 'desktop': .4}, n), '","position":',
            pc.cast(pa.array(rng.integers(0, 100, n)), pa.string()), '}', '')})


def _chosen(rng, shares, n):
  names = pa.array(list(shares))
  return names.take(rng.choice(len(shares), n, p=list(shares.values())))


def _numbered(prefix, numbers, digits):
  text = pc.cast(pa.array(np.asarray(numbers, np.int64)), pa.string())
  return pc.binary_join_element_wise(prefix, pc.utf8_lpad(text, digits, '0'), '')


def _write_json(wanted, path):
  with open(path, 'wb') as file:
    for table in _tables(wanted):
      pieces = []
      for name in table.column_names:
        quote = '' if name in ('timestamp', 'metadata') else '"'
        opening = f'{"," if pieces else "{"}"{name}":{quote}'
        pieces += [opening, pc.cast(table[name].combine_chunks(), pa.string()), quote]
      lines = pc.binary_join_element_wise(*pieces, '}\n', '')
      end = lines.offset + len(lines)
      starts = np.frombuffer(lines.buffers()[1], np.int32)
      file.write(memoryview(lines.buffers()[2])[starts[lines.offset]:starts[end]])


def _write_parquet(wanted, path):
  tables = _tables(wanted)
  first = next(tables)
  with pq.ParquetWriter(path, first.schema) as writer:
    writer.write_table(first)
    for table in tables:
      writer.write_table(table)
