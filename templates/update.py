"""Says what replacing a running job on Dataflow by another (`--update`) would break.

    python -m leaderboard.templates.update --save=running.txt --subscription=projects/p/...
    python -m leaderboard.templates.update running.txt --subscription=projects/p/... --early=10s

The first stores the graph of the job as it was started; the second, by the new release or with new
flags, compares. Nothing is sent anywhere.
"""
import argparse
import dataclasses
import difflib
import json
import pathlib
import sys
from collections.abc import Mapping, Sequence

import apache_beam as beam

from leaderboard.pipelines import topk
from leaderboard.pipelines.checks import Parser, UsageError
from leaderboard.pipelines.command import command
from leaderboard.pipelines.jobs import parse
from leaderboard.templates import graphs
from leaderboard.templates.graphs import Step

PROG = 'python -m leaderboard.templates.update'
EPILOG = """\
examples:
  %(prog)s --save=running.txt --kafka=kafka:9092 --topics=events --postgres=env:DSN
  %(prog)s running.txt --kafka=kafka:9092 --topics=events --postgres=env:DSN --windows=1m,1h

All other flags are those of the job: python -m leaderboard.pipelines.topk --help tells them. Exit
codes: 0 the running job can be replaced, 1 it cannot, 2 the options are wrong.
"""
# What it takes to translate for the service without asking it; names stand in no graph.
_DRY_RUN = (
    '--runner=DataflowRunner', '--dry_run=True', '--no_auth', '--preflight=off',
    '--project=my-project', '--region=us-central1', '--job_name=topk',
    '--temp_location=gs://my-bucket/tmp', '--staging_location=gs://my-bucket/staging')


@dataclasses.dataclass(frozen=True)
class Comparison:
  """What differs.

  Attributes:
    broken: why the service would refuse to replace the job, or state would be lost.
    changed: what changes though it does not.
    mapping: old label, or the part before a slash -> the new one, where steps seem to have another
      name; '' where they are gone.
  """
  broken: list[str]
  changed: list[str]
  mapping: dict[str, str]

  @property
  def balanced(self) -> bool:
    """Whether the running job can be replaced as it is."""
    return not self.broken

  def as_text(self) -> str:
    if not (self.broken or self.changed):
      return 'the graphs are the same: the running job can be replaced'
    lines = []
    if self.broken:
      lines += ['--update would break:', *(f'  {line}' for line in self.broken)]
    if self.mapping:
      lines += ['the service asks where the steps that are gone have gone; if these are the new '
                'names (\'\' gives up',
                'what a step holds), give it:',
                f"  --transform_name_mapping='{json.dumps(self.mapping)}'"]
    if self.broken:
      lines.append('to lose nothing, drain the running job and start a new one')
    if self.changed:
      lines += ['what changes:', *(f'  {line}' for line in self.changed)]
    if not self.broken:
      lines.append('the running job can be replaced')
    return '\n'.join(lines)


def compare(old: Mapping[str, Step], new: Mapping[str, Step]) -> Comparison:
  """Compares the graph of a running job with that of the one to replace it.

  The service finds the state of a step by its label, and reads it with the coders of the new
  graph; it refuses a graph that lacks a step of the old one, unless it is told where that went.
  """
  broken: list[str] = []
  changed: list[str] = []
  mapping: dict[str, str] = {}
  for label in old.keys() & new.keys():
    for line, breaks in _differences(old[label], new[label]):
      (broken if breaks else changed).append(f'{label}: {line}')
  gone, added = _parts(old, new), _parts(new, old)
  for part, steps in gone.items():
    other = _renamed(part, steps, added)
    mapping[part] = other or ''
    holds = 'with the state of its open windows' if any(
        step.keeps_state for step in steps.values()) else 'it keeps no state'
    broken.append(f'{part}: is gone ({_counted(steps)}), {holds}' + (
        f'; it seems to be {other} now' if other else ''))
    if other:
      del added[other]
  changed += [f'{part}: is new ({_counted(steps)}) and starts with nothing'
              for part, steps in added.items()]
  return Comparison(sorted(broken), sorted(changed), mapping)


def _counted(steps: Mapping[str, Step]) -> str:
  return f'{len(steps)} step{"s" * (len(steps) != 1)}'


