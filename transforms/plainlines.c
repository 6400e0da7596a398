/* Counts the plain lines of a block: those whose meaning is beyond doubt. And plain rows of a table.

A line is plain when it is strict JSON (RFC 8259) in valid UTF-8, holds a good event of the
contract in range and in time, no field of the contract twice, and no escape in one. It is counted
here in one pass over its bytes. Every other line is told by its place, and judged elsewhere: what
is accepted here must be a part of what is accepted there, with the same meaning.

Reading may go up to PADDING bytes beyond a line: the last lines of a block are read from a copy.
No line is read beyond its newline, which stands in no token. */
#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE   /* madvise */
#endif
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#if defined(__GNUC__)
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#define PREFETCH(x) __builtin_prefetch(x)
#else
#define LIKELY(x) (x)
#define UNLIKELY(x) (x)
#define PREFETCH(x)
#endif

#if defined(_WIN32)
#define PUBLIC __declspec(dllexport)
#else
#define PUBLIC __attribute__((visibility("default")))
#endif

typedef uint8_t byte;

enum { PADDING = 64, MAX_DEPTH = 64, SLOTS = 32, SLOT_BYTES = 32, RING = 32 };
enum { MAX_TYPE = 50, MAX_TENANT = 64, MAX_ITEM = 512 };   /* bytes; see events.py */
#define MAX_WEIGHT 1000000000000LL
static const byte DEFAULT_TENANT[16] = "default";   /* longer, since texts are read eight bytes at once */
enum { EPOCH_MS, EPOCH_S, RFC3339 };
enum { TYPE, TIME, ITEM, TENANT, WEIGHT, OTHER, EVENT_ID, USER_ID, SESSION_ID, METADATA };
enum { TEXTS = 3, ARCHIVED = 4, COLUMNS = TEXTS + ARCHIVED };

enum { MAX_ROOTS = 8, MAX_PATHS = 32, MAX_KEYS = 8 };

typedef struct { const byte *at; uint32_t length; } Text;

/* Structures up to Counts are read by plainlines.py too: the same fields in the same order. */

/* Where the events of a type keep their item: in which of the roots, and below which keys. */
typedef struct { Text type; int64_t root, keys; Text key[MAX_KEYS]; } Path;

/* Roots are fields of an event that are none of the contract, or archived. */
typedef struct { int64_t roots, paths; Text root[MAX_ROOTS]; Path path[MAX_PATHS]; } Paths;

typedef struct {
  int64_t format;         /* of the timestamp */
  int64_t base_ms;        /* length of the base window */
  int64_t min_ms, end_ms; /* moments in range: [min_ms, end_ms) */
  int64_t min_start_ms;   /* windows that start before it are too late */
  int64_t max_line;       /* bytes */
  int64_t keep;           /* whether the events are told, too */
  uint64_t seed;          /* of the hashes: what stands in an input must not choose its places */
  const Paths *paths;     /* NULL where every item is an item_id */
} Rules;

/* A column of text in Arrow's way. */
typedef struct {
  const int32_t *index;   /* of each row the number of its value, negative for null */
  const int32_t *offset;  /* NULL: there is no such column */
  const byte *text;
  int64_t values;
} Column;

typedef struct {
  int64_t rows;
  Column column[3];       /* tenant, type, item; that of the items may do without `index` */
  const int64_t *time;    /* by the format of the rules, in `parts` to a millisecond */
  int64_t parts;
  const int64_t *weight;  /* NULL: all are 1 */
} Table;

/* The plain events of a block as columns of Arrow, in order of tenant, type, moment and line. */
typedef struct {
  int64_t rows;
  int64_t bytes[COLUMNS];
  int64_t *start, *number;    /* [rows]: of the line, in bytes and in lines */
  int64_t *us, *weight;
  int32_t *offset[COLUMNS];   /* tenant, type, item; then event_id, user_id, session_id, metadata */
  byte *text[COLUMNS];
  byte *valid[ARCHIVED];      /* bitmaps */
} Kept;

typedef struct {
  int64_t lines;      /* all that there are */
  int64_t blanks;     /* of them, lines of white space: no events */
  int64_t latest_ms;  /* newest moment of a plain line; -1 for none */
  int64_t cells, items, odd;
  int64_t cell_bytes, item_bytes;
  int64_t *cell;      /* [cells][5]: bytes of tenant, bytes of type, start ms, events, items */
  byte *cell_text;    /* tenant and type of each */
  int64_t *length;    /* [items]: bytes; those of a cell follow on one another */
  int64_t *weight;    /* [items] */
  byte *item_text;
  int64_t *odd_line;  /* [odd][3]: start, end, number of every line neither plain nor blank */
  Kept *kept;         /* freed apart; NULL unless asked for */
} Counts;

/* text: by field; archived: what is kept besides, NULL for null; root: whole values. */
typedef struct {
  Text text[4], archived[ARCHIVED];
  const byte *root[MAX_ROOTS];
  int64_t ms, weight;
  int spaced;   /* whether white space stands in its metadata */
} Event;

typedef struct { Text tenant, type; int64_t start, events, items; uint64_t hash; } Cell;
/* An item of a cell. The first 16 bytes, with zeros behind a shorter text, stand here too: most items
   are told apart without a look at where they were first seen, which is far away. */
typedef struct {
  uint64_t head[2], hash;
  int64_t weight;
  const byte *at;
  uint32_t length, cell;
} Item;

/* An event that is kept. */
typedef struct {
  Text item, archived[ARCHIVED];
  int64_t ms, weight, start, number;
  uint32_t cell;
  int spaced;   /* whether white space stands in its metadata */
} Row;

/* A member of an object as it stood in the line before: `"key":`. */
typedef struct { byte text[SLOT_BYTES]; uint32_t length, mask, field, root; } Slot;

typedef struct {
  Rules rules;
  Slot slot[SLOTS];
  Cell *cell; size_t cells, cell_room;
  uint32_t *cell_place; size_t cell_mask;
  Item *item; size_t items, item_room;
  uint64_t *item_place; size_t item_mask;   /* upper half of the hash, number + 1 */
  Item ring[RING]; size_t pending;
  Row *row; size_t rows, row_room;
  int64_t *odd; size_t odds, odd_room;
  int64_t lines, blanks, latest_ms;
  int failed;   /* out of memory */
} State;

/* --- Tokens. Each function takes the first byte and returns the one behind, or NULL. --- */

