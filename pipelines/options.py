"""The flags of the main job, one class for each concern; `jobs` checks them."""
import argparse

from apache_beam.options.pipeline_options import PipelineOptions

from leaderboard.io import replayio
from leaderboard.pipelines.stores import ALL, add_store_flags


class InputOptions(PipelineOptions):
  """Which files are read."""

  @classmethod
  def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group('input')
    group.add_argument(
        '--input', metavar='PATHS',
        help='JSON lines (plain, .gz, .zst) or .parquet: paths, globs or URIs of any Beam file '
        'system, separated by commas. Example: data/events-*.jsonl.gz')


class EventOptions(PipelineOptions):
  """How events are understood."""

  @classmethod
  def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group('events')
    group.add_argument(
        '--timestamp_format', default='epoch_ms', metavar='FORMAT',
        help='what `timestamp` holds: epoch_ms (default), epoch_s or rfc3339')
    group.add_argument(
        '--item_path', metavar='TYPE=PATH,...', default='',
        help='where an event type keeps its item, when not in `item_id`. '
        'Example: song_play=metadata.song_id')
    group.add_argument(
        '--max_event_bytes', default=str(1 << 20), metavar='BYTES',
        help='longer lines are rejected unparsed (default 1048576 = 1 MiB)')


class KafkaOptions(PipelineOptions):
  """Which topics are read, and how."""

  @classmethod
  def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group('Kafka', 'In the place of --input; it is endless.')
    group.add_argument(
        '--kafka', metavar='SERVERS', help='brokers. Example: kafka-1:9092,kafka-2:9092')
    group.add_argument(
        '--topics', metavar='NAMES',
        help='topics separated by commas, or a regular expression that begins with ^; topics and '
        'partitions that come later are found. Example: ^events-.*')
    group.add_argument(
        '--kafka_config', metavar='FILE',
        help='further settings of the client, such as TLS and SASL: lines of name=value, by '
        'librdkafka\'s names, passwords as references such as env:NAME; a path of any Beam file '
        'system. Example: gs://my-bucket/kafka.properties')


class PubSubOptions(PipelineOptions):
  """Which subscription is read, and how."""

  @classmethod
  def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group('Pub/Sub', 'In the place of --input; on Dataflow, endless.')
    group.add_argument(
        '--subscription', metavar='PATH',
        help='Example: projects/my-project/subscriptions/events')
    group.add_argument(
        '--timestamp_attribute', metavar='NAME',
        help='attribute of a message that holds its event time, for the watermark (default: the '
        'time of publishing)')
    group.add_argument(
        '--id_label', metavar='NAME',
        help='attribute that is the same of messages published twice (default: none)')


class KafkaStreamOptions(PipelineOptions):
  """How topics are followed."""

  @classmethod
  def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group('following Kafka')
    group.add_argument(
        '--kafka_start', default='earliest', metavar='WHERE',
        help='where a new job begins: earliest (default), latest, committed (of --kafka_group) or '
        'a moment of the broker\'s clock, UTC, from which open windows are counted anew. A '
        'restored checkpoint goes on where it was. Example: 2013-07-01T00:00Z')
    group.add_argument(
        '--kafka_group', metavar='NAME',
        help='consumer group that is told how far the job has come (default: none)')
    group.add_argument(
        '--idle', default='1m', metavar='DURATION',
        help='a partition without messages for so long holds the watermark back no longer; 0s for '
        'never (default 1m)')
    group.add_argument(
        '--kafka_readers', default='1', metavar='N',
        help='how many readers share the partitions, up to one for each: as many as it takes on a '
        'cluster, one for each 250,000 events a second; on one machine, and on Prism, 1 (default)')
    group.add_argument(
        '--stop_at_end', nargs='?', const='true', default='false', metavar='true',
        help='ends when it has read what was there at the start')
    group.add_argument(
        '--dead_letters', metavar='TOPIC',
        help='sends refused events to this topic of --kafka, or of Pub/Sub '
        '(projects/my-project/topics/dead), too, with the reason in their headers')


class BackfillOptions(PipelineOptions):
  """Which events are counted again."""

  @classmethod
  def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group('events to count again')
    group.add_argument(
        '--archive', metavar='PATH',
        help='where the events are: the --parquet folder of the job that archived them '
        '(default: --parquet, unless --kafka names topics)')
    group.add_argument(
        '--from', dest='from_moment', metavar='MOMENT',
        help='the first window starts here: a date or time, in --time_zone unless it says '
        'otherwise. Example: 2013-07-01')
    group.add_argument(
        '--to', dest='to_moment', metavar='MOMENT',
        help='the last window ends here. Example: 2013-07-08T00:00Z')


