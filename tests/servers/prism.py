"""Prism, the local runner that runs endless sources, built from Go's module registry."""
import os
import pathlib
import re
import subprocess

from servers import cache

_MODULE = 'github.com/apache/beam/sdks/v2/go/cmd/prism@v'
_VERSION = '2.77.0'


def missing() -> str | None:
  """The reason why Prism cannot be built on this machine, or None."""
  if reason := cache.missing(go='Go 1.21 or newer'):
    return reason
  told = subprocess.run(['go', 'env', 'GOVERSION'], capture_output=True, text=True).stdout
  found = re.match(r'go1\.(\d+)', told)
  # From 1.21 on it fetches by itself the version that a module asks for.
  if found and int(found[1]) < 21:
    return f'Go 1.21 or newer is needed, not {told.strip()}'
  return None


def binary() -> pathlib.Path:
  """The program; the first call on a machine compiles it, which takes a minute or more."""

  def build(folder: pathlib.Path) -> None:
    cache.run(['go', 'install', _MODULE + _VERSION], env={**os.environ, 'GOBIN': str(folder)})

  return cache.keep(f'prism-{_VERSION}', _MODULE + _VERSION, build) / 'prism'


def flags() -> list[str]:
  """The pipeline options of a streaming job on Prism, its Python in the calling process."""
  return ['--runner=PrismRunner', f'--prism_location={binary()}', '--streaming']