/* Of 16 bytes, the first that is a quote, a backslash, a control character, DEL or not ASCII. */
static inline unsigned first_special(const byte *p) {
#if defined(__SSE2__)
  __m128i v = _mm_loadu_si128((const __m128i *)p);
  __m128i found = _mm_or_si128(
      _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')), _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'))),
      _mm_or_si128(_mm_cmplt_epi8(v, _mm_set1_epi8(0x20)), _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f))));
  unsigned mask = (unsigned)_mm_movemask_epi8(found);
  return mask ? (unsigned)__builtin_ctz(mask) : 16;
#else
  for (unsigned i = 0; i < 16; i++)
    if (p[i] == '"' || p[i] == '\\' || p[i] < 0x20 || p[i] >= 0x7f) return i;
  return 16;
#endif
}

/* One character that is not ASCII, as Unicode's table 3-7 has them. */
static const byte *utf8_char(const byte *p) {
  byte c = p[0];
  if (c < 0xc2 || c > 0xf4) return NULL;
  byte low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
  byte high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
  if (p[1] < low || p[1] > high) return NULL;
  int more = c < 0xe0 ? 0 : c < 0xf0 ? 1 : 2;
  for (int i = 0; i < more; i++)
    if ((p[2 + i] & 0xc0) != 0x80) return NULL;
  return p + 2 + more;
}

static int hex4(const byte *p) {
  int value = 0;
  for (int i = 0; i < 4; i++) {
    byte c = p[i];
    int digit = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f'
                                                     ? (c | 32) - 'a' + 10 : -1;
    if (digit < 0) return -1;
    value = value << 4 | digit;
  }
  return value;
}

static const byte *escape(const byte *p) {
  if (p[1] != 'u') return p[1] && strchr("\"\\/bfnrt", p[1]) ? p + 2 : NULL;
  int code = hex4(p + 2);
  if (code < 0 || (code >= 0xdc00 && code <= 0xdfff)) return NULL;
  if (code < 0xd800 || code > 0xdbff) return p + 6;
  int low = p[6] == '\\' && p[7] == 'u' ? hex4(p + 8) : -1;
  return low >= 0xdc00 && low <= 0xdfff ? p + 12 : NULL;
}

/* A string from behind its first quote to behind its last. A strict one has neither escapes
   nor DEL, so that its bytes are its text. */
static inline const byte *string(const byte *p, int strict) {
  for (;;) {
    unsigned ordinary = first_special(p);
    p += ordinary;
    if (ordinary == 16) continue;
    if (LIKELY(*p == '"')) return p + 1;
    if (*p >= 0x80) p = utf8_char(p);
    else if (strict) return NULL;
    else if (*p == 0x7f) p++;
    else if (*p == '\\') p = escape(p);
    else return NULL;
    if (!p) return NULL;
  }
}

static inline int digit(byte c) { return (byte)(c - '0') < 10; }

static inline const byte *spaces(const byte *p) {
  while (UNLIKELY(*p == ' ' || *p == '\t')) p++;
  return p;
}

/* A whole number that is not negative, of at most 18 digits, with nothing of a number behind. */
static inline const byte *whole(const byte *p, int64_t *value) {
  const byte *start = p;
  int64_t sum = 0;
  if (*p == '0') {
    p++;
  } else {
    while (digit(*p) && p < start + 18) sum = sum * 10 + (*p++ - '0');
    if (p == start) return NULL;
  }
  if (digit(*p) || *p == '.' || (*p | 32) == 'e') return NULL;
  *value = sum;
  return p;
}

static const byte *number(const byte *p) {
  if (*p == '-') p++;
  const byte *start = p;
  if (*p == '0') p++;
  else while (digit(*p) && p < start + 18) p++;
  if (p == start || digit(*p)) return NULL;
  if (*p == '.') {
    start = ++p;
    while (digit(*p) && p < start + 18) p++;
    if (p == start || digit(*p)) return NULL;
  }
  if ((*p | 32) == 'e') {
    p++;
    if (*p == '+' || *p == '-') p++;
    start = p;
    while (digit(*p) && p < start + 2) p++;
    if (p == start || digit(*p)) return NULL;
  }
  return p;
}

static const byte *value(const byte *p, int depth);

static const byte *members(const byte *p, int depth, byte close) {
  p = spaces(p + 1);
  if (*p == close) return p + 1;
  for (;;) {
    if (close == '}') {
      if (*p != '"' || !(p = string(p + 1, 0))) return NULL;
      p = spaces(p);
      if (*p != ':') return NULL;
      p = spaces(p + 1);
    }
    if (!(p = value(p, depth))) return NULL;
    p = spaces(p);
    if (*p == close) return p + 1;
    if (*p != ',') return NULL;
    p = spaces(p + 1);
  }
}

static const byte *value(const byte *p, int depth) {
  switch (*p) {
    case '"': return string(p + 1, 0);
    case '{': return depth ? members(p, depth - 1, '}') : NULL;
    case '[': return depth ? members(p, depth - 1, ']') : NULL;
    case 't': return memcmp(p, "true", 4) ? NULL : p + 4;
    case 'f': return memcmp(p, "false", 5) ? NULL : p + 5;
    case 'n': return memcmp(p, "null", 4) ? NULL : p + 4;
    default: return number(p);
  }
}

static inline int two(const byte *p) {
  return digit(p[0]) && digit(p[1]) ? (p[0] - '0') * 10 + p[1] - '0' : -1;
}

/* `"2013-01-01T05:17:00.123Z"`, from its quote on, milliseconds cut off. */
static const byte *rfc3339(const byte *p, int64_t *ms) {
  static const byte days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  if (*p++ != '"') return NULL;
  int century = two(p), year = two(p + 2), month = two(p + 5), day = two(p + 8);
  int hour = two(p + 11), minute = two(p + 14), second = two(p + 17);
  if (century < 0 || year < 0 || month < 1 || month > 12 || day < 1 || hour < 0 || hour > 23 ||
      minute < 0 || minute > 59 || second < 0 || second > 59 || p[4] != '-' || p[7] != '-' ||
      (p[10] != 'T' && p[10] != ' ') || p[13] != ':' || p[16] != ':')
    return NULL;
  year += century * 100;
  int leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  if (day > days[month - 1] + (month == 2 && leap)) return NULL;
  p += 19;
  int fraction = 0;
  if (*p == '.') {
    const byte *start = ++p;
    for (int scale = 100; digit(*p) && p < start + 9; scale /= 10) fraction += scale * (*p++ - '0');
    if (p == start || digit(*p)) return NULL;
  }
  int offset = 0;
  if (*p == '+' || *p == '-') {
    int hours = two(p + 1), minutes = two(p + 4);
    if (hours < 0 || hours > 13 || p[3] != ':' || minutes < 0 || minutes > 59) return NULL;
    offset = (*p == '+' ? 60 : -60) * (hours * 60 + minutes);
    p += 6;
  } else if (*p++ != 'Z') {
    return NULL;
  }
  if (*p != '"') return NULL;
  /* Days of the civil calendar since 1970, counted from 1 March of year 0. */
  int64_t y = year - (month <= 2), m = month + (month <= 2 ? 9 : -3);
  int64_t epoch_days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719468;
  *ms = (epoch_days * 86400 + hour * 3600 + minute * 60 + second - offset) * 1000 + fraction;
  return p + 1;
}

