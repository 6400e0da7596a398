"""A proxy in front of any server, whose connection fails as a test says."""
import contextlib
import socket
import struct
import threading
from collections.abc import Iterator

from servers.processes import free_port

_CHUNK = 1 << 14


class Proxy:
  """A context manager: passes bytes between clients and a server on this machine.

  Args:
    server: its port, or the path of its socket.
  Attributes:
    server: as it was given; another one is that of the connections to come.
    port: where clients connect.
    delay_secs: before each piece that is passed on.
    cut_after: all connections break once so many more bytes have passed; None for never.
  """

  def __init__(self, server: int | str) -> None:
    self.server = server
    self.port = free_port()
    self.delay_secs = 0.0
    self.cut_after: int | None = None
    self._refuses = False
    self._lock = threading.Lock()
    self._pairs: set[socket.socket] = set()

  def __enter__(self) -> 'Proxy':
    self._listener = socket.create_server(('127.0.0.1', self.port))
    threading.Thread(target=self._accept, daemon=True).start()
    return self

  def __exit__(self, *_: object) -> None:
    self._listener.close()
    self.drop()

  def drop(self) -> None:
    """Resets every connection now."""
    with self._lock:
      pairs, self._pairs = self._pairs, set()
    for end in pairs:
      _reset(end)

  @contextlib.contextmanager
  def refusing(self) -> Iterator[None]:
    """New connections break at once, and those that are open too."""
    self._refuses = True
    self.drop()
    yield
    self._refuses = False

  def _accept(self) -> None:
    with contextlib.suppress(OSError):   # closed
      while True:
        client, _ = self._listener.accept()
        if self._refuses:
          _reset(client)
          continue
        try:
          server = self._connect()
        except OSError:
          _reset(client)
          continue
        with self._lock:
          self._pairs |= {client, server}
        for source, target in ((client, server), (server, client)):
          threading.Thread(target=self._pass, args=(source, target), daemon=True).start()

  def _connect(self) -> socket.socket:
    if isinstance(self.server, int):
      return socket.create_connection(('127.0.0.1', self.server))
    server = socket.socket(socket.AF_UNIX)
    server.connect(self.server)
    return server

  def _pass(self, source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):   # an end is gone
      while piece := source.recv(_CHUNK):
        if self.delay_secs:
          threading.Event().wait(self.delay_secs)
        if self._is_cut(target, piece):
          return
        target.sendall(piece)
    for end in (source, target):
      _reset(end)

  def _is_cut(self, target: socket.socket, piece: bytes) -> bool:
    with self._lock:
      left = self.cut_after
      if left is None or len(piece) < left:
        self.cut_after = None if left is None else left - len(piece)
        return False
      self.cut_after = None
    target.sendall(piece[:left])
    self.drop()
    return True


def _reset(end: socket.socket) -> None:
  with contextlib.suppress(OSError):
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    end.shutdown(socket.SHUT_RDWR)
  end.close()
