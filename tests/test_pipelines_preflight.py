"""Preflight: everything that a job needs is tried, told at once, and nothing is changed."""
import os
import sys
import threading
import time

import grpc
import psycopg
import pytest
import redis
from apache_beam.io import localfilesystem
from servers import google

from leaderboard.io import pubsubio
from leaderboard.pipelines import backfill, preflight, rollup, topk
from leaderboard.pipelines.checks import UsageError, writable
from leaderboard.pipelines.jobs import parse

SUBSCRIPTION = 'projects/my-project/subscriptions/events'


@pytest.mark.slow
def test_everything_broken_is_told_at_once_and_in_little_time(tmp_path, capsys, monkeypatch):
  monkeypatch.chdir(tmp_path)
  (tmp_path / 'file').touch()
  began = time.monotonic()
  assert topk.main([
      '--kafka=localhost:1', '--topics=events', '--dead_letters=dead', '--windows=1x',
      '--redis=redis://:hidden-word@127.0.0.1:1/0', '--postgres=env:NOT_THERE',
      '--parquet=nowhere://bucket/boards', f'--rejects={tmp_path}/file/ledger',
      '--preflight=only']) == 2
  told = capsys.readouterr().err.splitlines()
  assert [line.split(': ')[1] for line in told] == [
      '--windows', '--kafka', '--redis', '--postgres', '--rejects', '--parquet']
  assert 'hidden-word' not in '\n'.join(told)
  assert "cannot write to 'nowhere://bucket/boards': Unable to get filesystem" in told[-1]
  assert time.monotonic() - began < 25   # of 10 s each, waited for at the same time
  assert os.listdir(tmp_path) == ['file']


def test_what_is_in_reach_is_listed_and_left_as_it_was(sample_events, tmp_path, capsys, redis_url,
                                                       empty_dsn):
  flags = [f'--redis={redis_url}', f'--postgres={empty_dsn}', f'--parquet={tmp_path}/boards',
           f'--report={tmp_path}/reports/report.json']
  assert topk.main([f'--input={sample_events}', '--preflight=only', *flags]) == 0
  told = capsys.readouterr().out.splitlines()
  assert told[0] == 'preflight: source and stores are in reach, and the options are right'
  assert [line.split()[0] for line in told[1:]] == [
      '--input', '--redis', '--postgres', '--parquet']
  with psycopg.connect(empty_dsn) as connection:
    assert connection.execute(
        "select count(*) from pg_tables where schemaname = 'public'").fetchone() == (0,)
  with redis.Redis.from_url(redis_url) as client:
    assert client.dbsize() == 0
  assert os.listdir(tmp_path) == []


def test_embedded_servers_are_listed_and_not_started(sample_events, tmp_path, capsys):
  flags = ['--redis=embedded', '--postgres=embedded', f'--data_dir={tmp_path}/data',
           '--preflight=only']
  assert topk.main([f'--input={sample_events}', *flags]) == 0
  assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]] == [
      '--input', '--redis', '--postgres', '--data_dir']
  assert os.listdir(tmp_path) == []


def test_a_place_that_cannot_be_is_one_error(sample_events, tmp_path, capsys):
  (tmp_path / 'file').touch()
  for place, told in (('/proc/x', "cannot write to '/proc/x': "),
                      (f'{tmp_path}/file', f"'{tmp_path}/file' is a file; name a folder")):
    assert topk.main([f'--input={sample_events}', f'--data_dir={place}', '--redis=embedded']) == 2
    error = capsys.readouterr().err
    assert error.startswith(f'topk: --data_dir: {told}') and error.count('\n') == 1


def test_other_programs_have_the_same_preflight(tmp_path, capsys, redis_url, empty_dsn):
  flags = [f'--redis={redis_url}', f'--postgres={empty_dsn}', '--preflight=only']
  assert rollup.main(flags) == 0
  assert backfill.main(['--from=2013-07-01', '--to=2013-07-02', f'--archive={tmp_path}',
                        f'--rejects={tmp_path}', *flags]) == 2
  error = capsys.readouterr().err
  assert error.startswith(f'backfill: --archive: {tmp_path} holds no events from 2013-07-01')
  assert error.count('\n') == 1


def test_nothing_is_tried_when_it_is_off(capsys):
  job = parse(['--input=gs://my-bucket/events/*', '--redis=redis://127.0.0.1:1/0',
               '--rejects=gs://my-bucket/ledger', '--preflight=off'], 'test')
  with topk.opened(job) as stores:
    assert stores.redis == 'redis://127.0.0.1:1/0'


def test_what_never_answers_is_told_like_the_rest(monkeypatch):
  monkeypatch.setattr(preflight, '_SECS', 0.1)
  ever = threading.Event()
  try:
    assert preflight.failures([
        preflight.Probe('--one', 'gs://one', ever.wait),
        preflight.Probe('--two', 'gs://two', lambda: None),
        preflight.Probe('--three', 'gs://three', lambda: 1 / 0)]) == [
            '--one: gs://one does not answer within 0.1 s', '--three: division by zero']
  finally:
    ever.set()