/* --- A line --- */

static inline int same(Text a, Text b) {
  return a.length == b.length && !memcmp(a.at, b.at, a.length);
}

static unsigned field_of(const byte *key, size_t length) {
  switch (length) {
    case 6: return memcmp(key, "weight", 6) ? OTHER : WEIGHT;
    case 7: return !memcmp(key, "item_id", 7) ? ITEM : !memcmp(key, "user_id", 7) ? USER_ID : OTHER;
    case 8: return !memcmp(key, "event_id", 8) ? EVENT_ID : !memcmp(key, "metadata", 8) ? METADATA : OTHER;
    case 9: return !memcmp(key, "timestamp", 9) ? TIME : !memcmp(key, "tenant_id", 9) ? TENANT : OTHER;
    case 10: return !memcmp(key, "event_type", 10) ? TYPE : !memcmp(key, "session_id", 10) ? SESSION_ID : OTHER;
    default: return OTHER;
  }
}

static inline int slot_fits(const Slot *slot, const byte *p) {
#if defined(__SSE2__)
  __m128i a = _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)p),
                             _mm_loadu_si128((const __m128i *)slot->text));
  __m128i b = _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)(p + 16)),
                             _mm_loadu_si128((const __m128i *)(slot->text + 16)));
  uint32_t same = (uint32_t)_mm_movemask_epi8(a) | (uint32_t)_mm_movemask_epi8(b) << 16;
  return (same & slot->mask) == slot->mask && slot->length;
#else
  return slot->length && !memcmp(p, slot->text, slot->length);
#endif
}

/* Which root a key names, from 1; 0 for none. */
static unsigned root_of(const Paths *paths, Text key) {
  for (int i = 0; i < (paths ? paths->roots : 0); i++)
    if (same(paths->root[i], key)) return (unsigned)i + 1;
  return 0;
}

/* A key and its colon. */
static const byte *key(const byte *p, const Rules *rules, Slot *slot, unsigned *field, unsigned *root) {
  const byte *start = p;
  if (*p != '"') return NULL;
  if (!(p = string(p + 1, 1))) return NULL;   /* with an escape it could be any key */
  Text name = {start + 1, (uint32_t)(p - start) - 2};
  *field = field_of(name.at, name.length);
  *root = root_of(rules->paths, name);
  if (!rules->keep && *field > OTHER) *field = OTHER;
  size_t length = (size_t)(p - start) + 1;
  if (*p == ':' && slot && length <= SLOT_BYTES) {
    memset(slot->text, 0, SLOT_BYTES);
    memcpy(slot->text, start, length);
    slot->length = (uint32_t)length;
    slot->mask = length == 32 ? ~0u : (1u << length) - 1;
    slot->field = *field;
    slot->root = *root;
    return p + 1;
  }
  p = spaces(p);
  return *p == ':' ? p + 1 : NULL;
}

static inline const byte *text(const byte *p, Text *found, uint32_t max) {
  const byte *start = p + 1;
  if (*p != '"' || !(p = string(start, 1))) return NULL;
  size_t length = (size_t)(p - start) - 1;
  if (UNLIKELY(length < 1 || length > max)) return NULL;
  found->at = start;
  found->length = (uint32_t)length;
  return p;
}

/* Whether a value that is JSON is kept as it stands but for the white space between its tokens: its
   numbers and escapes are those that any writer of JSON would write for what they mean. */
static int as_written(const byte *p, const byte *end, int *spaced) {
  while (p < end) {
    if (*p == '"') {
      for (p += 1 + first_special(p + 1); *p != '"'; p++)
        if (*p == '\\' && (*++p == 'u' || *p == '/')) return 0;
      p++;
    } else if (*p == '-' || digit(*p)) {
      const byte *start = p += *p == '-', *point = NULL;
      for (; digit(*p) || *p == '.'; p++)
        if (*p == '.') point = p;
      if ((*p | 32) == 'e') return 0;
      /* At most 15 digits, of which five are behind the point, and the last is no idle zero. */
      if (point ? p - start > 16 || p - point > 6 || (p[-1] == '0' && p - point > 2)
                : *start == '0' && start[-1] == '-')
        return 0;
    } else {
      *spaced |= *p == ' ' || *p == '\t';
      p++;
    }
  }
  return 1;
}

/* A value that is kept besides; a null is none. */
static const byte *archived(const byte *p, unsigned field, Event *event) {
  Text *found = &event->archived[field - EVENT_ID];
  const byte *start = p;
  int64_t told;
  if (*p == 'n') return value(p, 0);
  if (field == METADATA) {
    if (!(p = value(p, MAX_DEPTH)) || !as_written(start, p, &event->spaced)) return NULL;
  } else if (*p == '"') {
    if (!(p = string(++start, 1))) return NULL;
    *found = (Text){start, (uint32_t)(p - start) - 1};
    return p;
  } else if (!(p = whole(p, &told))) {
    return NULL;
  }
  *found = (Text){start, (uint32_t)(p - start)};
  return p;
}

static const byte *item(const byte *p, Text *found) {
  int64_t told;
  if (*p == '"') return text(p, found, MAX_ITEM);
  const byte *start = p;
  if ((p = whole(p, &told))) *found = (Text){start, (uint32_t)(p - start)};
  return p;
}

/* The value of the first member of that name in an object that was read before; NULL for none, or
   where one before it could have that name. */
static const byte *member(const byte *p, Text name) {
  if (*p != '{') return NULL;
  do {
    Text found;
    p = spaces(p + 1);
    if (!text(p, &found, UINT32_MAX)) return NULL;
    p = spaces(spaces(found.at + found.length + 1) + 1);
    if (same(found, name)) return p;
    p = spaces(value(p, MAX_DEPTH));
  } while (*p == ',');
  return NULL;
}

