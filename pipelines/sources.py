"""Where events come from: each source says what it is and reads itself as blocks of events."""
import dataclasses
import functools
import re
from collections.abc import Mapping
from typing import Any

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from leaderboard.io import kafkaclient, kafkaio, secretsio
from leaderboard.io.archiveio import ReadArchive, archived_folders
from leaderboard.io.filesio import ReadBlocks, find_files, local_path, match_files
from leaderboard.io.replayio import ReplayFiles
from leaderboard.pipelines.checks import (
  FN_API_RUNNER,
  Problems,
  duration,
  installed,
  leaves_this_machine,
  moment,
  one_line,
  one_of,
  utc,
  whole,
)
from leaderboard.pipelines.options import (
  InputOptions,
  KafkaOptions,
  KafkaStreamOptions,
  PubSubOptions,
  StreamOptions,
)
from leaderboard.pipelines.preflight import Probe
from leaderboard.transforms.counting import CountingRules

# Of librdkafka: sasl.password, ssl.key.pem, sasl.oauthbearer.client.secret and their like.
_SECRET_SETTING = re.compile(r'password|secret|key\.pem|\.jaas\.')


class Source:
  """A source of events."""

  def probes(self) -> list[Probe]:
    """What is tried before a job reads it."""
    return []

  def paths(self) -> list[tuple[str, str]]:
    """(flag, path) of the files that it reads."""
    return []

  def names(self) -> frozenset[str]:
    """What it reads, as origins name it; empty where that is known only while it is read."""
    return frozenset()

  def read(self, pipeline: beam.Pipeline, rules: CountingRules) -> beam.PCollection:
    """The events as EventBlock."""
    raise NotImplementedError

  def return_rejects(self, rejects: beam.PCollection) -> None:
    """Sends refused events (RefusedBlock) back, where the source has a place for them."""


@dataclasses.dataclass(frozen=True)
class Files(Source):
  """Files that are read to their end, in any order.

  Attributes:
    patterns: see ReadBlocks.
  """
  patterns: str

  def probes(self) -> list[Probe]:
    return [_files_probe(self.patterns)]

  def paths(self) -> list[tuple[str, str]]:
    return _input_paths(self.patterns)

  def names(self) -> frozenset[str]:
    return _file_names(self.patterns)

  def read(self, pipeline: beam.Pipeline, rules: CountingRules) -> beam.PCollection:
    return pipeline | 'ReadFiles' >> ReadBlocks(self.patterns)


@dataclasses.dataclass(frozen=True)
class Replay(Source):
  """Files as an endless source; see ReplayFiles."""
  patterns: str
  out_of_orderness_secs: int
  block_bytes: int
  watch_secs: int | None = None

  def probes(self) -> list[Probe]:
    return [] if self.watch_secs else [_files_probe(self.patterns)]

  def paths(self) -> list[tuple[str, str]]:
    return _input_paths(self.patterns)

  def names(self) -> frozenset[str]:
    return _file_names(self.patterns)

  def read(self, pipeline: beam.Pipeline, rules: CountingRules) -> beam.PCollection:
    return pipeline | 'ReplayFiles' >> ReplayFiles(
        self.patterns, rules, self.out_of_orderness_secs, self.block_bytes, self.watch_secs)


@dataclasses.dataclass(frozen=True)
class Kafka(Source):
  """Topics as an endless source; see ReadFromKafka.

  Attributes:
    dead_letters: topic of the refused events; None for none.
  """
  servers: str
  topics: str
  start: str | int
  group: str | None
  out_of_orderness_secs: int
  idle_secs: int
  stop_at_end: bool
  config: Mapping[str, str]
  dead_letters: str | None = None
  readers: int = 1

  def read(self, pipeline: beam.Pipeline, rules: CountingRules) -> beam.PCollection:
    return pipeline | 'ReadFromKafka' >> kafkaio.ReadFromKafka(
        self.servers, self.topics, rules, self.start, self.group, self.out_of_orderness_secs,
        self.idle_secs, self.stop_at_end, self.config, self.readers)

  def probes(self) -> list[Probe]:
    return [_topics_probe(self.servers, topics, self.config)
            for topics in (self.topics, self.dead_letters) if topics]

  def return_rejects(self, rejects: beam.PCollection) -> None:
    if self.dead_letters:
      rejects | 'DeadLetters' >> kafkaio.WriteRejectsToKafka(
          self.servers, self.dead_letters, self.config)


@dataclasses.dataclass(frozen=True)
class KafkaRange(Source):
  """The events of [from, to), epoch seconds, in topics."""
  servers: str
  topics: str
  from_secs: int
  to_secs: int
  config: Mapping[str, str]

  def read(self, pipeline: beam.Pipeline, rules: CountingRules) -> beam.PCollection:
    return pipeline | 'ReadKafkaRange' >> kafkaio.ReadKafkaRange(
        self.servers, self.topics, rules, self.from_secs, self.to_secs, self.config)

  def probes(self) -> list[Probe]:
    return [_topics_probe(self.servers, self.topics, self.config)]


