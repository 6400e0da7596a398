"""Random lines of events: good and bad in every way that a reader of JSON could see differently.

`rng` is anything with the methods of `random.Random`; Hypothesis has one that shrinks.
"""
import json

NEW_YEAR_MS = 1_356_998_400_000   # 2013-01-01T00:00:00Z

# What stands in the text of a JSON string: a character, an escape, or bytes that may not.
_CHARS = [b'a', b'b', b'Z', b'5', b' ', b'/', b'{', b':', b',', 'é'.encode(), '\u0085'.encode(),
          '€'.encode(), '\u2028'.encode(), '\uffff'.encode(), '😀'.encode(), '\U0010ffff'.encode(),
          b'null', b'\xef\xbb\xbf']
_ESCAPES = [b'\\"', b'\\\\', b'\\/', b'\\b', b'\\n', b'\\t', b'\\u0041', b'\\u00e9', b'\\u2028',
            b'\\ud83d\\ude00', b'\\uD83D\\uDE00', b'\\u0000', b'\\u001f', b'\\u007F', b'\\uffff']
_UNFIT = [b'\\ud800', b'\\udc00', b'\\ud800\\ud800', b'\\ud800x', b'\\ud83d\\u0041', b'\\x41',
          b'\\', b'\\u12', b'\\u12g4', b'\\0', b'\\v', b'\\U0041', b'"', b"'", b'\0', b'\x01',
          b'\t', b'\r', b'\x1f', b'\x7f', b'\x80', b'\xbf', b'\xc0\xaf', b'\xc1\xbf', b'\xc3',
          b'\xe0\x80\xaf', b'\xe0\x9f\xbf', b'\xed\xa0\x80', b'\xed\xbf\xbf', b'\xe2\x82',
          b'\xf0\x80\x80\xaf', b'\xf0\x8f\xbf\xbf', b'\xf4\x90\x80\x80', b'\xf0\x9f\x98', b'\xf5',
          b'\xfe', b'\xff']
_NUMBERS = [b'0', b'1', b'-1', b'7', b'-0', b'00', b'01', b'-01', b'+1', b'1.', b'.5', b'1.5',
            b'5.0', b'-', b'--1', b'1e5', b'1E400', b'1e-400', b'1e+2', b'1e', b'1e+', b'1.e1',
            b'0e0', b'-0.0', b'9' * 18, b'9' * 19, b'9' * 20, b'9' * 40, b'1' + b'0' * 18,
            b'-' + b'9' * 18, b'9223372036854775807', b'9223372036854775808',
            b'18446744073709551615', b'18446744073709551616', b'-9223372036854775808',
            b'-9223372036854775809',
            b'0.' + b'1' * 18, b'0.' + b'1' * 19, b'1e99', b'1e100', b'1e308', b'1e309', b'1e001',
            b'0x10', b'1_000', b'1 000', b'NaN', b'nan', b'Infinity', b'-Infinity', b'inf']
_WORDS = [b'null', b'true', b'false', b'Null', b'TRUE', b'nul', b'nulll', b'truefalse', b'None',
          b'undefined', b'', b'{', b'[', b'}', b']', b'{}', b'[]', b'[1,]', b'[,]', b'{"a":1,}',
          b'{"a"}', b'{1:2}', b'{a:1}', b"'x'", b'"', b'/**/1', b'"x"y', b'"x""y"', b'[1 2]']
_SPACES = [b'', b' ', b'\t', b'  ', b' \t ', b' ' * 70]
_UNFIT_SPACES = [b'\r', b'\v', b'\f', b'\0', b'\xc2\xa0', b'\xe3\x80\x80', b'\xef\xbb\xbf', b'//\r']
_NAMES = [b'', b'a', b'song', b'id', b'metadata', b'event_id', b'user_id', b'session_id',
          b'timestamps', b'timestam', b'item_ids', b'tenant_i_', b'Weight', b'ITEM_ID',
          b'Event_Type', b'item_id ', b' item_id', b'event-type', b'ITEM_id', b'tenant_ID',
          b'Timestamp', b'constructor',
          'é'.encode() * 14,
          *(b'k' * length for length in (13, 28, 29, 30, 31, 32, 33, 61, 62, 63, 64, 65, 200))]
_ENDS = [b'\r', b'\r', b'\r', b'\r', b' \r', b' ', b'\t', b'\r\r', b'\r ', b'\0', b'x', b'}', b',',
         b'{}', b'{']
