"""Makes `metadata.json` of each template from the options of its pipeline.

    python -m leaderboard.templates.metadata templates

The options say what a flag is, means and defaults to; `parameters` what the console calls it and
which values it takes.
"""
import argparse
import json
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions

from leaderboard.pipelines import backfill
from leaderboard.pipelines.options import OWN_OPTIONS
from leaderboard.templates.parameters import PARAMETERS, Parameter

PROG = 'python -m leaderboard.templates.metadata'
# Template -> the options of its pipeline, and what the service is told of it.
TEMPLATES: dict[str, tuple[Sequence[type[PipelineOptions]], dict[str, Any]]] = {
    'topk': (OWN_OPTIONS, {
        'name': 'Leaderboards of an event stream',
        'description': 'Counts events per tenant, event type and window, ranks the top items with '
        'proven bounds, and publishes the boards to Redis, PostgreSQL and Parquet.',
        'streaming': True, 'supportsAtLeastOnce': True, 'supportsExactlyOnce': True,
        'defaultStreamingMode': 'EXACTLY_ONCE'}),
    'backfill': (backfill.OPTIONS, {
        'name': 'Leaderboards counted again',
        'description': 'Counts a closed stretch of time again, from the archive or from Kafka, '
        'into boards of the next generation.',
        'streaming': False}),
}


def flags_of(options: Sequence[type[PipelineOptions]]) -> dict[str, argparse.Action]:
  """The flags of these options by name, in order."""
  parser = argparse.ArgumentParser(add_help=False)
  for one in options:
    one._add_argparse_args(parser)
  return {action.option_strings[0].removeprefix('--'): action for action in parser._actions}


def metadata(template: str) -> dict[str, Any]:
  """What the service is told of a template: TemplateMetadata of its REST interface."""
  options, about = TEMPLATES[template]
  flags = flags_of(options)
  return {**about, 'parameters': [
      _parameter(name, PARAMETERS[name], flags[name]) for name in PARAMETERS if name in flags]}


def _parameter(name: str, known: Parameter, flag: argparse.Action) -> dict[str, Any]:
  text = ' '.join((flag.help or '').replace('%%', '%').split())
  text = text[:1].upper() + text[1:]
  if 'Example:' not in text:
    text = f'{text.rstrip(".")}. Example: {known.example}'
  told: dict[str, Any] = {
      'name': name, 'label': known.label, 'helpText': text, 'isOptional': not known.required,
      'paramType': known.kind, 'groupName': known.group}
  if flag.default not in (None, ''):
    told['defaultValue'] = str(flag.default)
  if known.enum:
    told['enumOptions'] = [{'value': value, 'label': value} for value in known.enum]
    told['regexes'] = [f'^({"|".join(known.enum)})$']
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


def main(argv: Sequence[str] | None = None) -> int:
  """Writes every metadata.json; exit code 0."""
  parser = argparse.ArgumentParser(prog=PROG, description='Writes metadata.json of every template.')
  parser.add_argument('folder', type=pathlib.Path, help='of the templates, such as templates')
  folder = parser.parse_args(argv).folder
  for template in TEMPLATES:
    path = folder / template / 'metadata.json'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(as_text(template), encoding='utf-8')
    print(path)
  return 0


if __name__ == '__main__':
  sys.exit(main())
