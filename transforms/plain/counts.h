/* Counting: the cells of a block, and the items of each. */
#ifndef PLAIN_COUNTS_H
#define PLAIN_COUNTS_H

#include "events.h"

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

/* Memory. Much of it comes in large pages: by small ones the system takes as long to hand it over
   as it takes to fill it. */
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
        (event->length <= HEAD ||
         !memcmp(item->at + HEAD, event->at + HEAD, event->length - HEAD))) {
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

static int set_apart(State *s, int64_t start, int64_t end) {
  if (s->odds == s->odd_room && !grow((void **)&s->odd, &s->odd_room, 3 * sizeof *s->odd)) return 0;
  int64_t *odd = &s->odd[3 * s->odds++];
  odd[0] = start;
  odd[1] = end;
  odd[2] = s->lines;
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
    int64_t row[] = {cell->tenant.length, cell->type.length, cell->start, cell->events,
                     cell->items};
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

#endif