/* Takes the item from where events of this type keep it; 0 when it is not there. */
static int take_item(const Paths *paths, Event *event) {
  for (int i = 0; i < paths->paths; i++) {
    const Path *path = &paths->path[i];
    if (!same(path->type, event->text[TYPE])) continue;
    const byte *p = event->root[path->root];
    for (int key = 0; p && key < path->keys; key++) p = member(p, path->key[key]);
    return p && item(p, &event->text[ITEM]);
  }
  return event->text[ITEM].at != NULL;
}

enum { KEEP = 1, PATHS = 2 };   /* which of these `line` does besides; known when it is compiled */

/* Reads a line up to its newline; NULL unless it is plain. */
static inline const byte *line(State *s, const byte *p, Event *event, int mode) {
  unsigned seen = 0, slot = 0;
  event->text[TENANT] = (Text){DEFAULT_TENANT, 7};
  event->text[TYPE] = event->text[ITEM] = (Text){NULL, 0};
  event->ms = -1;
  event->weight = 1;
  event->spaced = 0;
  if (mode & KEEP) memset(event->archived, 0, sizeof event->archived);
  if (mode & PATHS) memset(event->root, 0, sizeof event->root);
  p = spaces(p);
  if (*p++ != '{') return NULL;
  for (;;) {
    unsigned field, root;
    Slot *expected = slot < SLOTS ? &s->slot[slot++] : NULL;
    p = spaces(p);
    if (LIKELY(expected && slot_fits(expected, p))) {
      p += expected->length;
      field = expected->field;
      root = expected->root;
    } else if (!(p = key(p, &s->rules, expected, &field, &root))) {
      return NULL;
    }
    p = spaces(p);
    if (field != OTHER) {
      if (UNLIKELY(seen & 1u << field)) return NULL;
      seen |= 1u << field;
    }
    if (mode & PATHS && root) {
      if (event->root[root - 1]) return NULL;
      event->root[root - 1] = p;
    }
    switch (field) {
      case TYPE:
        p = text(p, &event->text[TYPE], MAX_TYPE);
        break;
      case ITEM:
        p = mode & PATHS && *p == 'n' ? value(p, 0) : item(p, &event->text[ITEM]);
        break;
      case TENANT:
        p = *p == 'n' ? value(p, 0) : text(p, &event->text[TENANT], MAX_TENANT);
        break;
      case TIME:
        if (s->rules.format == RFC3339) p = rfc3339(p, &event->ms);
        else p = whole(p, &event->ms);
        break;
      case WEIGHT:
        if (*p == 'n') {
          p = value(p, 0);
        } else {
          p = whole(p, &event->weight);
          if (p && (event->weight < 1 || event->weight > MAX_WEIGHT)) return NULL;
        }
        break;
      default:
        if (mode & KEEP && field != OTHER) p = archived(p, field, event);
        else p = LIKELY(*p == '"') ? string(p + 1, 0) : value(p, MAX_DEPTH);
    }
    if (UNLIKELY(!p)) return NULL;
    p = spaces(p);
    if (*p == ',') { p++; continue; }
    if (*p == '}') break;
    return NULL;
  }
  p = spaces(p + 1);
  if (*p == '\r') p++;
  if (*p != '\n') return NULL;
  if (mode & PATHS) {
    if (!event->text[TYPE].at || !take_item(s->rules.paths, event)) return NULL;
    seen |= 1u << ITEM;
  }
  enum { NEEDED = 1 << TYPE | 1 << TIME | 1 << ITEM };
  if ((seen & NEEDED) != NEEDED) return NULL;
  if (s->rules.format == EPOCH_S) {
    if (event->ms > s->rules.end_ms) return NULL;
    event->ms *= 1000;
  }
  return event->ms >= s->rules.min_ms && event->ms < s->rules.end_ms ? p : NULL;
}

/* --- Counting --- */

static inline uint64_t mixed(uint64_t a, uint64_t b) {
#if defined(__SIZEOF_INT128__)
  unsigned __int128 product = (unsigned __int128)a * b;
  return (uint64_t)product ^ (uint64_t)(product >> 64);
#else
  a = (a ^ (b << 32 | b >> 32)) * 0x9e3779b97f4a7c15u;
  a = (a ^ a >> 29) * 0xbf58476d1ce4e5b9u;
  return (a ^ a >> 32) * (b | 1);
#endif
}

static inline uint64_t eight(const byte *p) { uint64_t v; memcpy(&v, p, 8); return v; }

/* The first bytes of eight that are read, and zeros. */
static inline uint64_t up_to_eight(const byte *p, size_t count) {
  static const byte masks[16] = {255, 255, 255, 255, 255, 255, 255, 255};
  return count ? eight(p) & eight(masks + 8 - (count < 8 ? count : 8)) : 0;
}

enum { HEAD = 16 };

static inline void head_of(Text text, uint64_t head[2]) {
  head[0] = up_to_eight(text.at, text.length);
  head[1] = text.length > 8 ? up_to_eight(text.at + 8, text.length - 8) : 0;
}

#define K0 0xa0761d6478bd642fu
#define K1 0xe7037ed1a0b428dbu

static inline uint64_t hashed(Text text, const uint64_t head[2], uint64_t seed) {
  uint64_t hash = mixed(head[0] ^ K0 ^ seed, head[1] ^ K1 ^ text.length);
  for (uint32_t at = HEAD; at < text.length; at += 8)
    hash = mixed(hash ^ K0, up_to_eight(text.at + at, text.length - at) ^ K1);
  return hash;
}

/* The hash of what was hashed before, together with a number. */
static inline uint64_t finished(uint64_t hash, uint64_t number) {
  return mixed(hash ^ K1, number ^ K0);
}

/* Memory. Much of it comes in large pages: by small ones the system takes as long to hand it over as
   it takes to fill it. */
static void *memory(size_t size) {
  void *at = malloc(size);
#if defined(MADV_HUGEPAGE)
  if (at && size >= 4u << 20) {
    size_t skipped = -(uintptr_t)at & 4095;
    madvise((byte *)at + skipped, size - skipped, MADV_HUGEPAGE);
  }
#endif
  return at;
}

/* Twice the room; 0 when there is none. */
static int grow(void **at, size_t *room, size_t size) {
  void *more = memory(*room * 2 * size);
  if (!more) return 0;
  memcpy(more, *at, *room * size);
  free(*at);
  *at = more;
  *room *= 2;
  return 1;
}

static int more_cell_places(State *s) {
  size_t mask = s->cell_mask * 2 + 1;
  uint32_t *places = calloc(mask + 1, sizeof *places);
  if (!places) return 0;
  for (size_t i = 0; i < s->cells; i++) {
    size_t at = s->cell[i].hash & mask;
    while (places[at]) at = (at + 1) & mask;
    places[at] = (uint32_t)i + 1;
  }
  free(s->cell_place);
  s->cell_place = places;
  s->cell_mask = mask;
  return 1;
}