class BoardOptions(PipelineOptions):
  """Which boards are made."""

  @classmethod
  def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group('boards')
    group.add_argument(
        '--windows', default='1m,5m,1h,1d', metavar='SIZES',
        help='window sizes, the smallest nesting in all: whole numbers of s, m, h, d, and without '
        '--streaming 1w and 1mo (default 1m,5m,1h,1d)')
    group.add_argument(
        '--time_zone', default='UTC', metavar='ZONE',
        help='whose midnights the windows 1d, 1w (from Monday) and 1mo start at; one store takes '
        'boards of one zone only (default UTC). Example: Europe/Berlin')
    group.add_argument(
        '--sliding', metavar='SIZES', default='',
        help='sliding windows: a size, and a period that is one of --windows. 1h/1m is the last '
        'hour, every minute; its boards are stored as 1h_every_1m. Example: 1h/1m,24h/1h')
    group.add_argument(
        '--k', default='10,50,100', metavar='KS',
        help='the top K that readers ask for: slices of one kept list (default 10,50,100)')
    group.add_argument(
        '--keep', default='1000', metavar='ROWS',
        help='rows that every stored board keeps, at least the largest K (default 1000)')
    group.add_argument(
        '--allowed_lateness', default='0s', metavar='DURATION',
        help='how late an event may be and still refine its boards; input that '
        'ends (files without --streaming) has no late events. Example: 2h (default 0s)')
    group.add_argument(
        '--generation', default='0', metavar='N',
        help='boards of a higher generation replace those of a lower one, whatever they hold; '
        'raise it to recompute (default 0)')
    group.add_argument(
        '--profile', default='default', metavar='NAME',
        help='size of a board\'s summary: default (4096 candidates, table 4 x 8192: exact up to '
        '8192 items) or small (a quarter)')
    group.add_argument(
        '--candidates', metavar='M',
        help='items tracked once a board has more than twice as many; tau <= total / M')
    group.add_argument(
        '--epsilon', metavar='E',
        help='table estimates exceed the truth by at most E * total, with probability 1 - DELTA '
        'per item; 0 leaves the table out, which is faster on flat data. Example: 0.001')
    group.add_argument('--delta', metavar='DELTA', help='see --epsilon. Example: 0.02')


class StreamOptions(PipelineOptions):
  """How an endless source is followed: what goes with Beam's own flag --streaming."""

  @classmethod
  def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        'streaming', 'With --streaming, files are replayed as an endless source: in the order '
        'of their paths, with a watermark.')
    group.add_argument(
        '--out_of_orderness', default='0s', metavar='DURATION',
        help='how far the watermark stays behind the newest event (default 0s). Example: 10m')
    group.add_argument(
        '--early', default='0s', metavar='DURATION',
        help='time of the clock between speculative boards of an open window; coarse windows '
        'speak less often (default 0s: none). Example: 10s')
    group.add_argument(
        '--max_future', default='1d', metavar='DURATION',
        help='how far ahead of the clock an event may lie (default 1d)')
    group.add_argument(
        '--future', default='reject', metavar='POLICY',
        help='what becomes of an event beyond --max_future: reject (default), or clamp to count '
        'it at the moment when it was read')
    group.add_argument(
        '--hot_key_shards', default='auto', metavar='N',
        help='workers that share the sums of a busy board: auto (default: 16 for boards that '
        'turn out busy), 0 for none, or a number to spread every board')
    group.add_argument(
        '--watch', metavar='DURATION',
        help='looks for new files of --input so often and never ends (this makes the job a '
        'streaming one); a file is read once, when it '
        'has stopped growing (default: ends with the files that are there). Example: 10s')
    group.add_argument(
        '--replay_bytes', default=str(replayio.REPLAY_BYTES), metavar='BYTES',
        help='the step in which a replay reads, and its watermark moves (default 1048576 = 1 MiB)')


class StoreOptions(PipelineOptions):
  """Where boards go; any store may be left out."""

  @classmethod
  def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
    add_store_flags(parser, ALL)


class RunOptions(PipelineOptions):
  """What the job says while and after it runs."""

  @classmethod
  def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group('running')
    group.add_argument(
        '--report', metavar='FILE', help='writes the closing account as JSON to this file too')
    group.add_argument(
        '--preflight', default='on', metavar='WHEN',
        help='tries the source and the stores before anything runs and tells all that is out of '
        'reach: on (default), only, which then ends and changes nothing, or off, which neither '
        'tries them nor brings the schema up to date')
    group.add_argument(
        '--log_level', default='CRITICAL', metavar='LEVEL',
        help='what the libraries may say: DEBUG, INFO, WARNING, ERROR or CRITICAL (default); '
        'ERROR shows where a failed job failed')


OWN_OPTIONS = (InputOptions, KafkaOptions, KafkaStreamOptions, PubSubOptions, EventOptions,
               BoardOptions, StreamOptions, StoreOptions, RunOptions)
