/* Runs blocks through plainlines.c, for tests: under sanitizers, without SSE2, short of memory.

Input: of every block the size of its lines, the Rules and the lines. Output: what is told of it.
A block stands in memory of exactly its size, so that a sanitizer sees every read beyond. */
#include <stdio.h>
#include <stdlib.h>

static long left = -1;   /* allocations before one fails; negative: none fails */

static int fails(void) { return left >= 0 && left-- == 0; }
static void *sparse_malloc(size_t size) { return fails() ? NULL : malloc(size); }
static void *sparse_calloc(size_t n, size_t size) { return fails() ? NULL : calloc(n, size); }
#define malloc sparse_malloc
#define calloc sparse_calloc
#include "../transforms/plainlines.c"
#undef malloc
#undef calloc

#define TEXT(text) {(const byte *)text, sizeof text - 1}
static const Paths item_paths = {
    2, 2, {TEXT("metadata"), TEXT("a")},
    {{TEXT("play"), 0, 2, {TEXT("a"), TEXT("b c")}}, {TEXT("view"), 1, 0, {{NULL, 0}}}}};

static void put(const void *at, int64_t size) {
  if (size && fwrite(at, (size_t)size, 1, stdout) != 1) abort();
}

static void tell(Counts *counts) {
  if (!counts) abort();
  put(counts, 8 * sizeof(int64_t));   /* what follows are places in memory */
  put(counts->cell, counts->cells * 5 * 8);
  put(counts->cell_text, counts->cell_bytes);
  put(counts->length, counts->items * 8);
  put(counts->weight, counts->items * 8);
  put(counts->item_text, counts->item_bytes);
  put(counts->odd_line, counts->odd * 3 * 8);
  Kept *kept = counts->kept;
  plain_free(counts);
  if (!kept) return;
  put(kept, (1 + COLUMNS) * sizeof(int64_t));
  put(kept->start, kept->rows * 8);
  put(kept->number, kept->rows * 8);
  put(kept->us, kept->rows * 8);
  put(kept->weight, kept->rows * 8);
  for (int column = 0; column < COLUMNS; column++) {
    put(kept->offset[column], kept->rows * 4 + 4);
    put(kept->text[column], kept->bytes[column]);
    if (column >= TEXTS) put(kept->valid[column - TEXTS], kept->rows / 8 + 1);
  }
  plain_free_kept(kept);
}

int main(void) {
  int64_t size;
  for (int number = 0; fread(&size, sizeof size, 1, stdin) == 1; number++) {
    Rules rules;
    byte *data = malloc((size_t)size);
    if (fread(&rules, sizeof rules, 1, stdin) != 1) abort();
    if (size && fread(data, (size_t)size, 1, stdin) != 1) abort();
    int64_t lines = size && data[size - 1] != '\n';
    for (int64_t i = 0; i < size; i++) lines += data[i] == '\n';
    byte *late = malloc((size_t)lines);
    int64_t *times = malloc((size_t)lines * sizeof *times);
    for (int64_t i = 0; i < lines; i++) late[i] = i % 3 == 0;
    tell(plain_count(data, size, &rules, NULL, NULL));
    tell(plain_count(data, size, &rules, late, NULL));
    tell(plain_count(data, size, &rules, NULL, times));
    put(times, lines * 8);
    rules.paths = &item_paths;
    tell(plain_count(data, size, &rules, NULL, NULL));
    if (number % 10 == 0) {
      /* Memory runs out at every allocation in turn. */
      Counts *counts = NULL;
      for (long allocations = 0; !counts; allocations++) {
        left = allocations;
        counts = plain_count(data, size, &rules, NULL, NULL);
      }
      left = -1;
      tell(counts);
    }
    free(data);
    free(late);
    free(times);
  }
  return 0;
}
