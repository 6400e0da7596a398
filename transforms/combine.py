"""Combining summaries in a pipeline: the CombineFn behind the boards, and TopK for anyone."""
import dataclasses
import struct
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.coders import Coder

from leaderboard.transforms.columnar import sum_encoded
from leaderboard.transforms.heavyhitters import HeavyHitters, RankedRow
from leaderboard.transforms.parameters import Parameters

_MAX_PARTS = 32
_MAX_BYTES = 256 << 10
_VERSION = 1
_COUNT = struct.Struct('<BI')
_LENGTH = struct.Struct('<I')

Parts = list[bytes]


class PartsCoder(Coder):
  """Encoded summaries side by side: version, how many, and each with its length."""

  def encode(self, value: Parts) -> bytes:
    return b''.join([_COUNT.pack(_VERSION, len(value)),
                     *(piece for part in value for piece in (_LENGTH.pack(len(part)), part))])

  def decode(self, encoded: bytes) -> Parts:
    version, count = _COUNT.unpack_from(encoded)
    if version != _VERSION:
      raise ValueError(f'accumulator version {version} is not known, only {_VERSION}')
    parts, place = [], _COUNT.size
    for _ in range(count):
      (length,) = _LENGTH.unpack_from(encoded, place)
      place += _LENGTH.size
      parts.append(encoded[place:place + length])
      place += length
    return parts

  def estimate_size(self, value: Parts) -> int:
    # The inherited way encodes the value just to measure it.
    return _COUNT.size + sum(_LENGTH.size + len(part) for part in value)

  def is_deterministic(self) -> bool:
    return True

  def to_type_hint(self) -> Any:
    return Parts

  def __eq__(self, other: object) -> bool:
    return type(self) is type(other)

  def __hash__(self) -> int:
    return hash(type(self))


class SummaryFn(beam.CombineFn):
  """Merges encoded summaries. The accumulator is a list of immutable parts, so that adding
  one costs an append; a long list is merged into one part.

  Args:
    parameters: of the summaries; an empty sum has them too.
  Input: encoded summaries.  Output: one encoded summary.
  """

  def __init__(self, parameters: Parameters) -> None:
    self._parameters = parameters

  def create_accumulator(self) -> Parts:
    return []

  def add_input(self, parts: Parts, element: bytes) -> Parts:
    parts.append(element)
    return _compact(parts)

  def merge_accumulators(self, accumulators: Iterable[Parts]) -> Parts:
    merged: Parts = []
    for parts in accumulators:
      merged.extend(parts)
    return _compact(merged)

  def compact(self, parts: Parts) -> Parts:
    return parts

  def extract_output(self, parts: Parts) -> bytes:
    if not parts:
      return HeavyHitters.of(self._parameters).to_bytes(compress=False)
    if len(parts) == 1:
      return parts[0]
    return sum_encoded(parts)

  def get_accumulator_coder(self) -> Coder:
    return PartsCoder()


def _compact(parts: Parts) -> Parts:
  # The largest does not count: it may be a sum that is too large by itself, which every
  # further part would have made anew.
  if len(parts) > _MAX_PARTS or sum(map(len, parts)) > _MAX_BYTES + max(map(len, parts), default=0):
    return [sum_encoded(parts)]
  return parts


class Weighted(NamedTuple):
  """An item that counts for more than one."""
  item: str
  weight: int


class _Top(beam.PTransform):

  def __init__(self, k: int, parameters: Parameters | None = None) -> None:
    super().__init__()
    self._fn = _TopFn(k, parameters or Parameters())

  def display_data(self) -> dict[str, Any]:
    return self._fn.display_data()


class TopK:
  """The k heaviest items with proven bounds, over anything that has items.

      events | TopK.PerKey(10)     # (key, item) -> (key, list of RankedRow)
      items | TopK.Globally(10)    # item -> list of RankedRow

  An item is a str, a Weighted, or a mapping of items to weights (a pre-aggregated batch).

  Args:
    k: rows of a list, at most as many as the summary has candidates.
    parameters: the size of the summary.
  """

  class PerKey(_Top):
    """Input: (key, item).  Output: (key, list of RankedRow), for each window."""

    def expand(self, pairs: beam.PCollection) -> beam.PCollection:
      return pairs | 'Top' >> beam.CombinePerKey(self._fn)

  class Globally(_Top):
    """Input: item.  Output: list of RankedRow, for each window; in the global window also when
    there is no item."""

    def expand(self, items: beam.PCollection) -> beam.PCollection:
      top = beam.CombineGlobally(self._fn)
      # Beam refuses a default for windows that hold nothing: it cannot know them all.
      return items | 'Top' >> (top if items.windowing.is_default() else top.without_defaults())


class _SummaryCoder(Coder):

  def encode(self, value: HeavyHitters) -> bytes:
    return value.to_bytes()

  def decode(self, encoded: bytes) -> HeavyHitters:
    return HeavyHitters.from_bytes(encoded)

  def is_deterministic(self) -> bool:
    return True


class _TopFn(beam.CombineFn):

  def __init__(self, k: int, parameters: Parameters) -> None:
    if not 1 <= k <= parameters.candidates:
      raise ValueError(f'k must lie in [1, candidates = {parameters.candidates}], got {k}')
    self._k = k
    self._parameters = parameters

  def display_data(self) -> dict[str, Any]:
    return {'k': self._k, **dataclasses.asdict(self._parameters)}

  def create_accumulator(self) -> HeavyHitters:
    return HeavyHitters.of(self._parameters)

  def add_input(self, summary: HeavyHitters, element: Any) -> HeavyHitters:
    if isinstance(element, Mapping):
      summary.update(element)
    elif isinstance(element, Weighted):
      summary.add(*element)
    else:
      summary.add(element)
    return summary

  def merge_accumulators(self, accumulators: Iterable[HeavyHitters]) -> HeavyHitters:
    merged = self.create_accumulator()
    for summary in accumulators:
      merged.merge(summary)
    return merged

  def extract_output(self, summary: HeavyHitters) -> list[RankedRow]:
    return summary.top(self._k)

  def get_accumulator_coder(self) -> Coder:
    return _SummaryCoder()
