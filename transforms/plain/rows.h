/* Rows of a table. */
#ifndef PLAIN_ROWS_H
#define PLAIN_ROWS_H

#include "counts.h"
#include "json.h"

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

enum { RECENT = 256, LEFT = -2 };

/* The cell of a row: LEFT when it counts in none, -1 when memory runs out. */
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

#endif
