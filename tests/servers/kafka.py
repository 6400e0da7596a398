"""A real Kafka broker of one node, from package registries.

  with kafka.Broker() as broker:
    broker.create_topic('events', partitions=4)
    broker.produce('events', [b'{...}'], partition=0)
"""
import base64
import contextlib
import pathlib
import subprocess
import tempfile
import uuid
from collections.abc import Iterable
from typing import Any

from confluent_kafka import KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from servers import cache, maven
from servers.processes import Server, free_port, start_java, wait_for

KAFKA = '3.9.1'

_START_SECS = 90
_HEAP_MB = 768
# Of the listener with TLS; nothing else stands behind it than a test.
USER, PASSWORD, _STORE_PASSWORD = 'reader', 'open sesame', 'store-of-a-test'
_LOGIN = 'org.apache.kafka.common.security.plain.PlainLoginModule'
_CONFIG = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@localhost:{controller}
listeners=PLAINTEXT://localhost:{port},SASL_SSL://localhost:{secure},CONTROLLER://localhost:{controller}
advertised.listeners=PLAINTEXT://localhost:{port},SASL_SSL://localhost:{secure}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT
sasl.enabled.mechanisms=PLAIN
listener.name.sasl_ssl.plain.sasl.jaas.config={login} required user_{user}="{password}";
ssl.keystore.location={folder}/broker.p12
ssl.keystore.password={store_password}
ssl.keystore.type=PKCS12
log.dirs={folder}/data
num.partitions=1
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
# Events of long ago must not vanish.
log.retention.ms=-1
log.message.timestamp.after.max.ms=9223372036854775807
"""


def missing() -> str | None:
  """The reason why no broker can be started on this machine, or None."""
  return cache.missing(java='Java 11 or 17', keytool='Java 11 or 17', mvn='Maven')


class Broker:
  """A context manager: one broker on a free port, its data in a folder that goes with it.

  Attributes:
    secure_url: where it speaks TLS and asks for USER and PASSWORD (SASL PLAIN).
    certificate: what a client has to trust there, a PEM file.
  """

  def __enter__(self) -> 'Broker':
    with contextlib.ExitStack() as stack:
      self.folder = pathlib.Path(stack.enter_context(
          tempfile.TemporaryDirectory(prefix='topk-kafka-', ignore_cleanup_errors=True)))
      self._starts = 0
      self._port, secure, controller = free_port(), free_port(), free_port()
      self.secure_url = f'localhost:{secure}'
      self.certificate = self.folder / 'broker.pem'
      self._make_certificate()
      self._config = self.folder / 'server.properties'
      self._config.write_text(_CONFIG.format(
          port=self._port, secure=secure, controller=controller, folder=self.folder, user=USER,
          password=PASSWORD, store_password=_STORE_PASSWORD, login=_LOGIN))
      format_tool = self._java('kafka.tools.StorageTool', [
          'format', f'--cluster-id={_cluster_id()}', f'--config={self._config}'])
      if format_tool.process.wait():
        raise RuntimeError(format_tool.tail())
      self.start()
      stack.callback(lambda: self._server.kill())
      self._stack = stack.pop_all()
    return self

  def __exit__(self, *_: object) -> None:
    self._stack.close()

  @property
  def url(self) -> str:
    return f'localhost:{self._port}'

  def start(self) -> None:
    """Starts the broker, on the data and the port of before."""
    self._server = self._java('kafka.Kafka', [str(self._config)])
    wait_for('no broker', self._answers, _START_SECS, self._server)

  def kill(self) -> None:
    """Ends it as a crash would (SIGKILL)."""
    self._server.kill()

  def create_topic(self, name: str, partitions: int = 1, **config: Any) -> str:
    admin = self._admin()   # kept: what it promised ends with it
    (done,) = admin.create_topics(
        [NewTopic(name, partitions, 1, config={key.replace('_', '.'): str(value)
                                               for key, value in config.items()})]).values()
    done.result(30)
    return name

  def add_partitions(self, topic: str, total: int) -> None:
    admin = self._admin()
    (done,) = admin.create_partitions([NewPartitions(topic, total)]).values()
    done.result(30)

  def delete_records(self, topic: str, partition: int, before: int) -> None:
    """Makes the first offsets vanish, as retention does."""
    admin = self._admin()
    (done,) = admin.delete_records([TopicPartition(topic, partition, before)]).values()
    done.result(30)

  def producer(self, **config: Any) -> Producer:
    return Producer({'bootstrap.servers': self.url, 'linger.ms': 5, 'log_level': 0,
                     'queue.buffering.max.messages': 1_000_000,
                     **{key.replace('_', '.'): value for key, value in config.items()}})

  def produce(self, topic: str, values: Iterable[bytes | None], partition: int = 0,
              timestamps_ms: Iterable[int] | None = None) -> None:
    """Writes messages and waits until the broker has them all."""
    producer, failed = self.producer(), []

    def told(error, _):
      if error:
        failed.append(error)

    times = iter(timestamps_ms) if timestamps_ms is not None else None
    for value in values:
      stamp = {} if times is None else {'timestamp': next(times)}
      while True:
        try:
          producer.produce(topic, value, partition=partition, on_delivery=told, **stamp)
          break
        except BufferError:
          producer.poll(0.1)
      producer.poll(0)
    producer.flush(60)
    if failed:
      raise RuntimeError(failed[0])

  def _make_certificate(self) -> None:
    store = ['-keystore', str(self.folder / 'broker.p12'), '-storepass', _STORE_PASSWORD,
             '-alias', 'broker']
    for arguments in (
        ['-genkeypair', '-keyalg', 'EC', '-storetype', 'PKCS12', '-dname', 'CN=localhost',
         '-ext', 'SAN=dns:localhost,ip:127.0.0.1', '-validity', '2'],
        ['-exportcert', '-rfc', '-file', str(self.certificate)]):
      subprocess.run(['keytool', *arguments, *store], check=True, capture_output=True)

  def _admin(self) -> AdminClient:
    return AdminClient({'bootstrap.servers': self.url, 'log_level': 0})

  def _answers(self) -> bool:
    try:
      return bool(self._admin().list_topics(timeout=1).brokers)
    except KafkaException:
      return False

  def _java(self, main: str, arguments: list[str]) -> Server:
    self._starts += 1
    return start_java(f'kafka-{self._starts}', self.folder, [libraries() / '*'], main, arguments,
                      _HEAP_MB, (f'-Dkafka.logs.dir={self.folder}/logs',))


def libraries() -> pathlib.Path:
  """The jars of the broker."""
  return maven.libraries(f'kafka-{KAFKA}', [
      f'org.apache.kafka:kafka_2.13:{KAFKA}', 'org.slf4j:slf4j-simple:1.7.36'])


def unique(name: str) -> str:
  """A topic name that no other test has."""
  return f'{name}-{uuid.uuid4().hex[:8]}'


def _cluster_id() -> str:
  # 22 characters of URL-safe base64, as Kafka wants them.
  return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip('=')