static int64_t cell_of(State *s, const Event *event) {
  int64_t start = event->ms - event->ms % s->rules.base_ms;
  Text tenant = event->text[TENANT], type = event->text[TYPE];
  uint64_t head[2][2];
  head_of(tenant, head[0]);
  head_of(type, head[1]);
  uint64_t hash = finished(hashed(tenant, head[0], s->rules.seed),
                           (uint64_t)start * 0x9e3779b97f4a7c15u);
  hash = finished(hashed(type, head[1], hash), hash);
  size_t at = hash & s->cell_mask;
  for (; s->cell_place[at]; at = (at + 1) & s->cell_mask) {
    uint32_t number = s->cell_place[at] - 1;
    Cell *cell = &s->cell[number];
    if (cell->hash == hash && cell->start == start && same(cell->type, type) &&
        same(cell->tenant, tenant))
      return number;
  }
  if (s->cells == s->cell_room && !grow((void **)&s->cell, &s->cell_room, sizeof *s->cell))
    return -1;
  s->cell[s->cells] = (Cell){tenant, type, start, 0, 0, hash};
  s->cell_place[at] = (uint32_t)++s->cells;
  int64_t number = (int64_t)s->cells - 1;
  return s->cells * 2 <= s->cell_mask || more_cell_places(s) ? number : -1;
}

static int more_item_places(State *s) {
  size_t mask = s->item_mask * 4 + 3;
  uint64_t *places = calloc(mask + 1, sizeof *places);
  if (!places) return 0;
  for (size_t i = 0; i < s->items; i++) {
    uint64_t hash = s->item[i].hash;
    size_t at = hash & mask;
    while (places[at]) at = (at + 1) & mask;
    places[at] = hash >> 32 << 32 | (i + 1);
  }
  free(s->item_place);
  s->item_place = places;
  s->item_mask = mask;
  return 1;
}

static void add(State *s, const Item *event) {
  uint64_t tag = event->hash >> 32;
  size_t at = event->hash & s->item_mask;
  for (uint64_t found; (found = s->item_place[at]); at = (at + 1) & s->item_mask) {
    if (found >> 32 != tag) continue;
    Item *item = &s->item[(uint32_t)found - 1];
    if (item->hash == event->hash && item->cell == event->cell && item->length == event->length &&
        item->head[0] == event->head[0] && item->head[1] == event->head[1] &&
        (event->length <= HEAD || !memcmp(item->at + HEAD, event->at + HEAD, event->length - HEAD))) {
      item->weight += event->weight;
      return;
    }
  }
  if (s->items == s->item_room && !grow((void **)&s->item, &s->item_room, sizeof *s->item)) {
    s->failed = 1;
    return;
  }
  s->item[s->items++] = *event;
  s->item_place[at] = tag << 32 | s->items;
  s->cell[event->cell].items++;
  if (s->items * 2 > s->item_mask && !more_item_places(s)) s->failed = 1;
}

/* An item, whatever the cell that it counts in. */
typedef struct { uint64_t head[2], hash; Text text; } Value;

static inline Value value_of(Text text, uint64_t seed) {
  Value value = {.text = text};
  head_of(text, value.head);
  value.hash = hashed(text, value.head, seed);
  return value;
}

/* The place of an item is fetched while the next lines are read. */
static inline void count(State *s, const Value *value, int64_t weight, int64_t cell) {
  Item *place = &s->ring[s->pending % RING];
  if (s->pending >= RING) add(s, place);
  place->head[0] = value->head[0];
  place->head[1] = value->head[1];
  place->hash = finished(value->hash, s->rules.seed + (uint64_t)cell * 0xd6e8feb86659fd93u);
  place->weight = weight;
  place->at = value->text.at;
  place->length = value->text.length;
  place->cell = (uint32_t)cell;
  PREFETCH(&s->item_place[place->hash & s->item_mask]);
  s->cell[cell].events++;
  s->pending++;
}

static void flush(State *s) {
  size_t first = s->pending > RING ? s->pending - RING : 0;
  for (; first < s->pending && !s->failed; first++) add(s, &s->ring[first % RING]);
}

static int blank(const byte *p, const byte *end) {
  for (; p < end; p++)
    if (*p != ' ' && (*p < '\t' || *p > '\r')) return 0;
  return 1;
}

static int set_apart(State *s, int64_t start, int64_t end) {
  if (s->odds == s->odd_room && !grow((void **)&s->odd, &s->odd_room, 3 * sizeof *s->odd)) return 0;
  int64_t *odd = &s->odd[3 * s->odds++];
  odd[0] = start;
  odd[1] = end;
  odd[2] = s->lines;
  return 1;
}

static int keep_row(State *s, const Event *event, int64_t cell, int64_t start) {
  if (s->rows == s->row_room && !grow((void **)&s->row, &s->row_room, sizeof *s->row)) return 0;
  Row *row = &s->row[s->rows++];
  row->item = event->text[ITEM];
  memcpy(row->archived, event->archived, sizeof row->archived);
  row->ms = event->ms;
  row->weight = event->weight;
  row->start = start;
  row->number = s->lines;
  row->cell = (uint32_t)cell;
  row->spaced = event->spaced;
  return 1;
}

/* Reads the lines of `text`, which stands at `place` of the block and ends with a newline.
   `times`: the moment of every line, -1 of those set apart; lines are not counted then. */
static inline int read_lines(State *s, const byte *text, const byte *stop, int64_t place,
                             const byte *late, int64_t *times, int mode) {
  for (const byte *p = text; p < stop; s->lines++) {
    Event event;
    const byte *start = p;
    const byte *end = late && late[s->lines] ? NULL : line(s, p, &event, mode);
    if (LIKELY(end && end - start <= s->rules.max_line &&
               event.ms - event.ms % s->rules.base_ms >= s->rules.min_start_ms)) {
      if (event.ms > s->latest_ms) s->latest_ms = event.ms;
      if (times) {
        times[s->lines] = event.ms;
      } else {
        int64_t cell = cell_of(s, &event);
        if (cell < 0) return 0;
        Value item = value_of(event.text[ITEM], s->rules.seed);
        count(s, &item, event.weight, cell);
        if (s->failed || (mode & KEEP && !keep_row(s, &event, cell, place + (start - text)))) return 0;
      }
      p = end + 1;
      continue;
    }
    end = memchr(start, '\n', (size_t)(stop - start));
    if (times) times[s->lines] = -1;
    if (blank(start, end)) s->blanks++;
    else if (!set_apart(s, place + (start - text), place + (end - text))) return 0;
    p = end + 1;
  }
  return 1;
}

