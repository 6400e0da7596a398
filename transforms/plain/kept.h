/* Events that are kept, as columns in order. */
#ifndef PLAIN_KEPT_H
#define PLAIN_KEPT_H

#include "counts.h"

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
static void sort_by(const Place *from, Place *to, size_t rows, int shift, size_t *ends,
                    size_t digits) {
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
      uint64_t since = (uint64_t)(row->ms - s->cell[row->cell].start);
      places[i] = (Place){since, (uint32_t)i, rank[row->cell]};
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
  return kept->offset[column] && kept->text[column] &&
         (column < TEXTS || kept->valid[column - TEXTS]);
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

#endif
