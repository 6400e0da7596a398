"""What a template's parameters are called and what they may hold; the rest is in the options."""
import dataclasses

_DURATION = r'^([1-9][0-9]*[smhd]|0s?)$'
_NUMBER = r'^[0-9]+$'
_SIZES = r'^([1-9][0-9]*[smhd]|1w|1mo)(,([1-9][0-9]*[smhd]|1w|1mo))*$'
_SIZE = r'^([1-9][0-9]*[smhd]|1w|1mo)$'
_MOMENT = r'^[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2})?(Z|[+-][0-9]{2}:[0-9]{2})?)?$'
_REFERENCE = (r'secret:\/\/projects\/[^\n\r\/]+\/secrets\/[^\n\r\/]+(\/versions\/[^\n\r\/]+)?|'
              r'env:[A-Za-z_][A-Za-z0-9_]*|file:[^\n\r]+')
# A URL with a user and no password, or a reference to one that has it.
_REDIS, _POSTGRES = (fr'^({schemes}:\/\/([^\n\r:@\/]*@)?[^\n\r@]+|{_REFERENCE})$' for schemes in (
    r'rediss?(\+cluster)?', r'postgres(ql)?'))
_GCS = r'gs:\/\/[^\n\r,]+'
_PATH = r'^[^\n\r]+$'
_URL = ('{}: a URL without a password ({}), or where the URL is: secret://projects/P/secrets/NAME, '
        'env:NAME or file:PATH')
SOURCE, TARGET, BOARDS, EVENTS, STREAM, RUN = (
    'Source', 'Target', 'Boards', 'Events', 'Streaming', 'Running')


@dataclasses.dataclass(frozen=True)
class Parameter:
  """What the console shows of an option and checks.

  Attributes:
    label: a few words.
    group: of the form.
    example: a value that a job may really have.
    wrong: a value that the regular expression must refuse.
    regex: of all values; None where `enum` lists them.
    enum: all values; None where they are open.
    kind: paramType of the service.
    parent, triggers: another parameter, and its values that make this one meaningful.
    hidden: not shown, for it means something on one's own machine alone.
    text: in the place of the option's help, where that tells of one's own machine.
  """
  label: str
  group: str
  example: str
  wrong: str
  regex: str | None = None
  enum: tuple[str, ...] | None = None
  kind: str = 'TEXT'
  parent: str | None = None
  triggers: tuple[str, ...] = ()
  hidden: bool = False
  text: str | None = None


def _duration(label: str, group: str, example: str, **more: object) -> Parameter:
  return Parameter(label, group, example, '5|', _DURATION, **more)   # type: ignore[arg-type]


def _number(label: str, group: str, example: str, **more: object) -> Parameter:
  return Parameter(label, group, example, '-1', _NUMBER, kind='NUMBER',
                   **more)   # type: ignore[arg-type]


def _choice(label: str, group: str, *enum: str, **more: object) -> Parameter:
  return Parameter(label, group, enum[0], 'other', **{'enum': enum, 'kind': 'ENUM', **more})   # type: ignore[arg-type]