/* --- Rows --- */

/* Whether a text is good, whatever stands behind it in memory. */
static int good_text(Text text, uint32_t max) {
  const byte *p = text.at, *end = p + text.length;
  if (text.length < 1 || text.length > max) return 0;
  while ((p += first_special(p)) < end) {
    if (*p >= 0x80) p = utf8_char(p);
    else if (*p < 0x20 || *p == 0x7f) return 0;
    else p++;
    if (!p || p > end) return 0;
  }
  return 1;
}

/* A column in memory that may be read beyond its end. */
typedef struct { const Column *told; byte *copy; Value *value; } Values;

static Text text_at(const Values *values, int64_t number) {
  const int32_t *offset = values->told->offset;
  return (Text){values->copy + (offset[number] - offset[0]),
                (uint32_t)(offset[number + 1] - offset[number])};
}

/* Whether a text is good, and what it is as an item; the length is 0 where it is not. */
static inline Value judged(const Values *values, int64_t number, uint32_t max, uint64_t seed) {
  Text text = text_at(values, number);
  return good_text(text, max) ? value_of(text, seed) : (Value){.text = {NULL, 0}};
}

/* 0 when memory runs out. Where rows have numbers of values, each value is judged once. */
static int open_values(const Column *column, uint32_t max, uint64_t seed, Values *values) {
  *values = (Values){.told = column};
  if (!column->offset) return 1;
  size_t bytes = (size_t)(column->offset[column->values] - column->offset[0]);
  if (!(values->copy = memory(bytes + PADDING))) return 0;
  if (bytes) memcpy(values->copy, column->text + column->offset[0], bytes);
  memset(values->copy + bytes, 0, PADDING);
  if (!column->index) return 1;
  if (!(values->value = memory(((size_t)column->values + 1) * sizeof *values->value))) return 0;
  for (int64_t i = 0; i < column->values; i++) values->value[i] = judged(values, i, max, seed);
  return 1;
}

/* The text of a row in a column of few of them; length 0 for one that is none. */
static inline Text text_of(const Values *values, int64_t row) {
  int32_t code = values->told->index[row];
  return code >= 0 && code < values->told->values ? values->value[code].text : (Text){NULL, 0};
}

/* The moment of a row as `line` has it; -1 for none in range. */
static inline int64_t moment(const Rules *rules, int64_t told, int64_t parts) {
  if (told < 0) return -1;
  if (rules->format == EPOCH_S) told = told > rules->end_ms ? -1 : told * 1000;
  else if (parts > 1) told /= parts;
  return told >= rules->min_ms && told < rules->end_ms ? told : -1;
}

/* Where the last events of a tenant and type went. */
typedef struct { int32_t tenant, type; int64_t start, cell; } Recent;

enum { RECENT = 256 };

/* The cell of a row: LEFT when it counts in none, NONE when memory runs out. */
enum { LEFT = -2 };

static inline int64_t cell_of_row(State *s, const Values *columns, int64_t row, int64_t ms,
                                  Recent *recent) {
  const Values *tenants = &columns[0], *types = &columns[1];
  int32_t tenant = tenants->told->offset ? tenants->told->index[row] : -1;
  int32_t type = types->told->index[row];
  Recent *last = &recent[((uint32_t)tenant * 31 + (uint32_t)type * 7) % RECENT];
  if (LIKELY(last->tenant == tenant && last->type == type && ms >= last->start &&
             ms - last->start < s->rules.base_ms))
    return last->cell;
  Event event;
  event.ms = ms;
  event.text[TENANT] = tenant < 0 ? (Text){DEFAULT_TENANT, 7} : text_of(tenants, row);
  event.text[TYPE] = text_of(types, row);
  int64_t start = ms - ms % s->rules.base_ms;
  if (!event.text[TENANT].length || !event.text[TYPE].length || start < s->rules.min_start_ms)
    return LEFT;
  *last = (Recent){tenant, type, start, cell_of(s, &event)};
  return last->cell;
}

static int read_rows(State *s, const Table *table, const Values *columns) {
  Recent recent[RECENT];
  for (int i = 0; i < RECENT; i++) recent[i] = (Recent){-2, -2, -1, LEFT};
  const Values *items = &columns[2];
  for (; s->lines < table->rows; s->lines++) {
    int64_t row = s->lines, weight = table->weight ? table->weight[row] : 1, cell = LEFT;
    int64_t ms = moment(&s->rules, table->time[row], table->parts);
    int32_t code = items->value ? items->told->index[row] : -1;
    Value own, *item = NULL;
    if (!items->value) *(item = &own) = judged(items, row, MAX_ITEM, s->rules.seed);
    else if (code >= 0 && code < items->told->values) item = &items->value[code];
    if (LIKELY(item && item->text.length && ms >= 0 && weight >= 1 && weight <= MAX_WEIGHT))
      cell = cell_of_row(s, columns, row, ms, recent);
    if (LIKELY(cell >= 0)) {
      if (ms > s->latest_ms) s->latest_ms = ms;
      count(s, item, weight, cell);
    } else if (cell != LEFT || !set_apart(s, row, row + 1)) {
      return 0;
    }
    if (s->failed) return 0;
  }
  return 1;
}

/* Puts what was counted into columns, the items of a cell side by side. */
static int columns(const State *s, Counts *counts) {
  size_t cell_bytes = 0, item_bytes = 0;
  for (size_t i = 0; i < s->cells; i++)
    cell_bytes += s->cell[i].tenant.length + s->cell[i].type.length;
  for (size_t i = 0; i < s->items; i++) item_bytes += s->item[i].length;
  counts->cells = (int64_t)s->cells;
  counts->items = (int64_t)s->items;
  counts->cell_bytes = (int64_t)cell_bytes;
  counts->item_bytes = (int64_t)item_bytes;
  counts->cell = malloc((s->cells + 1) * 5 * sizeof(int64_t));
  counts->cell_text = malloc(cell_bytes + 1);
  counts->length = malloc((s->items + 1) * sizeof(int64_t));
  counts->weight = malloc((s->items + 1) * sizeof(int64_t));
  counts->item_text = malloc(item_bytes + 1);
  /* Where the items of a cell, and their texts, go on. */
  size_t *next = malloc((s->cells + 1) * 2 * sizeof *next);
  if (!counts->cell || !counts->cell_text || !counts->length || !counts->weight ||
      !counts->item_text || !next) {
    free(next);
    return 0;
  }
  byte *text = counts->cell_text;
  size_t first = 0;
  for (size_t i = 0; i < s->cells; i++) {
    const Cell *cell = &s->cell[i];
    int64_t row[] = {cell->tenant.length, cell->type.length, cell->start, cell->events, cell->items};
    memcpy(&counts->cell[5 * i], row, sizeof row);
    memcpy(text, cell->tenant.at, cell->tenant.length);
    text += cell->tenant.length;
    memcpy(text, cell->type.at, cell->type.length);
    text += cell->type.length;
    next[2 * i] = first;
    next[2 * i + 1] = 0;
    first += (size_t)cell->items;
  }
  for (size_t i = 0; i < s->items; i++) next[2 * s->item[i].cell + 1] += s->item[i].length;
  size_t bytes = 0;
  for (size_t i = 0; i < s->cells; i++) {
    size_t its = next[2 * i + 1];
    next[2 * i + 1] = bytes;
    bytes += its;
  }
  for (size_t i = 0; i < s->items; i++) {
    const Item *item = &s->item[i];
    size_t *place = &next[2 * item->cell];
    counts->length[place[0]] = item->length;
    counts->weight[place[0]++] = item->weight;
    memcpy(counts->item_text + place[1], item->at, item->length);
    place[1] += item->length;
  }
  free(next);
  return 1;
}

