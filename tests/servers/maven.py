"""Java libraries with all they need, from a Maven repository."""
import pathlib
import tempfile

from servers import cache

_POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>topk</groupId>
  <artifactId>libraries</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencyManagement><dependencies>{pinned}</dependencies></dependencyManagement>
  <dependencies>{wanted}</dependencies>
</project>
"""
_PLUGIN = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1'


def libraries(
    name: str, wanted: list[str], pinned: list[str] | None = None,
    excluded: dict[str, str] | None = None) -> pathlib.Path:
  """A folder with the jars of the wanted libraries and of everything they need to run.

  Args:
    name: what the folder is called in the cache.
    wanted: `group:artifact:version` each.
    pinned: versions that win over what a library asks for, in the same form.
    excluded: `group:artifact` -> the `group:artifact` that it must not bring in.
  """
  excluded = excluded or {}
  pom = _POM.format(
      wanted=''.join(_dependency(library, excluded) for library in wanted),
      pinned=''.join(_dependency(library, excluded) for library in pinned or []))

  def build(folder: pathlib.Path) -> None:
    # A local repository of its own: two Mavens on one are not safe before Maven 4.
    with tempfile.TemporaryDirectory(prefix='topk-maven-') as scratch:
      file = pathlib.Path(scratch) / 'pom.xml'
      file.write_text(pom)
      cache.run([
          'mvn', '--batch-mode', '--no-transfer-progress', '--file', str(file),
          f'-Dmaven.repo.local={scratch}/repository', f'{_PLUGIN}:copy-dependencies',
          '-DincludeScope=runtime', f'-DoutputDirectory={folder}'])

  return cache.keep(name, pom + _PLUGIN, build)


def _dependency(library: str, excluded: dict[str, str]) -> str:
  group, artifact, version = library.split(':')
  exclusion = ''
  if unwanted := excluded.get(f'{group}:{artifact}'):
    exclusion = '<exclusions><exclusion>{}</exclusion></exclusions>'.format(
        _tags(zip(('groupId', 'artifactId'), unwanted.split(':'), strict=True)))
  fields = _tags([('groupId', group), ('artifactId', artifact), ('version', version)])
  return f'<dependency>{fields}{exclusion}</dependency>'


def _tags(pairs) -> str:
  return ''.join(f'<{name}>{value}</{name}>' for name, value in pairs)