def _parts(graph: Mapping[str, Step], other: Mapping[str, Step]) -> dict[str, dict[str, Step]]:
  """The steps that the other graph lacks, by the largest part of the graph that it lacks whole:
  {part: {label within it: step}}."""
  known = {label[:end] for label in other for end in _ends(label)}
  parts: dict[str, dict[str, Step]] = {}
  for label, step in graph.items():
    if label not in other:
      end = next((end for end in _ends(label) if label[:end] not in known), len(label))
      parts.setdefault(label[:end], {})[label[end:]] = step
  return parts


def _ends(label: str) -> list[int]:
  """Where the parts of a label end, the largest part first."""
  return [place for place, sign in enumerate(label) if sign == '/'] + [len(label)]


def _differences(old: Step, new: Step) -> list[tuple[str, bool]]:
  """(what differs, whether it breaks) of two steps of one label."""
  if old.kind != new.kind:
    return [(f'was {old.kind} and is {new.kind}; give it another label',
             old.keeps_state or new.keeps_state)]
  told = []
  for name in {**old.facts, **new.facts}:
    before, after = old.facts.get(name), new.facts.get(name)
    if before == after:
      continue
    if name == 'windowing':
      told.append((f'elements that come are windowed otherwise, what is in open windows stays as '
                   f'it was:\n    was {before}\n    is  {after}', False))
    elif before is None:
      told.append((f'keeps {name} now and starts with nothing', False))
    elif after is None:
      told.append((f'keeps {name} no longer, and loses it', True))
    else:
      told.append((f'its {name} were written as {before} and would be read as {after}; keep the '
                   f'coder', True))
  return told


def _renamed(part: str, steps: Mapping[str, Step],
             added: Mapping[str, Mapping[str, Step]]) -> str | None:
  """The new part that does the same under another name."""
  def inside(one: Mapping[str, Step]) -> dict[str, tuple[str, dict[str, str]]]:
    return {label: (step.kind, step.facts) for label, step in one.items()}
  alike = [other for other, found in added.items() if inside(found) == inside(steps)]
  return max(alike, key=lambda other: difflib.SequenceMatcher(None, part, other).ratio(),
             default=None)


def graph_of(flags: Sequence[str]) -> dict[str, Step]:
  """The graph of the main job with these flags, as Dataflow would get it.

  Raises:
    UsageError: a flag is wrong.
  """
  job = parse([*flags, *_DRY_RUN], PROG)
  pipeline = beam.Pipeline(options=job.beam)
  topk.build(pipeline, job, 'update', job.stores)
  return graphs.steps_of(pipeline.run().job.proto_pipeline)


def run(argv: Sequence[str] | None = None) -> Comparison:
  """Stores a graph, or compares with a stored one.

  Raises:
    UsageError: an option is wrong, or the file cannot be read or written.
  """
  parser = Parser(prog=PROG, epilog=EPILOG, allow_abbrev=False,
                  formatter_class=argparse.RawDescriptionHelpFormatter,
                  description='Compares the graph of a running job with that of these flags.')
  parser.add_argument('old', nargs='?', metavar='FILE', help='graph of the running job')
  parser.add_argument('--save', metavar='FILE', help='stores the graph of these flags')
  args, flags = parser.parse_known_args(sys.argv[1:] if argv is None else argv)
  if bool(args.old) == bool(args.save):
    raise UsageError(['FILE, --save: name the graph of the running job, or one to store; '
                      '--help has examples'])
  try:
    old = graphs.from_text(pathlib.Path(args.old).read_text('utf-8')) if args.old else None
  except (OSError, ValueError) as error:
    raise UsageError([f'{args.old}: {error}; make it with --save']) from None
  new = graph_of(flags)
  if old is None:
    try:
      pathlib.Path(args.save).write_text(graphs.as_text(new), 'utf-8')
    except OSError as error:
      raise UsageError([f'--save: {error}']) from None
    print(f'{args.save}: {len(new)} steps')
    return Comparison([], [], {})
  found = compare(old, new)
  print(found.as_text())
  return found


def main(argv: Sequence[str] | None = None) -> int:
  """The command line: exit codes as `--help` tells them."""
  return command('update', run, argv)


if __name__ == '__main__':
  sys.exit(main())