/* --- Events that are kept --- */

static int compared(Text a, Text b) {
  int order = memcmp(a.at, b.at, a.length < b.length ? a.length : b.length);
  return order ? order : (a.length > b.length) - (a.length < b.length);
}

/* Of two pointers to cells: by tenant, type and start. */
static int by_board(const void *left, const void *right) {
  const Cell *a = *(const Cell *const *)left, *b = *(const Cell *const *)right;
  int order = compared(a->tenant, b->tenant);
  if (!order) order = compared(a->type, b->type);
  return order ? order : (a->start > b->start) - (a->start < b->start);
}

typedef struct { uint64_t since; uint32_t row, rank; } Place;   /* ms since its window began */

enum { DIGIT = 11, NONE = -1 };

static size_t digit_of(const Place *place, int shift) {
  return shift == NONE ? place->rank : place->since >> shift & ((1u << DIGIT) - 1);
}

/* Sorts by one digit of the moment, or by rank, and leaves what is equal as it was. */
static void sort_by(const Place *from, Place *to, size_t rows, int shift, size_t *ends, size_t digits) {
  memset(ends, 0, digits * sizeof *ends);
  for (size_t i = 0; i < rows; i++) ends[digit_of(&from[i], shift)]++;
  for (size_t i = 0, sum = 0; i < digits; i++) { sum += ends[i]; ends[i] = sum - ends[i]; }
  for (size_t i = 0; i < rows; i++) to[ends[digit_of(&from[i], shift)]++] = from[i];
}

/* The rows in order of tenant, type, moment and line; NULL when memory runs out. */
static Place *ordered(const State *s) {
  size_t digits = s->cells > 1u << DIGIT ? s->cells : 1u << DIGIT;
  size_t size = (s->rows + 1) * sizeof(Place);
  Place *places = memory(size), *others = memory(size);
  const Cell **order = malloc((s->cells + 1) * sizeof *order);
  uint32_t *rank = malloc((s->cells + 1) * sizeof *rank);
  size_t *ends = malloc(digits * sizeof *ends);
  int done = places && others && order && rank && ends;
  if (done) {
    for (size_t i = 0; i < s->cells; i++) order[i] = &s->cell[i];
    qsort(order, s->cells, sizeof *order, by_board);
    for (size_t i = 0; i < s->cells; i++) rank[order[i] - s->cell] = (uint32_t)i;
    for (size_t i = 0; i < s->rows; i++) {
      const Row *row = &s->row[i];
      places[i] = (Place){(uint64_t)(row->ms - s->cell[row->cell].start), (uint32_t)i, rank[row->cell]};
    }
    for (int shift = NONE + 1; (s->rules.base_ms - 1) >> shift; shift += DIGIT) {
      sort_by(places, others, s->rows, shift, ends, 1u << DIGIT);
      Place *sorted = others; others = places; places = sorted;
    }
    sort_by(places, others, s->rows, NONE, ends, s->cells);
  }
  free(order);
  free(rank);
  free(ends);
  free(places);
  if (done) return others;
  free(others);
  return NULL;
}

/* A value without the white space between its tokens; where it ends. */
static byte *without_spaces(Text text, byte *to) {
  int inside = 0;
  for (const byte *p = text.at, *end = p + text.length; p < end; p++) {
    if (!inside && (*p == ' ' || *p == '\t')) continue;
    if (*p == '"') inside = !inside;
    *to++ = *p;
    if (inside && *p == '\\') *to++ = *++p;
  }
  return to;
}

static Text column_of(const State *s, const Row *row, int column) {
  switch (column) {
    case 0: return s->cell[row->cell].tenant;
    case 1: return s->cell[row->cell].type;
    case 2: return row->item;
    default: return row->archived[column - TEXTS];
  }
}

enum { CHUNK = 16 };

/* Reads and writes up to CHUNK - 1 bytes more. */
static inline byte *copied(Text text, byte *to) {
  for (uint32_t at = 0; at < text.length; at += CHUNK) memcpy(to + at, text.at + at, CHUNK);
  return to + text.length;
}

/* Room for the texts of a column; 0 when there is none. */
static int text_room(const State *s, Kept *kept, int column) {
  size_t bytes = 0;
  for (size_t i = 0; i < s->rows; i++) bytes += column_of(s, &s->row[i], column).length;
  if (bytes > INT32_MAX) return 0;
  kept->offset[column] = memory((s->rows + 1) * sizeof **kept->offset);
  kept->text[column] = memory(bytes + CHUNK);
  if (column >= TEXTS) kept->valid[column - TEXTS] = calloc(s->rows / 8 + 1, 1);
  return kept->offset[column] && kept->text[column] && (column < TEXTS || kept->valid[column - TEXTS]);
}

static void put_texts(const State *s, size_t place, const Row *row, Kept *kept) {
  for (int column = 0; column < COLUMNS; column++) {
    Text found = column_of(s, row, column);
    byte *start = kept->text[column] + kept->bytes[column], *to = start;
    kept->offset[column][place] = (int32_t)kept->bytes[column];
    if (!found.at) continue;
    if (column >= TEXTS) kept->valid[column - TEXTS][place / 8] |= (byte)(1u << place % 8);
    to = column == COLUMNS - 1 && row->spaced ? without_spaces(found, to) : copied(found, to);
    kept->bytes[column] += to - start;
  }
}

