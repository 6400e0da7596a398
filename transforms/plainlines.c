/* Counts the plain lines of a block and the plain rows of a table: those whose meaning is beyond
doubt.

A line is plain when it is strict JSON (RFC 8259) in valid UTF-8, holds a good event of the
contract in range and in time, no field of the contract twice, and no escape in one. It is counted
here in one pass over its bytes. Every other line is told by its place, and judged elsewhere: what
is accepted here must be a part of what is accepted there, with the same meaning.

Reading may go up to PADDING bytes beyond a line: the last lines of a block are read from a copy.
No line is read beyond its newline, which stands in no token. */
#include "plain/kept.h"
#include "plain/line.h"
#include "plain/rows.h"

static int blank(const byte *p, const byte *end) {
  for (; p < end; p++)
    if (*p != ' ' && (*p < '\t' || *p > '\r')) return 0;
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
        if (s->failed) return 0;
        if (mode & KEEP && !keep_row(s, &event, cell, place + (start - text))) return 0;
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

/* Counts the rows of a table; `number`, `start` of the odd ones are numbers of rows. NULL when
   memory runs out. */
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
