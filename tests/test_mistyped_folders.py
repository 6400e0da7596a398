"""Programs that read stores: a mistyped folder is told, and nothing is made there."""
import os

import pytest

from leaderboard.api import serve
from leaderboard.io import embedded
from leaderboard.pipelines import account, admin, repair, rollup, show

BOARD = ['--tenant=acme', '--event_type=play', '--window=1h', '--at=2013-07-01']
REDIS, POSTGRES = ['--redis=embedded'], ['--postgres=embedded']


@pytest.mark.parametrize(('main', 'flags', 'missing'), [
    (show.main, ['--store=redis', *BOARD], 'Redis'),
    (show.main, ['--store=postgres', *BOARD], 'PostgreSQL'),
    (account.main, REDIS, 'Redis'),
    (admin.main, ['status', *POSTGRES], 'PostgreSQL'),
    (admin.main, ['forget', 'job', *REDIS], 'Redis'),
    (repair.main, REDIS + POSTGRES, 'PostgreSQL'),
    (rollup.main, REDIS + POSTGRES, 'PostgreSQL'),
    (serve.main, REDIS, 'Redis')])
def test_there_is_no_such_server(main, flags, missing, tmp_path, capsys):
  assert main([f'--data_dir={tmp_path}/none', *flags]) == 2
  told, = capsys.readouterr().err.splitlines()
  assert told.split(': ', 1)[1] == (
      f"--data_dir: there is no embedded {missing} in '{tmp_path}/none'; name the folder of the "
      f'job')
  assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(('main', 'flags'), [
    (show.main, ['--store=parquet', *BOARD]), (account.main, []), (serve.main, [])])
def test_there_is_no_such_archive(main, flags, tmp_path, capsys):
  assert main([f'--parquet={tmp_path}/none', *flags]) == 2
  assert f"--parquet: there is no folder '{tmp_path}/none'; name" in capsys.readouterr().err
  assert os.listdir(tmp_path) == []


def test_repair_makes_its_redis_beside_a_postgres_that_is_there(tmp_path, capsys):
  with embedded.start_postgres(tmp_path):
    pass
  assert admin.main(['migrate', f'--data_dir={tmp_path}', *POSTGRES]) == 0
  assert repair.main([f'--data_dir={tmp_path}', *REDIS, *POSTGRES]) == 0
  assert '0 boards in PostgreSQL' in capsys.readouterr().out
  embedded.check_there(tmp_path, 'redis')