@pytest.mark.parametrize('runner', ['DataflowRunner', 'PortableRunner', 'FlinkRunner'])
def test_no_password_leaves_the_machine(runner, tmp_path):
  settings = tmp_path / 'kafka.properties'
  settings.write_text('sasl.username=me\nsasl.password=hidden-word\nssl.key.pem=hidden-word\n')
  flags = ['--kafka=localhost:1', '--topics=events', f'--kafka_config={settings}',
           '--redis=redis://:hidden-word@cache', '--postgres=host=db password=hidden-word',
           f'--rejects={tmp_path}', '--preflight=off']
  with pytest.raises(UsageError) as refused:
    parse([*flags, f'--runner={runner}', '--region=us-central1'], 'test')
  told = refused.value.problems
  assert [line.split(': ')[0] for line in told] == ['--kafka_config', '--redis', '--postgres']
  assert told[0].startswith(f'--kafka_config: sasl.password, ssl.key.pem of {settings} would stand')
  assert 'hidden-word' not in str(refused.value)
  parse(flags, 'test')   # a job of this machine may have them
  settings.write_text('sasl.username=me\nsasl.password=env:WORD\n')
  parse([*flags[:3], '--redis=env:URL', f'--rejects={tmp_path}', f'--runner={runner}',
         '--region=us-central1', '--preflight=off'], 'test')


def test_subscription_is_looked_for(monkeypatch):
  answers = {SUBSCRIPTION: None, f'{SUBSCRIPTION}-hidden': grpc.StatusCode.PERMISSION_DENIED,
             f'{SUBSCRIPTION}-ill': grpc.StatusCode.INVALID_ARGUMENT}
  with google.subscriber(answers) as address:
    monkeypatch.setenv('PUBSUB_EMULATOR_HOST', address)
    pubsubio.check(SUBSCRIPTION)
    pubsubio.check(f'{SUBSCRIPTION}-hidden')   # who may read it need not be allowed to look at it
    with pytest.raises(pubsubio.PubSubUnavailable, match='^there is no projects/my-project/'):
      pubsubio.check(f'{SUBSCRIPTION}-gone')
    with pytest.raises(pubsubio.PubSubUnavailable, match='^cannot look at .*-ill: 400 refused'):
      pubsubio.check(f'{SUBSCRIPTION}-ill')
    job = parse([f'--subscription={SUBSCRIPTION}-gone', '--runner=DataflowRunner',
                 '--region=us-central1'], 'test')
    (probe,) = job.source.probes()
    assert (probe.flag, probe.place) == ('--subscription', f'{SUBSCRIPTION}-gone')
    with pytest.raises(pubsubio.PubSubUnavailable, match='create it first'):
      probe.attempt()


class Elsewhere(localfilesystem.LocalFileSystem):
  """Folders of this machine under another scheme, which Beam then takes for another system."""
  written: list[str] = []

  @classmethod
  def scheme(cls):
    return 'elsewhere'

  def join(self, basepath, *paths):
    return '/'.join([basepath, *paths])

  def create(self, path, *args, **kwargs):
    self.written.append(path)
    return super().create(path.removeprefix('elsewhere://'), *args, **kwargs)

  def delete(self, paths):
    super().delete([path.removeprefix('elsewhere://') for path in paths])


def test_folder_of_another_file_system_is_written_to_and_left_clean(tmp_path):
  writable(f'elsewhere://{tmp_path}')
  (path,) = Elsewhere.written
  assert path.startswith(f'elsewhere://{tmp_path}/.write-probe-')
  assert not list(tmp_path.iterdir())
  (tmp_path / 'file').touch()
  with pytest.raises(ValueError, match=f"^cannot write to 'elsewhere://{tmp_path}/file': .*Errno"):
    writable(f'elsewhere://{tmp_path}/file')


@pytest.mark.parametrize(('flag', 'needs'), [
    ('--runner=DataflowRunner', 'Dataflow'), (f'--subscription={SUBSCRIPTION}', 'Pub/Sub')])
def test_missing_packages_of_google_are_named(flag, needs, tmp_path, monkeypatch, capsys):
  for module in ('dataflow', 'pubsub'):   # another test may have imported them
    monkeypatch.delitem(sys.modules, f'google.cloud.{module}', raising=False)
  monkeypatch.setitem(sys.modules, 'google.cloud', None)   # `google` itself comes with protobuf
  source = [] if 'subscription' in flag else ['--input=gs://bucket/x']
  assert topk.main([flag, *source, f'--rejects={tmp_path}', '--preflight=off']) == 2
  assert capsys.readouterr().err == (
      f"topk: {flag.split('=')[0]}: {needs} needs another package: "
      "pip install 'topk-leaderboard[dataflow]'\n")
