"""A real Chromium, headless, spoken to in its own protocol (Chrome DevTools)."""
import base64
import contextlib
import itertools
import json
import pathlib
import time
from collections.abc import Iterator
from typing import Any

from websockets.sync.client import ClientConnection, connect

from servers import cache, processes

_START_SECS = 60
_PATIENCE_SECS = 20
_POLL_SECS = 0.05
_IDS = itertools.count(1)
_FLAGS = [
    '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync',
    '--disable-dev-shm-usage', '--hide-scrollbars', '--remote-debugging-port=0']


class PageError(Exception):
  """The page, or the browser, answered with an error."""


class Session:
  """Calls over one socket."""

  def __init__(self, socket: ClientConnection) -> None:
    self._socket = socket

  def call(self, method: str, **params: Any) -> dict[str, Any]:
    """Calls a method of the protocol; events that come meanwhile are noted."""
    number = next(_IDS)
    self._socket.send(json.dumps({'id': number, 'method': method, 'params': params}))
    while True:
      message = json.loads(self._socket.recv(_PATIENCE_SECS))
      if message.get('id') == number:
        if 'error' in message:
          raise PageError(f'{method}: {message["error"]}')
        return message['result']
      self._note(message)

  def _note(self, message: dict[str, Any]) -> None:
    """An event, which nobody waits for."""


class Page(Session):
  """One tab.

  Attributes:
    problems: what the page wrote to the console as an error or refused for its policy, and
      exceptions that nothing caught.
    requests: URLs that it asked for.
  """

  def __init__(self, socket: ClientConnection) -> None:
    super().__init__(socket)
    self.problems: list[str] = []
    self.requests: list[str] = []
    for domain in ('Page', 'Runtime', 'Log', 'Network'):
      self.call(f'{domain}.enable')

  def _note(self, message: dict[str, Any]) -> None:
    params = message.get('params', {})
    match message.get('method'):
      case 'Runtime.exceptionThrown':
        details = params['exceptionDetails']
        self.problems.append(details.get('exception', {}).get('description', details['text']))
      case 'Runtime.consoleAPICalled' if params['type'] == 'error':
        self.problems.append(str([value.get('value') for value in params['args']]))
      case 'Log.entryAdded' if params['entry']['level'] == 'error':
        self.problems.append(f'{params["entry"]["text"]} {params["entry"].get("url", "")}')
      case 'Network.requestWillBeSent':
        self.requests.append(params['request']['url'])

  def open(self, url: str) -> None:
    self.call('Page.navigate', url=url)

  def run(self, script: str) -> Any:
    """The value of a JavaScript expression, or of the promise that it gives.

    Raises:
      PageError: it threw.
    """
    done = self.call('Runtime.evaluate', expression=script, awaitPromise=True, returnByValue=True,
                     userGesture=True)
    if details := done.get('exceptionDetails'):
      raise PageError(details.get('exception', {}).get('description', details['text']))
    return done['result'].get('value')

  def wait(self, script: str, secs: float = _PATIENCE_SECS) -> None:
    """Waits until an expression is true.

    Raises:
      TimeoutError: it stayed false; the message shows the page's text.
    """
    deadline = time.monotonic() + secs
    while True:
      with contextlib.suppress(PageError):   # a page that is just being left has no context
        if self.run(f'Boolean({script})'):
          return
      if time.monotonic() > deadline:
        raise TimeoutError(f'still not: {script}\n{self.run("document.body.innerText")}\n'
                           f'{self.problems}')
      time.sleep(_POLL_SECS)

  def press(self, key: str, code: int, text: str = '') -> None:
    """Presses and releases a key, as a keyboard does."""
    for kind in ('keyDown' if text else 'rawKeyDown', 'keyUp'):
      self.call('Input.dispatchKeyEvent', type=kind, key=key, code=key, text=text,
                windowsVirtualKeyCode=code)

  def type(self, text: str) -> None:
    self.call('Input.insertText', text=text)

  def show_as(self, width: int = 1280, height: int = 900, dark: bool = False,
              still: bool = False) -> None:
    """Sets the size of the screen and what the system prefers.

    Args:
      width, height: CSS pixels.
      still: whether it asks for reduced motion.
    """
    self.call('Emulation.setDeviceMetricsOverride', width=width, height=height,
              deviceScaleFactor=1, mobile=width < 600)
    self.call('Emulation.setEmulatedMedia', features=[
        {'name': 'prefers-color-scheme', 'value': 'dark' if dark else 'light'},
        {'name': 'prefers-reduced-motion', 'value': 'reduce' if still else 'no-preference'}])

  def shoot(self, path: pathlib.Path, whole: bool = True) -> None:
    """Writes a picture of the page, PNG."""
    shot = self.call('Page.captureScreenshot', format='png', captureBeyondViewport=whole)
    path.write_bytes(base64.b64decode(shot['data']))


class Chromium:
  """A context manager: a browser with a new profile under a folder."""

  def __init__(self, folder: pathlib.Path) -> None:
    self._profile = folder / 'profile'
    self._log = folder / 'chromium.log'

  def __enter__(self) -> 'Chromium':
    with open(self._log, 'wb') as file:
      self._server = processes.Server('chromium', processes.launch(
          ['chromium', *_FLAGS, f'--user-data-dir={self._profile}', 'about:blank'], file),
          self._log)
    try:
      # It tells its port, and the path of its own socket.
      told = processes.wait_for('Chromium', self._told, _START_SECS, self._server)
    except TimeoutError:
      self._server.stop()
      raise
    self._url = f'ws://127.0.0.1:{told[0]}/devtools'
    self._stack = contextlib.ExitStack()
    self._socket = self._stack.enter_context(_connect(f'ws://127.0.0.1:{told[0]}{told[1]}'))
    return self

  def __exit__(self, *_: object) -> None:
    self._stack.close()
    self._server.stop()

  def _told(self) -> list[str]:
    file = self._profile / 'DevToolsActivePort'
    lines = file.read_text().splitlines() if file.exists() else []
    return lines if len(lines) == 2 else []

  @contextlib.contextmanager
  def tab(self) -> Iterator[Page]:
    """A tab that shares nothing with any other."""
    session = Session(self._socket)
    context = session.call('Target.createBrowserContext')['browserContextId']
    target = session.call('Target.createTarget', url='about:blank',
                          browserContextId=context)['targetId']
    with _connect(f'{self._url}/page/{target}') as socket:
      yield Page(socket)
    session.call('Target.disposeBrowserContext', browserContextId=context)


def _connect(url: str) -> contextlib.AbstractContextManager[ClientConnection]:
  return connect(url, max_size=None, compression=None, proxy=None)


def missing() -> str | None:
  return cache.missing(chromium='apt install chromium')
