/* Tokens of JSON. Each function takes the first byte and returns the one behind, or NULL. */
#ifndef PLAIN_JSON_H
#define PLAIN_JSON_H

#include "events.h"

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

#endif
