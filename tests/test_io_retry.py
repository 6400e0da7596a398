"""Trying again: what may pass, for as long as was asked, and nothing else."""
import pytest

from leaderboard.io import retry


@pytest.fixture
def clock(monkeypatch):
  """Seconds that were slept; the clock moves by nothing else."""
  slept = []
  monkeypatch.setattr(retry.time, 'monotonic', lambda: sum(slept))
  monkeypatch.setattr(retry.time, 'sleep', slept.append)
  return slept


def failing(times, error):
  calls = []

  def call():
    calls.append(1)
    if len(calls) <= times:
      raise error
    return len(calls)

  return call


def test_what_passes_is_tried_again_with_growing_random_pauses(clock):
  assert retry.retried(failing(8, OSError('away')), (OSError,), RuntimeError) == 9
  assert len(clock) == 8 and len(set(clock)) > 5
  assert all(pause <= 0.05 * 2**number for number, pause in enumerate(clock))


def test_what_does_not_pass_leaves_at_once(clock):
  with pytest.raises(ValueError, match='wrong'):
    retry.retried(failing(1, ValueError('wrong')), (OSError,), RuntimeError)
  assert clock == []


def test_patience_has_an_end_and_the_last_error_is_told(clock):
  with pytest.raises(RuntimeError, match='^gone: away$'):
    retry.retried(failing(10_000, OSError('away')), (OSError,),
                  lambda error: RuntimeError(f'gone: {error}'), 7)
  assert 4 < sum(clock) <= 7
