"""Reads a Dockerfile, and builds the part of its image that needs no image of others: folders under
another root, and its `pip` in a virtual environment."""
import dataclasses
import fnmatch
import os
import pathlib
import shutil
import subprocess
import sys

REPOSITORY = pathlib.Path(__file__).parent.parent
_BUILD_SECS = 900


@dataclasses.dataclass
class Stage:
  """What stands between two FROM.

  Attributes:
    steps: (instruction, the rest of its line).
  """
  name: str
  base: str
  steps: list[tuple[str, str]] = dataclasses.field(default_factory=list)


def stages(text: str) -> dict[str, Stage]:
  """The stages by name, in order."""
  found: dict[str, Stage] = {}
  lines = [line for line in text.splitlines() if not line.lstrip().startswith('#')]
  for line in filter(None, '\n'.join(lines).replace('\\\n', ' ').splitlines()):
    instruction, _, rest = line.strip().partition(' ')
    if instruction == 'FROM':
      base, _, name = rest.partition(' AS ')
      found[name] = Stage(name, base)
    else:
      next(reversed(found.values())).steps.append((instruction, rest))
  return found


def steps_to(stage: str, every: dict[str, Stage]) -> list[tuple[str, str]]:
  """All steps that make a stage, those of its bases first."""
  base = every[stage].base
  return [*(steps_to(base, every) if base in every else []), *every[stage].steps]


def context(root: pathlib.Path = REPOSITORY) -> set[pathlib.PurePath]:
  """The files that `docker build` is given; of .dockerignore the last pattern that fits decides."""
  patterns = [line for line in (root / '.dockerignore').read_text().split('\n')
              if line and not line.startswith('#')]
  tracked = subprocess.run(['git', 'ls-files', '--cached', '--others', '--exclude-standard'],
                           cwd=root, check=True, capture_output=True, text=True).stdout.split('\n')
  found = set()
  for name in filter(None, tracked):
    kept = True
    for pattern in patterns:
      plain = pattern.removeprefix('!')
      parts = pathlib.PurePath(name).parts
      if plain.startswith('**/'):
        fits = any(fnmatch.fnmatch(part, plain[3:]) for part in parts)
      else:
        fits = fnmatch.fnmatch(parts[0], plain)
      kept = pattern.startswith('!') if fits else kept
    if kept and (root / name).exists():
      found.add(pathlib.PurePath(name))
  return found


@dataclasses.dataclass
class Image:
  """What a build left.

  Attributes:
    root: stands for /.
    python: of its environment.
    env: what ENV set.
    ran: every RUN that was executed; `left`: every one that was not.
  """
  root: pathlib.Path
  python: pathlib.Path
  env: dict[str, str]
  ran: list[str]
  left: list[str]

  def run(self, *arguments: str, **env: str) -> subprocess.CompletedProcess:
    """Runs its Python from / without anything of this process."""
    return subprocess.run(
        [str(self.python), *arguments], cwd='/', capture_output=True, text=True, timeout=300,
        env={'PATH': f'{self.python.parent}:/usr/bin:/bin', 'HOME': str(self.root / 'home'),
             **self.env, **env}, check=False)

  def path(self, inside: str) -> pathlib.Path:
    return self.root / inside.lstrip('/')


def build(stage: str, root: pathlib.Path) -> Image:
  """Executes the steps of a stage: COPY of the repository's files and of what other stages made of
  them, and RUN of `pip`.

  Raises:
    subprocess.CalledProcessError: a RUN failed.
  """
  every = stages((REPOSITORY / 'Dockerfile').read_text())
  files, folder = context(), root
  environment = root / 'environment'
  root.mkdir(exist_ok=True)
  subprocess.run([sys.executable, '-m', 'venv', str(environment)], check=True)
  image = Image(root, environment / 'bin' / 'python', {}, [], [])
  (root / 'home').mkdir()
  for instruction, rest in steps_to(stage, every):
    if instruction == 'WORKDIR':
      folder = image.path(rest)
      folder.mkdir(parents=True, exist_ok=True)
    elif instruction == 'COPY' and not rest.startswith('--from='):
      *sources, target = rest.split()
      for source in sources:
        _copy(files, source, folder / target)
    elif instruction == 'COPY':
      origin, *_, source, target = rest.removeprefix('--from=').split()
      if every[origin].steps:
        other = build(origin, root / origin)
        image.ran += other.ran
        shutil.copytree(other.path(source), folder / target)
    elif instruction == 'RUN' and rest.startswith('pip '):
      # Into the cache of this machine after all, and out of it.
      command = rest.replace(' --no-cache-dir', '')
      subprocess.run(
          ['sh', '-ec', command], cwd=folder, check=True, timeout=_BUILD_SECS,
          stdout=subprocess.DEVNULL,
          env={**{name: value for name, value in os.environ.items() if name != 'PYTHONPATH'},
               'PATH': f'{environment}/bin:{os.environ["PATH"]}',
               'PIP_DISABLE_PIP_VERSION_CHECK': '1'})
      image.ran.append(rest)
    elif instruction == 'RUN':
      image.left.append(rest)
    elif instruction == 'ARG':
      name, _, value = rest.partition('=')
      image.env[name] = value
    elif instruction == 'ENV':
      for part in rest.split():
        name, _, value = part.partition('=')
        for known, told in image.env.items():
          value = value.replace('${' + known + '}', told)
        image.env[name] = value
  return image


def _copy(files: set[pathlib.PurePath], source: str, target: pathlib.Path) -> None:
  """Copies a file, or what is in a folder, as COPY does."""
  found = [name for name in files if name.parts[0] == source]
  if not found:
    raise FileNotFoundError(f'COPY {source}: .dockerignore leaves nothing of it')
  for name in found:
    inside = pathlib.PurePath(*name.parts[1:]) if len(name.parts) > 1 else name
    (target / inside).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(REPOSITORY / name, target / inside)
