"""Sizing: answers from measurements, never beyond them."""
import pytest

from leaderboard.pipelines import size


def test_answer_is_that_of_the_next_harder_point_and_grows_with_size():
  rows = size.predictions(k=90, distinct=90_000, skew=1.1)
  assert rows == size.predictions(k=100, distinct=100_000, skew=1.0)
  assert [row['candidates'] for row in rows] == sorted(row['candidates'] for row in rows)
  widths = [row['bracket_width'] for row in rows]
  assert widths == sorted(widths, reverse=True)


def test_recommendation_fits_the_memory(capsys):
  assert size.main(['--distinct=1000000', '--skew=0.6', '--memory=4KiB']) == 0
  out = capsys.readouterr().out
  best = size.recommended(size.predictions(100, 10**6, 0.6), 4096)
  assert best['bytes'] <= 4096 and f'--candidates={best["candidates"]}' in out


@pytest.mark.parametrize(('flags', 'problem'), [
    (['--distinct=5', '--skew=0.1'], '--skew: must be at least 0.6'),
    (['--distinct=99999999', '--skew=1'], '--distinct: must be at most 1000000'),
    (['--distinct=5', '--skew=1', '--k=5000'], '--k: must be at most 1000'),
    (['--distinct=5', '--skew=1', '--k=abc'], '--k: must be a whole number from 1 to 16777216'),
    (['--distinct=5', '--skew=steep'], "--skew: must be a number such as 1.05; got 'steep'"),
    (['--skew=1'], 'the following arguments are required: --distinct'),
    (['--distinct=5', '--skew=1', '--memory=1B'], '--memory: no measured size is that small'),
])
def test_question_beyond_the_measurements_is_refused_by_name(flags, problem, capsys):
  assert size.main(flags) == 2
  error = capsys.readouterr().err
  assert error.startswith(f'size: {problem}') and error.count('\n') == 1
