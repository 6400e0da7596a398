"""References to secrets, in the place of URLs and passwords: resolved where they are used.

`env:NAME` is an environment variable, `file:PATH` a file, `secret://projects/P/secrets/NAME` (and
`/versions/N`) an entry of Google's Secret Manager. The reference is what stands on the command
line, in the graph and in its display data; each worker looks the secret up when it connects.
"""
import os
import re
from typing import Any

ENV, FILE, SECRET = 'env:', 'file:', 'secret://'
_TIMEOUT_SECS = 10
# Names a stand-in, as PUBSUB_EMULATOR_HOST does of another service: host:port, without TLS.
_EMULATOR = 'SECRET_MANAGER_EMULATOR_HOST'
_NAME = re.compile(r'projects/[^/]+/secrets/[^/]+(/versions/[^/]+)?')


class SecretUnavailable(ValueError):
  """A reference leads nowhere; the message has the reference, never a secret."""


def is_reference(text: str) -> bool:
  """Whether this stands for a secret.

  >>> is_reference('env:REDIS_URL'), is_reference('redis://cache:6379/0')
  (True, False)
  """
  return text.startswith((ENV, FILE, SECRET))


def masked(text: str) -> str:
  """Any text with the passwords of the URLs and connection strings in it hidden.

  >>> masked('redis://user:se/cret@cache:6379/0'), masked("host=db password='se cret'")
  ('redis://user:***@cache:6379/0', 'host=db password=***')
  """
  text = re.sub(r'(//[^/@\s:]*:)\S+@', r'\1***@', text)
  return re.sub(r"(password\s*=\s*)('[^']*'|[^\s&']+)", r'\1***', text)


def holds_password(text: str) -> bool:
  """Whether a URL or connection string has its password written out.

  >>> [holds_password(text) for text in ('redis://:word@cache', 'redis://cache', 'env:URL')]
  [True, False, False]
  """
  return not is_reference(text) and masked(text) != text


def resolve(text: str) -> str:
  """The secret that a reference stands for; any other text itself.

  Raises:
    SecretUnavailable: there is no such variable, file or entry.
  """
  if text.startswith(ENV):
    found = os.environ.get(text.removeprefix(ENV), '').strip()
    if not found:
      raise SecretUnavailable(f'{text}: there is no such environment variable; set it on every '
                              f'worker')
    return found
  if text.startswith(SECRET):
    return _entry(text.removeprefix(SECRET))
  if text.startswith(FILE) and not text.startswith('file://'):
    try:
      with open(text.removeprefix(FILE), encoding='utf-8') as file:
        return file.read().strip()
    except (OSError, UnicodeDecodeError) as error:
      reason = error.strerror if isinstance(error, OSError) else 'it is no text'
      raise SecretUnavailable(f'{text}: {reason}; put it on every worker') from None
  return text


def _entry(name: str) -> str:
  if not _NAME.fullmatch(name):
    raise SecretUnavailable(f'{SECRET}{name}: must be {SECRET}projects/PROJECT/secrets/NAME or '
                            f'.../versions/N')
  try:
    from google.cloud import secretmanager
  except ImportError:
    raise SecretUnavailable(f'{SECRET}{name}: Secret Manager needs another package: '
                            f"pip install 'topk-leaderboard[dataflow]'") from None
  version = name if '/versions/' in name else f'{name}/versions/latest'
  try:
    answer = _client(secretmanager).access_secret_version(
        request={'name': version}, timeout=_TIMEOUT_SECS)
  except Exception as error:   # of any kind that the client or its sign-in has
    reason = ' '.join(str(error).split())
    raise SecretUnavailable(f'{SECRET}{name}: {reason}') from None
  return answer.payload.data.decode().strip()


def _client(secretmanager: Any) -> Any:
  stand_in = os.environ.get(_EMULATOR)
  if not stand_in:
    return secretmanager.SecretManagerServiceClient()
  import grpc
  from google.cloud.secretmanager_v1.services.secret_manager_service import transports
  return secretmanager.SecretManagerServiceClient(
      transport=transports.SecretManagerServiceGrpcTransport(channel=grpc.insecure_channel(stand_in)))