@dataclasses.dataclass(frozen=True)
class PubSub(Source):
  """A subscription as an endless source; see ReadFromPubSub.

  Attributes:
    dead_letters: topic of the refused events; None for none.
  """
  subscription: str
  timestamp_attribute: str | None
  id_label: str | None
  dead_letters: str | None = None

  def probes(self) -> list[Probe]:
    return [Probe(flag, path, functools.partial(_check_exists, path)) for flag, path in (
        ('--subscription', self.subscription), ('--dead_letters', self.dead_letters)) if path]

  def read(self, pipeline: beam.Pipeline, rules: CountingRules) -> beam.PCollection:
    from leaderboard.io import pubsubio  # of the extra `dataflow`
    return pipeline | 'ReadFromPubSub' >> pubsubio.ReadFromPubSub(
        self.subscription, self.timestamp_attribute, self.id_label)

  def return_rejects(self, rejects: beam.PCollection) -> None:
    if self.dead_letters:
      from leaderboard.io import pubsubio
      rejects | 'DeadLetters' >> pubsubio.WriteRejectsToPubSub(self.dead_letters)


def _file_names(patterns: str) -> frozenset[str]:
  return frozenset(file.path for file in find_files(patterns))


def _files_probe(patterns: str) -> Probe:
  return Probe('--input', patterns, functools.partial(match_files, patterns))


def _input_paths(patterns: str) -> list[tuple[str, str]]:
  return [('--input', pattern) for pattern in patterns.split(',')]


def _topics_probe(servers: str, topics: str, config: Mapping[str, str]) -> Probe:
  return Probe('--kafka', f'{servers}, topics {topics}',
               functools.partial(kafkaclient.check, servers, topics, config))


def _check_exists(path: str) -> None:
  from leaderboard.io import pubsubio  # of the extra `dataflow`
  pubsubio.check(path)


@dataclasses.dataclass(frozen=True)
class Archive(Source):
  """The archived events of [from, to), epoch seconds."""
  root: str
  from_secs: int
  to_secs: int

  def probes(self) -> list[Probe]:
    return [Probe('--archive', self.root, functools.partial(
        _check_archive, self.root, self.from_secs, self.to_secs))]

  def paths(self) -> list[tuple[str, str]]:
    return [('--archive', self.root)]

  def names(self) -> frozenset[str]:
    return frozenset(archived_folders(self.root, self.from_secs, self.to_secs))

  def read(self, pipeline: beam.Pipeline, rules: CountingRules) -> beam.PCollection:
    return pipeline | 'ReadArchive' >> ReadArchive(self.root, self.from_secs, self.to_secs)


def _check_archive(root: str, from_secs: int, to_secs: int) -> None:
  if not archived_folders(root, from_secs, to_secs):
    raise ValueError(f'{root} holds no events from {utc(from_secs)} to {utc(to_secs)}; name the '
                     f'--parquet folder of the job that archived them')


def resolve_source(problems: Problems, options: PipelineOptions) -> Source | None:
  """The source that the flags name; what is wrong goes to `problems`."""
  inputs, kafka, follow, pubsub, streams = (options.view_as(one) for one in (
      InputOptions, KafkaOptions, KafkaStreamOptions, PubSubOptions, StreamOptions))
  named = [f'--{name}={value}' for name, value in (
      ('input', inputs.input), ('kafka', kafka.kafka), ('subscription', pubsub.subscription))
           if value]
  if len(named) > 1:
    problems.found.append(f'{named[1].split("=")[0]}: one source at a time; got {named[0]} too')
  if kafka.kafka:
    # Topics have no end.
    options.view_as(StandardOptions).streaming = True
    return _resolve_kafka(problems, kafka, follow, streams,
                          options.view_as(StandardOptions).runner)
  for flags, flag in ((kafka, 'topics'), (kafka, 'kafka_config'), (follow, 'kafka_group')):
    if getattr(flags, flag):
      problems.found.append(f'--{flag}: goes with --kafka; got --{flag}={getattr(flags, flag)} '
                            f'alone')
  if pubsub.subscription:
    options.view_as(StandardOptions).streaming = True
    return _resolve_pubsub(problems, pubsub, follow)
  for flags, flag, needed in (
      (pubsub, 'timestamp_attribute', '--subscription'), (pubsub, 'id_label', '--subscription'),
      (follow, 'dead_letters', '--kafka or --subscription')):
    if getattr(flags, flag):
      problems.found.append(f'--{flag}: goes with {needed}; got --{flag}={getattr(flags, flag)} '
                            f'alone')
  watch = streams.watch and problems.check('--watch', duration, streams.watch)
  if not inputs.input:
    problems.found.append('--input: is required: the path or glob of the events to count (or '
                          '--kafka, or --subscription)')
  standard = options.view_as(StandardOptions)
  if watch:
    standard.streaming = True   # it has no end
  if watch and standard.runner == FN_API_RUNNER:
    problems.found.append(f'--watch: goes with a --runner of endless input (FnApiRunner publishes '
                          f'when its input ends); got --watch={streams.watch}')
  out_of_orderness = problems.check('--out_of_orderness', duration, streams.out_of_orderness)
  replay_bytes = problems.check('--replay_bytes', whole, streams.replay_bytes, 1, 1 << 30)
  if standard.streaming and inputs.input:
    return Replay(inputs.input, out_of_orderness, replay_bytes, watch or None)
  return Files(inputs.input) if inputs.input else None


