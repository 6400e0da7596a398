/* What is asked and answered, and what is held meanwhile. */
#ifndef PLAIN_EVENTS_H
#define PLAIN_EVENTS_H

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
/* Longer than its text, since texts are read eight and sixteen bytes at once. */
static const byte DEFAULT_TENANT[16] = "default";
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
/* An item of a cell. The first 16 bytes, with zeros behind a shorter text, stand here too: most
   items are told apart without a look at where they were first seen, which is far away. */
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

static inline int same(Text a, Text b) {
  return a.length == b.length && !memcmp(a.at, b.at, a.length);
}

#endif