_BLANKS = [b'', b' ', b'\t', b'\r', b' \r', b'\v\f', b' ' * 100, b'\t\t\r', b'\r\r', b' \t\r\v\f']
_NO_BLANKS = [b'\0', b'\x1c', b'\x1f', b'\x85', b'\xc2\xa0', b'\xef\xbb\xbf', b'\x7f', b' \0 ']
_JUNK = [b'{}', b'[]', b'5', b'null', b'"x"', b'{', b'}', b'{bad', b'{"a":1', b'{"a":1}}', b'{{}}',
         b'{}{}', b'{},', b'[{}]', b'x' * 70, b'\\', b'#', b'//', b'{"', b'{"a', b'{"a"', b'{"a":',
         b'{"a":"\\']


def edges(low, high):
  """What lies at the ends of a closed range."""
  return [low - 1, low, low + 1, high - 1, high, high + 1]


def text(rng, most_bytes=0):
  """A JSON string."""
  if most_bytes and rng.randrange(8) == 0:
    char = rng.choice(['x', 'é', '€', '😀']).encode()
    length = rng.choice([most_bytes // len(char), most_bytes])
    return b'"' + char * length + b'x' * rng.randrange(2) + b'"'
  return b'"' + b''.join(_char(rng) for _ in range(rng.randrange(1, 7))) + b'"'


def _char(rng):
  chance = rng.randrange(60)
  return rng.choice(_UNFIT if chance == 0 else _ESCAPES if chance < 4 else _CHARS)


def value(rng, depth=3):
  """Any JSON value, and what looks like one."""
  kind = rng.randrange(12)
  if kind < 3:
    return text(rng)
  if kind < 5:
    return rng.choice(_NUMBERS)
  if kind == 5:
    return rng.choice(_WORDS)
  if kind == 6:
    levels = rng.choice([1, 2, 30, 31, 32, 62, 63, 64, 65, 66, 70])
    ends = rng.choice([(b'[', b']'), (b'{"a":', b'}'), (b'[ {"": ', b' }\t]')])
    return ends[0] * levels + rng.choice([b'1', b'"x"', b'']) + ends[1] * levels
  if kind < 9 or not depth:
    return rng.choice([b'1', b'-2.5e3', b'true', b'null', b'""', b'{}', b'[ ]', b'"x"'])
  inner = [value(rng, depth - 1) for _ in range(rng.randrange(4))]
  if kind == 9:
    return b'[' + _spaced(rng, b',').join(inner) + b']'
  return b'{' + _spaced(rng, b',').join(
      b'"' + rng.choice(_NAMES) + b'"' + _spaced(rng, b':') + found for found in inner) + b'}'


def metadata(rng, depth=2):
  """A JSON value that is fit, though others may write it in another way."""
  kind = rng.randrange(8 if depth else 5)
  if kind < 2:
    return b'"' + b''.join(rng.choice(_ESCAPES if rng.randrange(9) == 0 else _CHARS)
                           for _ in range(rng.randrange(5))) + b'"'
  if kind < 4:
    whole = str(rng.randrange(10 ** rng.choice([1, 2, 5, 10, 15, 17])))
    fraction = ''.join(rng.choice('0123456789') for _ in range(rng.choice([0, 0, 0, 1, 2, 5, 7])))
    return (rng.choice(['', '', '-']) + whole + ('.' + fraction if fraction else '')).encode()
  if kind == 4:
    return rng.choice([b'null', b'true', b'false', b'[]', b'{ }', b'1e5', b'0', b'-0', b'-0.0'])
  inner = [metadata(rng, depth - 1) for _ in range(rng.randrange(4))]
  comma, colon = rng.choice([(b',', b':'), (b', ', b': '), (b'\t, ', b' :\t')])
  if kind == 5:
    return b'[' + comma.join(inner) + b']'
  names = [b'"a"', b'"song"', b'"id"', b'"b c"', b'"\\n"', '"é"'.encode()]
  return b'{' + comma.join(rng.choice(names) + colon + found for found in inner) + b'}'


def timestamp(rng, timestamp_format, odd=False):
  """The value of a timestamp, near the start of 2013 unless `odd`."""
  if timestamp_format == 'rfc3339':
    return b'"' + _moment(rng, rng.randrange(1, 5) if odd else 0) + b'"'
  moment = NEW_YEAR_MS + rng.randrange(-200_000, 200_000)
  if odd:
    moment = rng.choice([
        *edges(946_684_800_000, 4_102_444_800_000), 0, -1, 999_999_999_999, 10**13, -moment,
        moment * 1000, 10**17, 10**18 - 1, 10**18, 2**63, 2**64])
  return b'%d' % (moment // 1000 if timestamp_format == 'epoch_s' else moment)


def _moment(rng, odd):
  """The text of a moment; `odd`: which of its parts is, from 1 on."""
  date = rng.choice([b'2013-01-01', b'2012-12-31'])
  hour, minute, second = rng.randrange(24), rng.randrange(60), rng.randrange(60)
  if odd == 1:
    date = rng.choice([
        b'2012-02-29', b'2000-02-29', b'2096-02-29', b'2013-02-28', b'2012-03-01',
        b'1999-12-31', b'2000-01-01', b'2099-12-31', b'2100-01-01', b'2013-02-29', b'2100-02-29',
        b'1900-02-29', b'2013-02-30', b'2013-04-31', b'2013-13-01', b'2013-00-01', b'2013-01-00',
        b'2013-01-32', b'0000-01-01', b'0000-03-01', b'9999-12-31', b'13-01-01', b'2013-1-01',
        b'12013-01-01', b'2013/01/01', b'2013-01', b'20130101', b'+013-01-01', b'2013-001'])
    hour, minute, second = rng.choice([(0, 0, 0), (23, 59, 59), (hour, minute, second)])
  if odd == 2:
    hour, minute, second = rng.choice([
        (24, 0, 0), (24, 0, 1), (23, 59, 60), (0, 60, 0), (0, 0, 61), (99, 0, 0)])
  clock = b'%02d:%02d:%02d' % (hour, minute, second)
  if odd == 3:
    clock = rng.choice([clock[:5], clock[:-1], clock + b':00', clock.replace(b':', b''), b'',
                        clock + b'.', clock + b',5', clock + b'.5x', b'-1:00:00'])
  fraction = b''
  if rng.randrange(2):
    fraction = b'.' + (rng.choice([b'0', b'1', b'9', b'5', b'123456789']) * 12)[
        :rng.randrange(1, 13)]
  zone = rng.choice([b'Z'] * 6 + [b'+00:00', b'-00:00', b'+05:30', b'-08:00', b'+13:59', b'+14:00'])
  if odd == 4:
    zone = rng.choice([b'z', b'', b'+13:60', b'-13:59', b'-14:00', b'+15:59', b'+16:00', b'-16:00',
                       b'+23:59', b'-23:59', b'+24:00', b'+5:30', b'+0530', b'+05', b' Z', b'UTC',
                       b'ZZ', b'Z ', b'+05:30:00', b' +00:00', b'+00:00Z'])
  return date + rng.choice([b'T'] * 30 + [b' ', b't', b'', b'  ', b'_']) + clock + fraction + zone


def _item(rng):
  return text(rng, 512) if rng.randrange(4) else rng.choice(_NUMBERS)


def _weight(rng):
  if rng.randrange(2):
    return b'%d' % rng.choice([*edges(1, 10**12), 10**11, 123_456_789_012])
  return rng.choice([b'null', *_NUMBERS])


def _spaced(rng, token):
  if rng.randrange(3):
    return token
  spaces = _UNFIT_SPACES if rng.randrange(30) == 0 else _SPACES
  return rng.choice(spaces) + token + rng.choice(spaces)


def _key(rng, name):
  """A key that may have a character more, or one that is escaped."""
  at = rng.randrange(len(name) + 1)
  if rng.randrange(2) and at < len(name) and name.isascii():
    name = name[:at] + b'\\u%04x' % name[at] + name[at + 1:]
  else:
    name = name[:at] + _char(rng) + name[at:]
  return b'"' + name + b'"'


def line(rng, timestamp_format='epoch_ms', max_bytes=0):
  """One line, without its newline: a good event, of which up to three things are changed.

  Args:
    max_bytes: near which the length of some lines lies.
  """
  if rng.randrange(25) == 0:
    return rng.choice(_BLANKS if rng.randrange(2) else _NO_BLANKS + _JUNK)
  fields = [[b'"event_type"', rng.choice([b'"play"', b'"view"'])],
            [b'"timestamp"', timestamp(rng, timestamp_format)],
            [b'"item_id"', rng.choice([b'"x"', b'"y"', b'"5"', b'5', b'"more than 16 bytes"'])]]
  if rng.randrange(2):
    fields.append([b'"tenant_id"', rng.choice([b'"t"', b'"default"', b'null'])])
  if rng.randrange(2):
    fields.append([b'"weight"', b'%d' % rng.randrange(1, 100)])
  if rng.randrange(2):
    fields.append([b'"metadata"', rng.choice([
        metadata(rng), b'{"song":{"id":"x"},"a":5}', b'{"a":"y","song":{"n":1,"id":5}}'])])
  while rng.randrange(3) == 0:
    fields.append([b'"' + rng.choice(_NAMES) + b'"', value(rng, 0)])
  if rng.randrange(2):
    fields.append([b'"user_id"', rng.choice([b'"u"', b'17', b'null'])])
  for _ in range(rng.randrange(4)):
    change = rng.choice([_change_value, _change_value, _change_value, _add, _double, _drop,
                         _change_key, _shuffle])
    change(rng, fields, timestamp_format)
  spaced = _spaced if rng.randrange(3) == 0 else lambda rng, token: token
  before = rng.choice([*_SPACES, *_UNFIT_SPACES]) if rng.randrange(40) == 0 else b''
  behind = rng.choice([*_ENDS, *_UNFIT_SPACES]) if rng.randrange(8) == 0 else b''
  if max_bytes and rng.randrange(6) == 0:
    length = len(before + _object(rng, fields, _spaced) + behind) + len(b',"pad":""')
    fields.append([b'"pad"', b'"' + b'x' * (max_bytes + rng.randrange(-2, 3) - length) + b'"'])
  return (before + _object(rng, fields, spaced) + behind).replace(b'\n', b' ')


def _change_value(rng, fields, timestamp_format):
  if not fields:
    return
  field = rng.choice(fields)
  name = field[0][1:-1]
  if name in _MAKERS and rng.randrange(6):
    field[1] = _MAKERS[name](rng)
  elif name != b'timestamp' or rng.randrange(2):
    field[1] = value(rng)
  else:
    field[1] = timestamp(rng, timestamp_format, odd=True)


def _add(rng, fields, _):
  fields.insert(rng.randrange(len(fields) + 1), [b'"' + rng.choice(_NAMES) + b'"', value(rng)])


def _double(rng, fields, _):
  if fields:
    name, found = rng.choice(fields)
    fields.insert(rng.randrange(len(fields) + 1),
                  [name, rng.choice([found, b'null', b'"other"', value(rng)])])


def _drop(rng, fields, _):
  if fields:
    fields.pop(rng.randrange(len(fields)))


def _change_key(rng, fields, _):
  if fields:
    field = rng.choice(fields)
    field[0] = _key(rng, field[0][1:-1])


def _shuffle(rng, fields, _):
  rng.shuffle(fields)


def _object(rng, fields, spaced):
  return b'{' + b''.join(
      (spaced(rng, b',') if place else b'') + name + spaced(rng, b':') + found
      for place, (name, found) in enumerate(fields)) + b'}'


_MAKERS = {b'event_type': lambda rng: text(rng, 50), b'tenant_id': lambda rng: text(rng, 64),
           b'item_id': _item, b'weight': _weight}


def mutated(rng, found, other):
  """A line with a few of its bytes changed, without a newline.

  Args:
    other: a line of which pieces may come in.
  """
  for _ in range(rng.randrange(1, 4)):
    at = rng.randrange(len(found) + 1)
    behind = min(at + rng.choice([1, 1, 1, 2, 4, 9]), len(found))
    kind = rng.randrange(7)
    if kind == 0:
      found = found[:at] + found[behind:]
    elif kind == 1:
      found = found[:at] + bytes([rng.randrange(256)]) + found[behind:]
    elif kind == 2:
      found = found[:at] + rng.choice([b'"', b'\\', b'{', b'}', b'[', b']', b',', b':', b' ', b'\t',
                                       b'\r', b'\0', b'0', b'-', b'.', b'e', b'\x7f']) + found[at:]
    elif kind == 3:
      found = found[:at] + found[at:behind] + found[at:]
    elif kind == 4:
      start = rng.randrange(len(other) + 1)
      found = found[:at] + other[start:start + behind - at] + found[behind:]
    elif kind == 5 and at < len(found):
      found = found[:at] + bytes([found[at] ^ 1 << rng.randrange(8)]) + found[at + 1:]
    else:
      found = found[:at] + _char(rng) + found[at:]
  return found.replace(b'\n', b'\r')


def good_event(rng):
  """A good event as any JSON writer writes it."""
  return json.dumps({
      'event_type': rng.choice(['play', 'view']), 'timestamp': NEW_YEAR_MS + rng.randrange(200_000),
      'item_id': f'item-{rng.randrange(100)}', 'tenant_id': rng.choice(['t', 'u', None]),
      'weight': rng.randrange(1, 9)}, separators=rng.choice([(',', ':'), (', ', ': ')])).encode()
