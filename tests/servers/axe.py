"""axe-core, which finds faults of accessibility in a page; from the npm registry."""
import pathlib
import tarfile

from servers import cache

_PACKAGE = 'axe-core@4.14.1'


def source() -> str:
  """The script that defines `axe` in a page."""
  return (cache.keep('axe', _PACKAGE, _build) / 'axe.min.js').read_text('utf-8')


def _build(folder: pathlib.Path) -> None:
  cache.run(['npm', 'pack', '--silent', _PACKAGE], cwd=folder)
  [archive] = folder.glob('*.tgz')
  with tarfile.open(archive) as packed:
    script = packed.extractfile('package/axe.min.js')
    assert script is not None
    (folder / 'axe.min.js').write_bytes(script.read())
  archive.unlink()


def missing() -> str | None:
  return cache.missing(npm='apt install npm')
