"""Events for the benchmark of streams: a topic that is full, and a stream that runs by the clock.

    python bench/stream_load.py SERVERS TOPIC RATE SECS FILE

paces events of now into a topic, and leaves in FILE what it did: for each tick its moment, and
how many events every board had by then. A tenant's events go to one partition, in order.
"""
import dataclasses
import sys
import time

import numpy as np
from confluent_kafka import Producer

EVENT_BYTES = 240
TENANTS, TYPES = 8, ('play', 'like', 'share', 'follow', 'view')
BOARDS = [(f't{tenant}', name) for tenant in range(TENANTS) for name in TYPES]
POOL = 1 << 17
TICK_SECS = 0.01
_PRODUCER = {'linger.ms': 5, 'queue.buffering.max.messages': 1_000_000, 'acks': 1,
             'batch.size': 1 << 18, 'log_level': 0}


@dataclasses.dataclass
class Pool:
  """Events without their time, drawn once and sent over and over.

  Attributes:
    board: which of BOARDS each is of: int64[POOL].
    parts: (what stands before the time, what stands behind it) of each.
  """
  board: np.ndarray
  parts: list[tuple[bytes, bytes]]

  def partition(self, partitions: int) -> list[int]:
    """The partition of each, by its tenant."""
    return (self.board // len(TYPES) % partitions).tolist()


def draw(items: int = 1_000_000, skew: float = 1.2, seed: int = 7) -> Pool:
  """A pool of events of 240 bytes, their items by a power law, weight ~ rank ** -skew."""
  rng = np.random.default_rng(seed)
  weights = np.cumsum(np.arange(1, items + 1) ** -skew)
  ranks = np.searchsorted(weights, rng.random(POOL) * weights[-1])
  boards = rng.integers(0, len(BOARDS), POOL)
  parts = []
  for number, (board, rank) in enumerate(zip(boards.tolist(), ranks.tolist(), strict=True)):
    tenant, event_type = BOARDS[board]
    before = (f'{{"event_type":"{event_type}","tenant_id":"{tenant}","item_id":"item{rank:07}",'
              f'"timestamp":')
    behind = (f',"event_id":"{rng.integers(1 << 62):016x}","user_id":"user{number:08}",'
              f'"metadata":{{"client":"')
    pad = EVENT_BYTES - len(before) - 13 - len(behind) - 3
    parts.append((before.encode(), f'{behind}{"w" * pad}"}}}}'.encode()))
  return Pool(boards, parts)


def fill(servers: str, topic: str, partitions: int, pool: Pool, events: int, start_ms: int,
         span_ms: int) -> np.ndarray:
  """Fills a topic with events whose times run evenly over a span, a second or two out of order;
  events of each board."""
  producer = Producer({**_PRODUCER, 'bootstrap.servers': servers})
  places = pool.partition(partitions)
  jitter = np.random.default_rng(8).integers(0, 2000, POOL).tolist()
  for number in range(events):
    at = number % POOL
    before, behind = pool.parts[at]
    moment = max(start_ms, start_ms + number * span_ms // events - jitter[at])
    _send(producer, topic, b'%b%d%b' % (before, moment, behind), places[at])
    if number % 1000 == 0:
      producer.poll(0)
  if producer.flush(60):
    raise RuntimeError('the broker does not take all events')
  whole, rest = divmod(events, POOL)
  return (np.bincount(pool.board, minlength=len(BOARDS)) * whole
          + np.bincount(pool.board[:rest], minlength=len(BOARDS)))


def pace(servers: str, topic: str, partitions: int, pool: Pool, rate: int, secs: float
         ) -> tuple[np.ndarray, np.ndarray]:
  """Sends `rate` events a second for so long, each with the moment of its tick as its time.

  Returns:
    moments: epoch milliseconds, int64[ticks].
    sent: events of each board by then, this tick's included: int64[ticks, boards].
  """
  producer = Producer({**_PRODUCER, 'bootstrap.servers': servers})
  places = pool.partition(partitions)
  moments, sent = [], [np.zeros(len(BOARDS), np.int64)]
  began, number = time.time(), 0
  while (now := time.time()) < began + secs:
    due = int((now - began) * rate)
    stamp = b'%d' % int(now * 1000)
    chosen = np.arange(number, due) % POOL
    for at in chosen.tolist():
      before, behind = pool.parts[at]
      _send(producer, topic, b''.join((before, stamp, behind)), places[at])
    moments.append(int(stamp))
    sent.append(sent[-1] + np.bincount(pool.board[chosen], minlength=len(BOARDS)))
    number = due
    producer.poll(0)
    time.sleep(max(0.0, now + TICK_SECS - time.time()))
  if producer.flush(60):
    raise RuntimeError('the broker does not take all events')
  return np.array(moments), np.array(sent[1:])


def _send(producer, topic, value, partition):
  while True:
    try:
      producer.produce(topic, value, partition=partition)
      return
    except BufferError:
      producer.poll(0.05)


def main():
  servers, topic, rate, secs, path = sys.argv[1:]
  pool = draw()
  partitions = len(Producer({'bootstrap.servers': servers}).list_topics(topic).topics[topic]
                   .partitions)
  moments, sent = pace(servers, topic, partitions, pool, int(rate), float(secs))
  np.savez(path, moments=moments, sent=sent)


if __name__ == '__main__':
  main()