PUBLIC void plain_free_kept(Kept *kept) {
  if (!kept) return;
  for (int i = 0; i < COLUMNS; i++) {
    free(kept->offset[i]);
    free(kept->text[i]);
  }
  for (int i = 0; i < ARCHIVED; i++) free(kept->valid[i]);
  free(kept->start);
  free(kept->number);
  free(kept->us);
  free(kept->weight);
  free(kept);
}

static Kept *kept_events(const State *s) {
  enum { AHEAD = 8 };
  Place *places = ordered(s);
  Kept *kept = calloc(1, sizeof *kept);
  int done = places && kept;
  if (done) {
    size_t size = (s->rows + 1) * sizeof(int64_t);
    kept->rows = (int64_t)s->rows;
    kept->start = memory(size);
    kept->number = memory(size);
    kept->us = memory(size);
    kept->weight = memory(size);
    done = kept->start && kept->number && kept->us && kept->weight;
  }
  for (int column = 0; done && column < COLUMNS; column++) done = text_room(s, kept, column);
  for (size_t i = 0; done && i < s->rows; i++) {
    const Row *row = &s->row[places[i].row];
    /* Neighbours here are far apart in the block. */
    if (i + AHEAD < s->rows)
      for (int part = 0; part < 4; part++)
        PREFETCH(s->row[places[i + AHEAD].row].item.at + 64 * (part - 2));
    if (i + 2 * AHEAD < s->rows) {
      PREFETCH(&s->row[places[i + 2 * AHEAD].row]);
      PREFETCH((const byte *)&s->row[places[i + 2 * AHEAD].row] + 64);
    }
    kept->start[i] = row->start;
    kept->number[i] = row->number;
    kept->us[i] = row->ms * 1000;
    kept->weight[i] = row->weight;
    put_texts(s, i, row, kept);
  }
  for (int column = 0; done && column < COLUMNS; column++)
    kept->offset[column][s->rows] = (int32_t)kept->bytes[column];
  free(places);
  if (done) return kept;
  plain_free_kept(kept);
  return NULL;
}

PUBLIC void plain_free(Counts *counts) {
  if (!counts) return;
  free(counts->cell);
  free(counts->cell_text);
  free(counts->length);
  free(counts->weight);
  free(counts->item_text);
  free(counts->odd_line);
  free(counts);
}

static void end(State *s) {
  if (!s) return;
  free(s->cell);
  free(s->cell_place);
  free(s->item);
  free(s->item_place);
  free(s->row);
  free(s->odd);
  free(s);
}

static State *begin(const Rules *rules) {
  enum { FIRST_CELLS = 256, FIRST_ITEMS = 1 << 14, FIRST_ROWS = 1 << 12, FIRST_ODD = 64 };
  State *s = calloc(1, sizeof *s);
  if (!s) return NULL;
  s->rules = *rules;
  s->latest_ms = -1;
  s->cell_room = FIRST_CELLS;
  s->cell_mask = 4 * FIRST_CELLS - 1;
  s->item_room = FIRST_ITEMS;
  s->item_mask = 4 * FIRST_ITEMS - 1;
  s->row_room = FIRST_ROWS;
  s->odd_room = FIRST_ODD;
  s->cell = malloc(s->cell_room * sizeof *s->cell);
  s->cell_place = calloc(s->cell_mask + 1, sizeof *s->cell_place);
  s->item = malloc(s->item_room * sizeof *s->item);
  s->item_place = calloc(s->item_mask + 1, sizeof *s->item_place);
  s->row = rules->keep ? malloc(s->row_room * sizeof *s->row) : NULL;
  s->odd = malloc(s->odd_room * 3 * sizeof *s->odd);
  if (s->cell && s->cell_place && s->item && s->item_place && (s->row || !rules->keep) && s->odd)
    return s;
  end(s);
  return NULL;
}

/* What was counted; NULL when memory runs out. */
static Counts *told(State *s) {
  Counts *counts = calloc(1, sizeof *counts);
  if (!counts) return NULL;
  flush(s);
  if (s->failed || !columns(s, counts) || (s->rules.keep && !(counts->kept = kept_events(s)))) {
    plain_free(counts);
    return NULL;
  }
  counts->lines = s->lines;
  counts->blanks = s->blanks;
  counts->latest_ms = s->latest_ms;
  counts->odd = (int64_t)s->odds;
  counts->odd_line = s->odd;
  s->odd = NULL;
  return counts;
}

/* Counts a block. `late`: byte[lines], which lines are set apart unread, or NULL. `times`:
   int64[lines] to be filled instead of counting, or NULL. NULL when memory runs out. */
PUBLIC Counts *plain_count(const byte *data, int64_t size, const Rules *rules, const byte *late,
                           int64_t *times) {
  /* The last lines go into a copy that may be read beyond its end. */
  int64_t cut = size > PADDING ? size - PADDING : 0;
  while (cut > 0 && data[cut - 1] != '\n') cut--;
  size_t rest = (size_t)(size - cut);
  byte *copy = malloc(rest + PADDING);
  State *s = begin(rules);
  Counts *counts = NULL;
  if (copy && s) {
    memcpy(copy, data + cut, rest);
    memset(copy + rest, '\n', PADDING);
    /* Only what has no newline of its own takes one of the padding. */
    size_t lines_end = rest + (rest && copy[rest - 1] != '\n');
#define READ(mode) (read_lines(s, data, data + cut, 0, late, times, mode) && \
                    read_lines(s, copy, copy + lines_end, cut, late, times, mode))
    int read = rules->keep ? (rules->paths ? READ(KEEP | PATHS) : READ(KEEP))
                           : (rules->paths ? READ(PATHS) : READ(0));
    if (read) counts = told(s);
  }
  free(copy);
  end(s);
  return counts;
}

/* Counts the rows of a table; `number`, `start` of the odd ones are numbers of rows. NULL when memory
   runs out. */
PUBLIC Counts *plain_rows(const Table *table, const Rules *rules) {
  static const uint32_t most[TEXTS] = {MAX_TENANT, MAX_TYPE, MAX_ITEM};
  Values columns[TEXTS] = {{NULL, NULL, NULL}};
  State *s = begin(rules);
  Counts *counts = NULL;
  int done = s != NULL;
  for (int i = 0; done && i < TEXTS; i++)
    done = open_values(&table->column[i], most[i], rules->seed, &columns[i]);
  if (done && read_rows(s, table, columns)) counts = told(s);
  for (int i = 0; i < TEXTS; i++) {
    free(columns[i].copy);
    free(columns[i].value);
  }
  end(s);
  return counts;
}
