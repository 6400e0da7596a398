"""Live boards of every kind of Redis that the jobs write to."""
import pytest
import redis
import serving
from servers import rediscluster

from leaderboard.api.settings import Settings
from leaderboard.io import redisio

# As docs/api.md lists them.
COMMANDS = (
    'ping', 'hello', 'client|setinfo', 'client|setname', 'get', 'set', 'hgetall', 'smembers',
    'hmget', 'multi', 'exec', 'scan', 'psubscribe', 'xread', 'xrange', 'xinfo')


def first(client, tenant, **where):
  board = client.get('/v1/leaderboards/play', params={
      'tenant': tenant, 'window': '1h', 'at': '2013-01-01', **where}).json()
  return board['path'], [(row['item'], row['count']) for row in board['rows']]


def connected(client):
  return 'topk_feed_connected 1.0' in client.get('/metrics').text


@pytest.mark.slow
def test_cluster_is_read_and_followed(tmp_path, make_record):
  with rediscluster.RedisCluster(tmp_path) as cluster:
    boards = redisio.RedisBoards(cluster.url)
    boards.apply([make_record({'a': number + 1}, tenant_id=f't{number}') for number in range(30)])
    boards.publish_watermark('job', 1_357_002_000, 0)
    with serving.serving(Settings(redis=cluster.url)) as client:
      serving.eventually(lambda: connected(client))
      for number in range(30):
        assert first(client, f't{number}') == ('live', [('a', number + 1)])
      boards.apply([make_record({'a': 900}, tenant_id=f't{number}') for number in range(30)])
      for number in range(30):
        serving.eventually(lambda number=number: first(client, f't{number}')[1] == [('a', 900)], 1)
      newest = client.get('/v1/leaderboards/play?tenant=t3&window=1h').json()
      assert newest['final'] is True and newest['rows'][0]['count'] == 900
    boards.close()


def test_reader_needs_few_commands(redis_url, make_record):
  boards = redisio.RedisBoards(redis_url)
  boards.apply([make_record({'a': 1})])
  with redis.Redis.from_url(redis_url) as raw:
    raw.execute_command('ACL', 'SETUSER', 'reader', 'reset', 'on', '>pw', '~topk:*', '&topk:*',
                        *(f'+{name}' for name in COMMANDS))
    raw.execute_command('ACL', 'SETUSER', 'nobody', 'reset', 'on', '>pw')
  with serving.serving(Settings(redis=redis_url.replace('//', '//reader:pw@'))) as client:
    serving.eventually(lambda: connected(client))
    assert first(client, 'acme') == ('live', [('a', 1)])
    assert client.get('/v1/tenants').json() == {'tenants': ['acme']}
    assert client.get('/readyz').status_code == 200
  with serving.serving(Settings(redis=redis_url.replace('//', '//nobody:pw@'))) as client:
    answer = client.get('/v1/leaderboards/play?tenant=acme')
    assert answer.status_code == 503 and 'pw' not in answer.text
  boards.close()
