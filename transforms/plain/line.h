/* A line: one object, whose fields are found where they stood in the line before. */
#ifndef PLAIN_LINE_H
#define PLAIN_LINE_H

#include "json.h"

static unsigned field_of(const byte *key, size_t length) {
  switch (length) {
    case 6: return memcmp(key, "weight", 6) ? OTHER : WEIGHT;
    case 7: return !memcmp(key, "item_id", 7) ? ITEM : !memcmp(key, "user_id", 7) ? USER_ID : OTHER;
    case 8:
      if (!memcmp(key, "event_id", 8)) return EVENT_ID;
      return memcmp(key, "metadata", 8) ? OTHER : METADATA;
    case 9:
      if (!memcmp(key, "timestamp", 9)) return TIME;
      return memcmp(key, "tenant_id", 9) ? OTHER : TENANT;
    case 10:
      if (!memcmp(key, "event_type", 10)) return TYPE;
      return memcmp(key, "session_id", 10) ? OTHER : SESSION_ID;
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
static const byte *key(const byte *p, const Rules *rules, Slot *slot, unsigned *field,
                       unsigned *root) {
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

#endif
