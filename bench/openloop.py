"""Sends HTTP requests at a stated rate, whatever the server does, and tells how long each took.

    echo '{"port": 8080, "rate": 100, "secs": 10, "paths": ["/healthz"]}' | python bench/openloop.py

Time counts from the moment at which a request was meant to be sent: one that waits behind a slow
answer has waited. The first second warms up and is not counted. The answer is JSON: `msec`, sorted;
`errors`, by their text; and `share`, of one core, that sending took.
"""
import asyncio
import collections
import json
import math
import resource
import sys
import time

import uvloop

CONNECTIONS = 64
PATIENCE_SECS = 10
IDLE_SECS = 3   # servers may close a connection after 5, while a request is on its way
WARM_UP_SECS = 1.0
_LENGTH = b'\ncontent-length: '
_now = time.perf_counter   # uvloop's own clock counts milliseconds


class Connection(asyncio.Protocol):
  """One request at a time."""

  def __init__(self, load):
    self.load = load
    self.buffer = b''
    self.waiting = None
    self.used = _now()

  def connection_made(self, transport):
    self.transport = transport

  def connection_lost(self, error):
    self.load.forget(self)
    if self.waiting is not None:
      self.load.answered(self.waiting, f'closed: {error}')

  def send(self, due, request):
    self.waiting = due
    self.transport.write(request)

  def data_received(self, data):
    self.buffer += data
    end = self.buffer.find(b'\r\n\r\n')
    if end < 0:
      return
    head = self.buffer[:end].lower()
    start = head.index(_LENGTH) + len(_LENGTH)
    if len(self.buffer) < end + 4 + int(head[start:].split(b'\r', 1)[0]):
      return
    status, due = head[9:12].decode(), self.waiting
    self.buffer, self.waiting, self.used = b'', None, _now()
    self.load.answered(due, '' if status == '200' else status)
    self.load.release(self)


class Load:

  def __init__(self, port, rate, secs, paths):
    self.rate, self.port = rate, port
    self.count = math.ceil(rate * (secs + WARM_UP_SECS))
    self.requests = [f'GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n'.encode() for path in paths]
    # By when they were used.
    self.idle, self.open, self.queue = [], 0, collections.deque()
    self.msec, self.errors, self.answers = [], collections.Counter(), 0

  async def run(self):
    await asyncio.gather(*(self.connect() for _ in range(CONNECTIONS)))
    self.began = _now() + 0.1
    opening = []
    for number in range(self.count):
      due = self.began + number / self.rate
      if (pause := due - _now()) > 0:
        await asyncio.sleep(pause)
      job = due, self.requests[number % len(self.requests)]
      while self.idle and _now() - self.idle[0].used > IDLE_SECS:
        self.idle.pop(0).transport.close()
      if self.idle:
        self.idle.pop().send(*job)
      else:
        self.queue.append(job)
        if self.open < CONNECTIONS:
          opening.append(asyncio.create_task(self.connect()))
    deadline = _now() + PATIENCE_SECS
    while self.answers < self.count and _now() < deadline:
      await asyncio.sleep(0.01)
    if missing := self.count - self.answers:
      self.errors['not answered'] += missing

  async def connect(self):
    self.open += 1
    _, connection = await asyncio.get_running_loop().create_connection(
        lambda: Connection(self), '127.0.0.1', self.port)
    self.release(connection)

  def forget(self, connection):
    self.open -= 1
    if connection in self.idle:
      self.idle.remove(connection)

  def answered(self, due, error):
    self.answers += 1
    if error:
      self.errors[error] += 1
    elif due >= self.began + WARM_UP_SECS:
      self.msec.append(1000 * (_now() - due))

  def release(self, connection):
    if self.queue:
      connection.send(*self.queue.popleft())
    else:
      self.idle.append(connection)


def main():
  load = Load(**json.load(sys.stdin))
  uvloop.run(load.run())
  used = resource.getrusage(resource.RUSAGE_SELF)
  json.dump({'msec': sorted(load.msec), 'errors': load.errors,
             'share': (used.ru_utime + used.ru_stime) * load.rate / load.count}, sys.stdout)


if __name__ == '__main__':
  main()
