"""Makes `metadata.json` and `README.md` of each template from the options of its pipeline.

    python -m leaderboard.templates.metadata templates

The options say what a flag is, means and defaults to; `parameters` what the console calls it and
which values it takes; this file which pipelines are templates.
"""
import argparse
import dataclasses
import json
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions

from leaderboard.pipelines import backfill, rollup
from leaderboard.pipelines.options import OWN_OPTIONS
from leaderboard.templates import readme
from leaderboard.templates.parameters import PARAMETERS, Parameter

PROG = 'python -m leaderboard.templates.metadata'


def _parser_of(*options: type[PipelineOptions]) -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(add_help=False)
  for one in options:
    one._add_argparse_args(parser)
  return parser


@dataclasses.dataclass(frozen=True)
class Template:
  """A pipeline that the service launches.

  Attributes:
    title, description: what the console says.
    parser: makes the flags of the pipeline.
    modes: what the service is told of streaming.
    required: parameters without which no job is possible.
    sources: name -> parameters of one of several sources, which exclude one another.
    first: parameters that a first job has beside those of its source.
    examples: parameter -> an example that suits this pipeline better.
  """
  title: str
  description: str
  parser: Callable[[], argparse.ArgumentParser]
  modes: Mapping[str, Any]
  required: tuple[str, ...] = ()
  sources: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
  first: tuple[str, ...] = ('postgres', 'redis')
  examples: Mapping[str, str] = dataclasses.field(default_factory=dict)


# Repair and compaction are no templates: they are no Beam pipelines, but one process that a store
# or a folder keeps busy.
TEMPLATES = {
    'topk': Template(
        'Leaderboards of an event stream',
        'Counts events per tenant, event type and window, ranks the top items with proven bounds, '
        'and publishes the boards to Redis, PostgreSQL and Parquet.',
        lambda: _parser_of(*OWN_OPTIONS),
        # At least once, the service may apply a count twice: no bound would hold.
        {'streaming': True, 'supportsAtLeastOnce': False, 'supportsExactlyOnce': True,
         'defaultStreamingMode': 'EXACTLY_ONCE'},
        sources={
            'Pub/Sub': ('subscription', 'timestamp_attribute', 'id_label', 'dead_letters'),
            'Kafka': ('kafka', 'topics', 'kafka_config', 'kafka_start', 'kafka_group', 'idle',
                      'kafka_readers', 'stop_at_end', 'dead_letters'),
            'files': ('input', 'watch', 'replay_bytes')},
        first=('allowed_lateness', 'parquet', 'postgres', 'redis'),
        examples={'time_zone': 'UTC'}),
    'backfill': Template(
        'Leaderboards counted again',
        'Counts a closed stretch of time again, from the archive or from Kafka, into boards of the '
        'next generation.',
        lambda: _parser_of(*backfill.OPTIONS), {'streaming': False}, required=('from', 'to'),
        sources={'the archive': ('archive',), 'Kafka': ('kafka', 'topics', 'kafka_config')},
        first=('postgres', 'redis', 'rejects'),
        examples={'allowed_lateness': '0s', 'generation': '1', 'sliding': ''}),
    'rollup': Template(
        'Weeks and months from stored boards',
        'Merges boards that PostgreSQL holds into boards of coarser windows, without the events.',
        rollup.parser, {'streaming': False}, required=('postgres',), first=('windows',),
        examples={'windows': '1w,1mo', 'sliding': '24h/1h', 'to': '2013-08-01'}),
}


def flags_of(template: str) -> dict[str, argparse.Action]:
  """The flags of a template's pipeline by name, in order."""
  return {action.option_strings[0].removeprefix('--'): action
          for action in TEMPLATES[template].parser()._actions if action.dest != 'help'}


def metadata(template: str) -> dict[str, Any]:
  """What the service is told of a template: TemplateMetadata of its REST interface."""
  about, flags = TEMPLATES[template], flags_of(template)
  return {
      'name': about.title, 'description': about.description, **about.modes,
      'parameters': [_parameter(about, name, PARAMETERS[name], flags[name])
                     for name in PARAMETERS if name in flags]}


def examples(template: str, source: str | None = None) -> dict[str, str]:
  """An example of every parameter that goes with this source (of `Template.sources`)."""
  about, flags = TEMPLATES[template], flags_of(template)
  others = {name for names in about.sources.values() for name in names}
  others -= set(about.sources[source] if source else ())
  found = {name: about.examples.get(name, known.example) for name, known in PARAMETERS.items()
           if name in flags and name not in others}
  return {name: value for name, value in found.items() if value}


def first_job(template: str) -> dict[str, str]:
  """The parameters of a first job."""
  about = TEMPLATES[template]
  every = examples(template, next(iter(about.sources), None))
  source = [name for names in list(about.sources.values())[:1] for name in names[:1]]
  return {name: every[name] for name in (*source, *about.required, *about.first)}


def _parameter(about: Template, name: str, known: Parameter, flag: argparse.Action
               ) -> dict[str, Any]:
  text = known.text or ' '.join((flag.help or '').replace('%%', '%').split())
  # An example of a local job may be none of a template.
  text = text.partition('Example: ')[0].strip().rstrip('.') or known.label
  text = f'{text[:1].upper()}{text[1:]}. Example: {about.examples.get(name) or known.example}'
  told: dict[str, Any] = {
      'name': name, 'label': known.label, 'helpText': text,
      'isOptional': name not in about.required, 'paramType': known.kind, 'groupName': known.group}
  if flag.default not in (None, ''):
    told['defaultValue'] = str(flag.default)
  if known.enum:
    told['regexes'] = [f'^({"|".join(known.enum)})$']
    if known.kind == 'ENUM':
      told['enumOptions'] = [{'value': value, 'label': value} for value in known.enum]
  elif known.regex:
    told['regexes'] = [known.regex]
  if known.parent:
    told['parentName'] = known.parent
  if known.triggers:
    told['parentTriggerValues'] = list(known.triggers)
  if known.hidden:
    told['hiddenUi'] = True
  return told


def as_text(template: str) -> str:
  """The file, as it stands in the repository."""
  return json.dumps(metadata(template), indent=2, ensure_ascii=False) + '\n'


def page(template: str) -> str:
  """README.md of a template, as it stands in the repository."""
  return readme.as_text(template, metadata(template), TEMPLATES[template].sources,
                        first_job(template))


def main(argv: Sequence[str] | None = None) -> int:
  """Writes both files of every template; exit code 0."""
  parser = argparse.ArgumentParser(
      prog=PROG, description='Writes metadata.json and README.md of every template.')
  parser.add_argument('folder', type=pathlib.Path, help='of the templates, such as templates')
  folder = parser.parse_args(argv).folder
  for template in TEMPLATES:
    for name, make in (('metadata.json', as_text), ('README.md', page)):
      path = folder / template / name
      path.parent.mkdir(parents=True, exist_ok=True)
      path.write_text(make(template), encoding='utf-8')
      print(path)
  return 0


if __name__ == '__main__':
  sys.exit(main())