def _resolve_pubsub(problems: Problems, flags: Any, follow: Any) -> PubSub:
  problems.check('--subscription', _check_path, flags.subscription, 'subscriptions')
  if follow.dead_letters:
    problems.check('--dead_letters', _check_path, follow.dead_letters, 'topics')
  if not installed('google.cloud.pubsub'):
    problems.found.append('--subscription: Pub/Sub needs another package: '
                          "pip install 'topk-leaderboard[dataflow]'")
  return PubSub(flags.subscription, flags.timestamp_attribute, flags.id_label,
                follow.dead_letters)


def _check_path(path: str, kind: str) -> None:
  # As the service names projects and what is in them.
  name = '[a-zA-Z][-a-zA-Z0-9_.~+%]{2,254}'
  if not re.fullmatch(f'projects/[a-z][-a-z0-9:.]{{4,61}}[a-z0-9]/{kind}/{name}', path):
    raise ValueError(f'must be projects/PROJECT/{kind}/NAME, got {path!r}')


def _resolve_kafka(problems: Problems, flags: Any, follow: Any, streams: Any,
                   runner: str) -> Kafka:
  topics = resolve_topics(problems, flags)
  start = problems.check('--kafka_start', _kafka_start, follow.kafka_start)
  if start == 'committed' and not follow.kafka_group:
    problems.found.append('--kafka_start: committed offsets are those of a --kafka_group; name it')
  readers = problems.check('--kafka_readers', whole, follow.kafka_readers, 1, 10_000)
  if readers and readers > 1 and runner in ('PrismRunner', 'DirectRunner'):
    problems.found.append(f'--kafka_readers: Prism takes the watermark of one reader for that of '
                          f'all; leave it out, got {readers} with --runner={runner}')
  return Kafka(
      servers=flags.kafka, topics=topics, start=start, group=follow.kafka_group,
      out_of_orderness_secs=problems.check(
          '--out_of_orderness', duration, streams.out_of_orderness),
      idle_secs=problems.check('--idle', duration, follow.idle), stop_at_end=problems.check(
          '--stop_at_end', one_of, follow.stop_at_end, ('true', 'false')) == 'true',
      config=read_kafka_config(problems, flags), dead_letters=follow.dead_letters,
      readers=readers or 1)


def resolve_topics(problems: Problems, flags: Any) -> str:
  if not flags.topics:
    problems.found.append('--topics: is required: names separated by commas, or a pattern that '
                          'begins with ^')
  elif flags.topics.startswith('^'):
    problems.check('--topics', _check_pattern, flags.topics)
  return flags.topics or ''


def _check_pattern(pattern: str) -> None:
  try:
    re.compile(pattern)
  except re.error as error:
    raise ValueError(f'must be a regular expression; {error}; got {pattern!r}') from None


def _kafka_start(text: str) -> str | int:
  if text in ('earliest', 'latest', 'committed'):
    return text
  try:
    return moment(text, 'UTC')
  except ValueError as error:
    raise ValueError(f'must be earliest, latest or committed, or a moment; {error}') from None


def read_kafka_config(problems: Problems, flags: Any) -> dict[str, str]:
  """The settings of --kafka_config: lines of name=value."""
  if not flags.kafka_config:
    return {}
  config = problems.check('--kafka_config', _kafka_config, flags.kafka_config) or {}
  shown = [name for name, value in config.items()
           if _SECRET_SETTING.search(name) and not secretsio.is_reference(value)]
  if shown and leaves_this_machine(flags):
    problems.found.append(
        f'--kafka_config: {", ".join(shown)} of {flags.kafka_config} would stand in the graph of '
        f'the job; keep it elsewhere and name it: env:NAME, file:PATH or '
        f'secret://projects/P/secrets/NAME')
  return config


def _kafka_config(path: str) -> dict[str, str]:
  config = {}
  try:
    with FileSystems.open(local_path(path)) as file:
      lines = file.read().decode().splitlines()
  except Exception as error:   # of any kind that a client of a file system or its sign-in has
    raise ValueError(f'cannot read {path!r}: {one_line(error)}') from None
  for number, line in enumerate(lines, 1):
    line = line.strip()
    if not line or line.startswith('#'):
      continue
    name, equals, value = line.partition('=')
    if not equals:
      raise ValueError(f'line {number} of {path} must be name=value')
    config[name.strip()] = value.strip()
  kafkaclient.check_config(config)
  return config
