"""The graph of a job as text: its steps, and what the state of a running job rests on.

A step is a line `label  kind`; below it, indented, stand its facts: `windowing` and `elements` (the
coder) of a grouping, `accumulator` of a combining, `restriction` of a reading, `state NAME` and
`timer NAME` of a function that keeps them.
"""
import dataclasses
import re
from collections.abc import Iterator
from typing import Any

from apache_beam.portability.api import beam_runner_api_pb2 as api
from apache_beam.portability.api import standard_window_fns_pb2
from google.protobuf import wrappers_pb2

_FIXED = standard_window_fns_pb2.FixedWindowsPayload
_GROUP = 'beam:transform:group_by_key:v1'
_COMBINE = 'beam:transform:combine_per_key:v1'
_FUNCTION = 'beam:transform:pardo:v1'
_PICKLED = 'pickled_python:v1'
_INDENT = '    '


@dataclasses.dataclass(frozen=True)
class Step:
  """A step of a graph.

  Attributes:
    kind: Beam's name of what it does.
    facts: name -> value, see above.
  """
  label: str
  kind: str
  facts: dict[str, str] = dataclasses.field(default_factory=dict)

  @property
  def keeps_state(self) -> bool:
    """Whether a running job holds something for it that must be found again."""
    return bool(self.facts)


def steps_of(graph: api.Pipeline) -> dict[str, Step]:
  """The steps of a portable graph by label: those that do the work, and combinings."""
  parts, found = graph.components, {}
  for transform in sorted(parts.transforms.values(), key=lambda one: one.unique_name):
    kind = transform.spec.urn
    if kind and (kind == _COMBINE or not transform.subtransforms):
      found[transform.unique_name] = Step(
          transform.unique_name, kind, dict(_facts(parts, transform)))
  return found


def _facts(parts: Any, transform: Any) -> Iterator[tuple[str, str]]:
  kind = transform.spec.urn
  if kind == _GROUP:
    (source,) = transform.inputs.values()
    collection = parts.pcollections[source]
    yield 'windowing', _windowing(parts.windowing_strategies[collection.windowing_strategy_id])
    yield 'elements', _coder(parts, collection.coder_id)
  elif kind == _COMBINE:
    combine = api.CombinePayload.FromString(transform.spec.payload)
    yield 'accumulator', _coder(parts, combine.accumulator_coder_id)
  elif kind == _FUNCTION:
    function = api.ParDoPayload.FromString(transform.spec.payload)
    if function.restriction_coder_id:
      yield 'restriction', _coder(parts, function.restriction_coder_id)
    for name, spec in sorted(function.state_specs.items()):
      held = getattr(spec, spec.WhichOneof('spec'))
      coders = [_coder(parts, value) for field, value in held.ListFields()
                if field.name.endswith('coder_id')]
      yield f'state {name}', f'{spec.WhichOneof("spec")} {" ".join(coders)}'
    for name, timer in sorted(function.timer_family_specs.items()):
      yield f'timer {name}', _coder(parts, timer.timer_family_coder_id)


def _windowing(strategy: Any) -> str:
  name, payload = strategy.window_fn.urn, strategy.window_fn.payload
  kind = (f'windows of {_FIXED.FromString(payload).size.ToMilliseconds()} ms'
          if name == 'beam:window_fn:fixed_windows:v1' else f'{name} {payload.hex()}')
  mode = api.AccumulationMode.Enum.Name(strategy.accumulation_mode)
  trigger = re.sub(r'after_processing_time {\s*timestamp_transforms {\s*delay {\s*delay_millis: '
                   r'(\d+)\s*}\s*}\s*}', r'after \1 ms', str(strategy.trigger))
  return (f'{kind}, {mode}, lateness {strategy.allowed_lateness} ms, '
          f'{" ".join(trigger.split())}')


def _coder(parts: Any, coder_id: str) -> str:
  spec = parts.coders[coder_id].spec
  name = spec.urn.removeprefix('beam:coder:')
  if name == _PICKLED:   # its class, which Beam writes before the rest
    name = wrappers_pb2.BytesValue.FromString(spec.payload).value.partition(b'$')[0].decode()
  inner = ', '.join(_coder(parts, one) for one in parts.coders[coder_id].component_coder_ids)
  return f'{name}({inner})' if inner else name


def as_text(steps: dict[str, Step]) -> str:
  """The text that `from_text` reads."""
  return ''.join(f'{step.label}  {step.kind}\n' + ''.join(
      f'{_INDENT}{name}: {value}\n' for name, value in step.facts.items())
                 for step in steps.values())


def from_text(text: str) -> dict[str, Step]:
  """The steps of a stored graph.

  Raises:
    ValueError: a line is neither a step nor a fact.
  """
  steps: dict[str, Step] = {}
  for number, line in enumerate(text.splitlines(), 1):
    if line.startswith(_INDENT) and steps and ': ' in line:
      name, _, value = line.strip().partition(': ')
      steps[next(reversed(steps))].facts[name] = value
    elif '  beam:' in line and not line.startswith(' '):
      label, _, kind = line.rpartition('  ')
      steps[label] = Step(label, kind)
    else:
      raise ValueError(f'line {number} is neither a step nor a fact of one: {line[:60]!r}')
  return steps
