"""Writes the specification that the service launches a template from: the image, and its metadata.

    python -m leaderboard.templates.spec topk --image=IMAGE --output=gs://my-bucket/topk.json

It is what `gcloud dataflow flex-template build` makes, without gcloud.
"""
import argparse
import json
import re
import sys
from collections.abc import Sequence
from typing import Any

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from leaderboard.pipelines.checks import one_line
from leaderboard.templates.metadata import TEMPLATES, metadata

PROG = 'python -m leaderboard.templates.spec'
_IMAGE = re.compile(
    r'[a-z0-9][a-z0-9._:-]*(/[a-z0-9][a-z0-9._-]*)+(:[\w][\w.-]*|@sha256:[0-9a-f]{64})')


def spec(template: str, image: str) -> dict[str, Any]:
  """The specification: ContainerSpec of the service's REST interface.

  Args:
    image: of launcher and workers, with its tag or digest.
  """
  environment: dict[str, Any] = {
      'sdkContainerImage': image, 'additionalExperiments': ['use_runner_v2']}
  if metadata(template)['streaming']:
    environment['enableStreamingEngine'] = True
  return {'image': image, 'sdkInfo': {'language': 'PYTHON'}, 'defaultEnvironment': environment,
          'metadata': metadata(template)}


def main(argv: Sequence[str] | None = None) -> int:
  """Exit code 0, 1 when the file could not be written, 2 when an option is wrong."""
  parser = argparse.ArgumentParser(prog=PROG, description='Writes the specification of a template.')
  parser.add_argument('template', choices=sorted(TEMPLATES))
  parser.add_argument(
      '--image', required=True, metavar='IMAGE', help='made with the Dockerfile, with its tag or '
      'digest. Example: us-docker.pkg.dev/my-project/boards/topk:1')
  parser.add_argument(
      '--output', metavar='FILE', help='on any Beam file system (default: standard output). '
      'Example: gs://my-bucket/templates/topk.json')
  args = parser.parse_args(argv)
  if not _IMAGE.fullmatch(args.image) or args.image.endswith(':latest'):
    parser.error(f'--image: must be REGISTRY/NAME:TAG or REGISTRY/NAME@sha256:..., with a tag that '
                 f'stays what it is; got {args.image!r}')
  text = json.dumps(spec(args.template, args.image), indent=2, ensure_ascii=False) + '\n'
  if not args.output:
    sys.stdout.write(text)
    return 0
  try:
    with FileSystems.create(args.output, 'application/json',
                            CompressionTypes.UNCOMPRESSED) as file:
      file.write(text.encode())
  except Exception as error:   # of any kind that a client or its sign-in has
    print(f'spec: --output: cannot write {args.output}: {one_line(error)}', file=sys.stderr)
    return 1
  print(args.output)
  return 0


if __name__ == '__main__':
  sys.exit(main())