# By option, in the order of the form.
PARAMETERS: dict[str, Parameter] = {
    'input': Parameter(
        'Files of events', SOURCE, 'gs://my-bucket/events/*.jsonl.gz', '/data/events',
        f'^{_GCS}(,{_GCS})*$'),
    'kafka': Parameter(
        'Kafka brokers', SOURCE, 'kafka-1:9092,kafka-2:9092', 'kafka-1',
        r'^[^\s:,]+:[0-9]+(,[^\s:,]+:[0-9]+)*$'),
    'topics': Parameter('Kafka topics', SOURCE, '^events-.*', '', r'^\S+$', parent='kafka'),
    'kafka_config': Parameter(
        'File of Kafka settings', SOURCE, 'gs://my-bucket/kafka.properties', 'client.properties',
        f'^({_GCS}|\\/[^\\n\\r]+)$', parent='kafka'),
    'kafka_start': Parameter(
        'Where a new job begins', SOURCE, 'latest', 'soon',
        r'^(earliest|latest|committed|' + _MOMENT[1:-1] + ')$', parent='kafka'),
    'kafka_group': Parameter('Kafka consumer group', SOURCE, 'leaderboards', '', r'^\S+$',
                             parent='kafka'),
    'idle': _duration('Idle partitions are left out after', SOURCE, '1m', parent='kafka'),
    'kafka_readers': _number('Readers of Kafka', SOURCE, '4', parent='kafka'),
    'stop_at_end': _choice('Stop at the end', SOURCE, 'true', 'false', kind='BOOLEAN',
                           parent='kafka'),
    'subscription': Parameter(
        'Pub/Sub subscription', SOURCE, 'projects/my-project/subscriptions/events', 'events',
        r'^projects\/[^\n\r\/]+\/subscriptions\/[^\n\r\/]+$', kind='PUBSUB_SUBSCRIPTION'),
    'timestamp_attribute': Parameter(
        'Attribute with the event time', SOURCE, 'ts', '', r'^\S+$', parent='subscription'),
    'id_label': Parameter('Attribute that identifies a message', SOURCE, 'uid', '', r'^\S+$',
                          parent='subscription'),
    'archive': Parameter('Archive of events', SOURCE, 'gs://my-bucket/boards', '/boards',
                         f'^{_GCS}$', kind='GCS_READ_FOLDER'),
    'from': Parameter(
        'Start of the time', SOURCE, '2013-07-01', 'July', _MOMENT),
    'to': Parameter('End of the time', SOURCE, '2013-07-08', 'July', _MOMENT),
    'timestamp_format': _choice('Format of `timestamp`', EVENTS, 'epoch_ms', 'epoch_s', 'rfc3339'),
    'item_path': Parameter(
        'Where types keep their item', EVENTS, 'song_play=metadata.song_id', 'song_play',
        r'^[^=,\s]+=[^=,\s]+(,[^=,\s]+=[^=,\s]+)*$'),
    'max_event_bytes': _number('Longest event, bytes', EVENTS, '1048576'),
    'from_size': Parameter('Size of the stored boards', BOARDS, '1h', '1', _SIZE),
    'windows': Parameter('Window sizes', BOARDS, '1m,5m,1h,1d', '1m,5', _SIZES),
    'time_zone': Parameter('Time zone of days', BOARDS, 'Europe/Berlin', 'Middle Earth',
                           r'^[A-Za-z0-9_+\/-]+$'),
    'sliding': Parameter(
        'Sliding windows', BOARDS, '1h/1m,24h/1h', '1h',
        r'^[1-9][0-9]*[smhd]\/[1-9][0-9]*[smhd](,[1-9][0-9]*[smhd]\/[1-9][0-9]*[smhd])*$'),
    'k': Parameter('Top K', BOARDS, '10,50,100', 'ten', r'^[1-9][0-9]*(,[1-9][0-9]*)*$'),
    'keep': _number('Rows of a stored board', BOARDS, '1000'),
    'allowed_lateness': _duration('Allowed lateness', BOARDS, '2h'),
    'generation': _number('Generation', BOARDS, '0'),
    'profile': _choice('Size of summaries', BOARDS, 'default', 'small'),
    'candidates': _number('Tracked items', BOARDS, '4096'),
    'epsilon': Parameter('Epsilon of the table', BOARDS, '0.001', '2,5', r'^0(\.[0-9]+)?$'),
    'delta': Parameter('Delta of the table', BOARDS, '0.02', '2,5', r'^0\.[0-9]+$',
                       parent='epsilon'),
    'out_of_orderness': _duration('Out-of-orderness', STREAM, '30s'),
    'early': _duration('Early boards every', STREAM, '10s'),
    'max_future': _duration('Farthest future of an event', STREAM, '1d'),
    'future': _choice('Events of the future', STREAM, 'reject', 'clamp'),
    'hot_key_shards': Parameter('Workers of a busy board', STREAM, 'auto', 'many',
                                r'^(auto|[0-9]+)$'),
    'watch': _duration('Look for new files every', STREAM, '10s', parent='input'),
    'replay_bytes': _number('Step of a replay, bytes', STREAM, '1048576', parent='input'),
    'redis': Parameter(
        'Redis', TARGET, 'secret://projects/my-project/secrets/redis-url',
        'redis://:word@cache:6379/0', _REDIS, text=_URL.format(
            'real-time boards', 'redis://host:port/db, with TLS rediss://..., a cluster '
            'redis+cluster://...')),
    'redis_ttl': Parameter(
        'How long boards stay in Redis', TARGET, '1m=2h,1h=7d', '1m',
        r'^[^=,\s]+=[1-9][0-9]*[smhd](,[^=,\s]+=[1-9][0-9]*[smhd])*$', parent='redis'),
    'on_redis_failure': _choice('When Redis stays away', TARGET, 'fail', 'skip', parent='redis'),
    'postgres': Parameter(
        'PostgreSQL', TARGET, 'secret://projects/my-project/secrets/postgres-dsn',
        'postgresql://user:word@db/boards', _POSTGRES, text=_URL.format(
            'board history', 'postgresql://user@host:port/db')),
    'parquet': Parameter('Parquet folder', TARGET, 'gs://my-bucket/boards', '/boards', f'^{_GCS}$',
                         kind='GCS_WRITE_FOLDER'),
    'rejects': Parameter('Folder of rejects and accounts', TARGET, 'gs://my-bucket/ledger',
                         '/ledger', f'^{_GCS}$', kind='GCS_WRITE_FOLDER', text=(
                             'folder for rejects/, too_late/ and accounts/; needed where no '
                             'Parquet folder is given, which is the default')),
    'dead_letters': Parameter(
        'Topic of rejects', TARGET, 'projects/my-project/topics/dead', '', r'^\S+$'),
    'data_dir': Parameter('Folder of embedded servers', TARGET, 'data', '', _PATH, hidden=True),
    'report': Parameter('File of the closing account', RUN, 'report.json', '', _PATH,
                        hidden=True),
    'preflight': _choice('Try the resources first', RUN, 'on', 'only', 'off'),
    'log_level': _choice('Log level', RUN, 'ERROR', 'DEBUG', 'INFO', 'WARNING', 'CRITICAL'),
}
