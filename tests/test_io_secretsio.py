"""Secrets stand nowhere but where they are used."""
import apache_beam as beam
import pytest

from leaderboard.io import kafkaclient, postgresio, redisio, secretsio
from leaderboard.io.postgresio import PostgresBoards
from leaderboard.io.redisio import RedisBoards
from leaderboard.pipelines import topk
from leaderboard.pipelines.jobs import parse


def test_stores_are_reached_by_reference(redis_url, postgres_dsn, tmp_path, monkeypatch,
                                         make_record):
  monkeypatch.setenv('BOARDS_REDIS', redis_url)
  (tmp_path / 'dsn').write_text(postgres_dsn + '\n')
  redis, postgres = 'env:BOARDS_REDIS', f'file:{tmp_path}/dsn'
  redisio.check(redis)
  postgresio.check(postgres)
  for store in (RedisBoards(redis), PostgresBoards(postgres)):
    store.apply([make_record({'a': 1})])
    assert store.read_board('acme', 'play', '1h', 1_356_998_400).events == 1
    store.close()


@pytest.mark.parametrize(('reference', 'problem'), [
    ('env:NOT_THERE', 'env:NOT_THERE: there is no such environment variable'),
    ('file:/not/there', 'file:/not/there: No such file or directory; put it on every worker'),
    ('secret://my-secret', 'secret://my-secret: must be secret://projects/PROJECT/secrets/NAME'),
])
def test_reference_that_leads_nowhere_is_named(reference, problem):
  for check, error in ((redisio.check, redisio.RedisUnavailable),
                       (postgresio.check, postgresio.PostgresUnavailable)):
    with pytest.raises(error, match=problem):
      check(reference)
  with pytest.raises(kafkaclient.KafkaUnavailable, match=problem):
    kafkaclient.open_consumer('localhost:1', {'sasl.password': reference}, None)


def test_graph_is_built_without_the_secret(tmp_path, monkeypatch, sample_events):
  monkeypatch.setenv('BOARDS_REDIS', 'redis://:hidden-word@redis:6379/0')
  looked_up = []
  monkeypatch.setattr(secretsio, 'resolve', looked_up.append)
  job = parse([f'--input={sample_events}', '--streaming', '--redis=env:BOARDS_REDIS',
               '--postgres=file:/run/dsn', f'--data_dir={tmp_path}'], 'test')
  pipeline = beam.Pipeline(options=job.beam)
  topk.build(pipeline, job, 'run', job.stores)
  pipeline.to_runner_api()
  assert looked_up == []   # so it cannot be in the graph, however that is encoded
  assert 'hidden-word' not in str(job.beam.get_all_options())


def test_other_text_is_left_as_it_is():
  for text in ('redis://cache:6379/0', 'file:///data', 'postgresql://db/boards', 'embedded'):
    assert secretsio.resolve(text) == text


def test_secret_manager_is_asked_for_the_newest_version_or_the_one_that_is_named(
    secret_manager, secrets):
  secrets['projects/my-project/secrets/dsn'] = 'postgresql://:word@db/boards\n'
  for reference in ('secret://projects/my-project/secrets/dsn',
                    'secret://projects/my-project/secrets/dsn/versions/1'):
    assert secretsio.resolve(reference) == 'postgresql://:word@db/boards'
  for absent in ('secret://projects/my-project/secrets/other',
                 'secret://projects/my-project/secrets/dsn/versions/7'):
    with pytest.raises(secretsio.SecretUnavailable, match=f'^{absent}: 404 Secret'):
      secretsio.resolve(absent)


@pytest.mark.parametrize(('text', 'shown'), [
    ('redis://:wo/rd@cache:6379/0', 'redis://:***@cache:6379/0'),
    ('rediss+cluster://me:word@a:1', 'rediss+cluster://me:***@a:1'),
    ('postgresql://db/boards?user=me&password=word&sslmode=require',
     'postgresql://db/boards?user=me&password=***&sslmode=require'),
    ("host=db password='wo rd' dbname=boards", 'host=db password=*** dbname=boards'),
])
def test_passwords_are_found_and_hidden(text, shown):
  assert secretsio.holds_password(text)
  assert secretsio.masked(f'--flag={text} is wrong') == f'--flag={shown} is wrong'


@pytest.mark.parametrize('text', [
    'redis://cache:6379/0', 'redis://me@cache', 'postgresql://me:@/boards?host=/run/postgres',
    'postgresql://db:5432/boards', 'host=db user=me', 'embedded', 'env:PASSWORD',
    'secret://projects/p/secrets/password=1'])
def test_what_holds_no_password_is_left_as_it_is(text):
  assert not secretsio.holds_password(text)
