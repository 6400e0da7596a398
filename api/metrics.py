"""What the service tells Prometheus."""
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (.001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 30, 60)


class Metrics:
  """The metrics of one application, in a registry of its own."""

  def __init__(self) -> None:
    self.registry = CollectorRegistry()

    def named(kind: type, name: str, text: str, labels: tuple[str, ...] = (), **more: object):
      return kind(f'topk_{name}', text, labels, registry=self.registry, **more)

    self.requests: Counter = named(
        Counter, 'requests', 'Answers by route and status.', ('route', 'status'))
    self.seconds: Histogram = named(
        Histogram, 'request_seconds', 'Time to an answer by route.', ('route',), buckets=_SECONDS)
    self.answers: Counter = named(
        Counter, 'answers', 'Boards read by path, and whether another was meant.',
        ('path', 'degraded'))
    self.caches: Counter = named(
        Counter, 'cache_requests', 'What was looked for in a cache: answers and boards (in this '
        'process), summaries (merged, in this process), shared (in Redis), rollups (in '
        'PostgreSQL).', ('cache', 'result'))
    self.merged: Histogram = named(
        Histogram, 'merge_seconds', 'Time to read and merge summaries.', buckets=_SECONDS)
    self.unkept: Counter = named(
        Counter, 'unkept', 'Merged ranges that could not be kept in Redis or PostgreSQL.')
    self.stores: Gauge = named(
        Gauge, 'store_up', '1 while a store is held to be within reach.', ('store',))
    self.connected: Gauge = named(
        Gauge, 'feed_connected', '1 while changes are heard of within a second.')
    self.streams: Gauge = named(Gauge, 'streams', 'Clients that follow changes.')

  def cache(self, name: str, hit: bool) -> None:
    """Counts a look into a cache."""
    self.caches.labels(name, 'hit' if hit else 'miss').inc()

  def text(self) -> bytes:
    """All of them, as Prometheus reads them."""
    return generate_latest(self.registry)
