"""How large a summary is: what its memory and its bounds follow from."""
import dataclasses
import math

from leaderboard.transforms.countmin import MAX_CELLS, size_for


@dataclasses.dataclass(frozen=True)
class Parameters:
  """The size of a summary; summaries merge only when theirs are equal.

  Attributes:
    candidates: items tracked once spilled; up to twice as many are counted exactly.
    depth, width: rows and columns of the Count-Min table; depth 0 leaves it out.
    seed: of the hash.
    batch: distinct items that may wait before they are entered together.
  """
  candidates: int = 4096
  depth: int = 4
  width: int = 8192
  seed: int = 0
  batch: int = 4096

  def __post_init__(self) -> None:
    for name, least, most in (('candidates', 1, 2**31), ('depth', 0, 64), ('width', 1, 2**31),
                              ('seed', 0, 2**31), ('batch', 1, 2**31)):
      value = getattr(self, name)
      if not least <= value < most:
        raise ValueError(f'{name} must be at least {least} and less than {most}, got {value}')
    if self.depth * self.width > MAX_CELLS:
      raise ValueError(f'depth * width must be at most {MAX_CELLS}, got '
                       f'{self.depth} * {self.width}')

  @property
  def epsilon(self) -> float | None:
    """A table estimate exceeds the truth by at most epsilon * total, with probability 1 - delta."""
    return math.e / self.width if self.depth else None

  @property
  def delta(self) -> float | None:
    """Per item; for K reported items at once it is K * delta."""
    return math.exp(-self.depth) if self.depth else None

  @classmethod
  def from_error(cls, epsilon: float, delta: float, k: int) -> 'Parameters':
    """Sizes for `estimate <= true + epsilon * total` with probability 1 - delta per item."""
    depth, width = size_for(epsilon, delta)
    if k < 1:
      raise ValueError(f'k must be at least 1, got {k}')
    return cls(candidates=max(40 * k, math.ceil(1 / epsilon)), depth=depth, width=width)

  @classmethod
  def profile(cls, name: str) -> 'Parameters':
    """`default`, or `small` for a quarter of its memory."""
    if name not in ('default', 'small'):
      raise ValueError(f'profile must be default or small, got {name!r}')
    return cls() if name == 'default' else cls(candidates=1024, width=2048)
