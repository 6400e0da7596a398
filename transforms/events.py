"""The event contract: which events count, and why the others do not.

An event is one JSON object with `event_type`, `timestamp` and `item_id`, and optionally
`tenant_id` and `weight`. `judge` is the one place that names a fault; the counting query
only tells good from bad, and a test holds the two against each other.
"""
import json
import re
from typing import NamedTuple

DEFAULT_TENANT = 'default'
MAX_EVENT_TYPE_CHARS = 50
MAX_TENANT_CHARS = 64
_MAX_CHARS = {'event_type': MAX_EVENT_TYPE_CHARS, 'tenant_id': MAX_TENANT_CHARS}
MAX_ITEM_BYTES = 512
MAX_WEIGHT = 10**12
MIN_EPOCH_SECS = 946_684_800     # 2000-01-01
END_EPOCH_SECS = 4_102_444_800   # 2100-01-01
KEPT_BYTES = 64 << 10            # of a refused event

TOO_LATE = 'too_late'
REASONS = ('bad_text', 'bad_timestamp', 'bad_weight', 'malformed_json', 'missing_field',
           'not_an_object', 'out_of_range', 'too_large', 'wrong_type')
TIMESTAMP_FORMATS = ('epoch_ms', 'epoch_s', 'rfc3339')

# The pattern is shared with the counting query (RE2): keep it to what both engines know.
RFC3339 = (r'[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]'
           r'(\.[0-9]+)?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])')
CONTROL = r'[\x00-\x1f\x7f]'
INTEGER = r'-?[0-9]+'


class Refused(NamedTuple):
  """An event that was not counted: why, what it was and where it stands in its source."""
  reason: str
  field: str
  data: bytes
  source: str
  partition: int
  offset: int


class RawEvent(NamedTuple):
  """The contract's fields as the JSON text of their values; None where absent or null."""
  event_type: str | None
  timestamp: str | None
  item_id: str | None
  tenant_id: str | None
  weight: str | None


def judge(raw: RawEvent, line: bytes, timestamp_format: str, epoch_ms: int | None,
          end_ms: int = END_EPOCH_SECS * 1000) -> tuple[str, str] | None:
  """Names the first fault of an event as (reason, field); None when it has none.

  Args:
    raw: the fields, in JSON text.
    line: the event's bytes, asked only where no field could be read.
    timestamp_format: one of TIMESTAMP_FORMATS.
    epoch_ms: the moment that an RFC 3339 text stands for, None when it stands for none.
    end_ms: the first moment that is out of range.
  """
  if not any(raw):
    fault = _unreadable(line)
    if fault:
      return fault
  return (_text_fault('event_type', raw.event_type, MAX_EVENT_TYPE_CHARS)
          or _timestamp_fault(raw.timestamp, timestamp_format, epoch_ms, end_ms)
          or _item_fault(raw.item_id)
          or (_text_fault('tenant_id', raw.tenant_id, MAX_TENANT_CHARS)
              if raw.tenant_id is not None else None)
          or _weight_fault(raw.weight))


def meaning(field: str, raw: str) -> str | None:
  """The text that a field stands for; None when no event may have it there.

  Args:
    field: `event_type`, `tenant_id` or `item_id`.
    raw: the field's value, in JSON text.
  """
  if field == 'item_id':
    if _item_fault(raw):
      return None
    return json.loads(raw) if raw.startswith('"') else raw
  if _text_fault(field, raw, _MAX_CHARS[field]):
    return None
  return json.loads(raw)


def _unreadable(line: bytes) -> tuple[str, str] | None:
  try:
    value = json.loads(line.decode('utf-8'))
  except (ValueError, RecursionError):
    return 'malformed_json', ''
  if not isinstance(value, dict):
    return 'not_an_object', ''
  for field in ('event_type', 'item_id', 'tenant_id'):
    if isinstance(value.get(field), str) and _has_surrogate(value[field]):
      return 'bad_text', field
  if _has_surrogate(json.dumps(value, ensure_ascii=False)):
    return 'bad_text', ''
  return None


def _has_surrogate(text: str) -> bool:
  return any('\ud800' <= char <= '\udfff' for char in text)


def _text_fault(field: str, raw: str | None, max_chars: int) -> tuple[str, str] | None:
  if raw is None:
    return 'missing_field', field
  if not raw.startswith('"'):
    return 'wrong_type', field
  text = json.loads(raw)
  if re.search(CONTROL, text):
    return 'bad_text', field
  if not 1 <= len(text) <= max_chars:
    return 'out_of_range', field
  return None


def _item_fault(raw: str | None) -> tuple[str, str] | None:
  if raw is not None and re.fullmatch(INTEGER, raw):
    return ('out_of_range', 'item_id') if len(raw) > MAX_ITEM_BYTES else None
  fault = _text_fault('item_id', raw, MAX_ITEM_BYTES)
  if fault is None and raw is not None and len(json.loads(raw).encode()) > MAX_ITEM_BYTES:
    return 'out_of_range', 'item_id'
  return fault


def _timestamp_fault(raw: str | None, timestamp_format: str, epoch_ms: int | None,
                     end_ms: int) -> tuple[str, str] | None:
  if raw is None:
    return 'missing_field', 'timestamp'
  if timestamp_format == 'rfc3339':
    if not raw.startswith('"'):
      return 'wrong_type', 'timestamp'
    if epoch_ms is None:
      return 'bad_timestamp', 'timestamp'
  else:
    if not re.fullmatch(INTEGER, raw):
      return 'wrong_type', 'timestamp'
    epoch_ms = int(raw[:20]) * (1000 if timestamp_format == 'epoch_s' else 1)
  if not MIN_EPOCH_SECS * 1000 <= epoch_ms < end_ms:
    return 'out_of_range', 'timestamp'
  return None


def _weight_fault(raw: str | None) -> tuple[str, str] | None:
  if raw is None:
    return None
  if raw[0] not in '-0123456789':
    return 'wrong_type', 'weight'
  if re.fullmatch(INTEGER, raw) and 1 <= int(raw[:20]) <= MAX_WEIGHT:
    return None
  return 'bad_weight', 'weight'
