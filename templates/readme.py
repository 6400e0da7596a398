"""Makes the page of a template from its metadata: parameters, and how to launch it."""
import json
import shlex
from collections.abc import Mapping
from typing import Any

_REGISTRY = 'us-docker.pkg.dev/my-project/boards'
_SERVICE = 'https://dataflow.googleapis.com/v1b3'
_PAGE = """\
# {title}

{description}
Made from the options by `python -m leaderboard.templates.metadata templates`.

## Parameters
{sources}{required}{optional}
URLs of Redis and PostgreSQL are best given as references, `secret://projects/P/secrets/NAME`,
which each worker resolves when it connects; one with a password in it is refused, for the job's
description would show it. The service accounts of the workers, and of the launcher, which tries
source and stores first (`preflight`), need `roles/secretmanager.secretAccessor`.

## The image and the specification

```text
docker build --build-arg TEMPLATE={template} --tag {image} .
docker push {image}
python -m leaderboard.templates.spec {template} --image={image} --output={spec}
```

## gcloud

```text
{gcloud}
```

## Terraform

```terraform
{terraform}
```

## REST

```text
{rest}
```

{update}"""
_UPDATE = """\
## Replacing a running job

`gcloud dataflow flex-template run` with `--update`, the same job name and the new specification
keeps the state of the running job. What would break is told beforehand, by labels, coders and
windows:

```text
python -m leaderboard.templates.update --save=running.txt FLAGS   # by the release that runs
python -m leaderboard.templates.update running.txt FLAGS          # by the new one
```
"""
_FINITE = """\
The job ends by itself. Run it from a scheduler with the parameters of the time in question; it may
be run again at any time.
"""


def as_text(template: str, told: Mapping[str, Any], sources: Mapping[str, tuple[str, ...]],
            first: Mapping[str, str]) -> str:
  """The page.

  Args:
    told: metadata.json.
    sources: name -> its parameters, of sources that exclude one another.
    first: parameters of a first job.
  """
  spec = f'gs://my-bucket/templates/{template}.json'
  shown = [one for one in told['parameters'] if not one.get('hiddenUi')]
  return _PAGE.format(
      title=told['name'], description=told['description'], template=template,
      image=f'{_REGISTRY}/{template}:1', spec=spec, sources=_sources(sources),
      required=_table('Required', [one for one in shown if not one['isOptional']]),
      optional=_table('Optional', [one for one in shown if one['isOptional']]),
      gcloud=_gcloud(template, spec, first), terraform=_terraform(template, spec, first, told),
      rest=_rest(template, spec, first), update=_UPDATE if told['streaming'] else _FINITE)


def _sources(sources: Mapping[str, tuple[str, ...]]) -> str:
  if not sources:
    return ''
  each = '; '.join(f'{name}: `{"`, `".join(names)}`' for name, names in sources.items())
  return f'\nOne source at a time. {each}.\n'


def _table(title: str, parameters: list[dict[str, Any]]) -> str:
  if not parameters:
    return ''
  lines = ['', f'### {title}', '', '| parameter | what it is | default |', '|---|---|---|']
  for one in parameters:
    text = one['helpText'].replace('|', '\\|')
    default = f'`{one["defaultValue"]}`' if 'defaultValue' in one else ''
    lines.append(f'| `{one["name"]}` | **{one["label"]}.** {text} | {default} |')
  return '\n'.join(lines) + '\n'


def _gcloud(template: str, spec: str, first: Mapping[str, str]) -> str:
  lines = [f'gcloud dataflow flex-template run {template}', '--project=my-project',
           '--region=us-central1', f'--template-file-gcs-location={spec}']
  for name, value in first.items():
    # gcloud takes a comma for the end of a value, unless another sign is named.
    lines.append('--parameters=' + shlex.quote(f'{"^~^" * ("," in value)}{name}={value}'))
  return ' \\\n    '.join(lines)


def _terraform(template: str, spec: str, first: Mapping[str, str], told: Mapping[str, Any]) -> str:
  wide = max(map(len, first))
  values = '\n'.join(f'    {name:<{wide}} = {json.dumps(value)}' for name, value in first.items())
  end = 'drain' if told['streaming'] else 'cancel'
  return f"""resource "google_dataflow_flex_template_job" "{template}" {{
  provider                = google-beta
  name                    = "{template}"
  region                  = "us-central1"
  container_spec_gcs_path = "{spec}"
  on_delete               = "{end}"
  parameters = {{
{values}
  }}
}}"""


def _rest(template: str, spec: str, first: Mapping[str, str]) -> str:
  body = {'launchParameter': {
      'jobName': template, 'containerSpecGcsPath': spec, 'parameters': first}}
  return f"""curl --request POST \\
    --header "Authorization: Bearer $(gcloud auth print-access-token)" \\
    --header 'Content-Type: application/json' \\
    --data '{json.dumps(body, indent=2)}' \\
    {_SERVICE}/projects/my-project/locations/us-central1/flexTemplates:launch"""
