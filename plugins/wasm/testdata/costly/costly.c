/* A plugin that asks the gateway for much, in fewer calls than would be noticed if they were not looked at: the first
 * record's value says for what. */
#include "../../../../sdk/c/sluice.h"

#define WASI(name) __attribute__((import_module("wasi_snapshot_preview1"), import_name(name)))

WASI("fd_write") int32_t fd_write(int32_t fd, const void *pieces, uint32_t n, uint32_t *written);
WASI("random_get") int32_t random_get(void *p, uint32_t n);
WASI("poll_oneoff") int32_t poll_oneoff(const void *in, void *out, uint32_t n, uint32_t *events);

enum { TIMES = 9000, MUCH = 1 << 20, LIST = 1024 };

static uint8_t much[MUCH], polled[32 * LIST];
static struct { uint32_t at, n; } pieces[LIST];

static bool is(sluice_bytes b, const char *s) {
  uint32_t n = 0;
  while (s[n]) n++;
  return sluice_equal(b, (sluice_bytes){(uint8_t *)s, n});
}

static void on_produce(sluice_call *c) {
  sluice_bytes what = sluice_value(c, 0);
  uint32_t n;
  if (is(what, "fine")) return;
  for (uint32_t i = 0; i < MUCH; i++) much[i] = '\n';
  for (uint32_t i = 0; i < LIST; i++) pieces[i].at = (uint32_t)(uintptr_t)much, pieces[i].n = is(what, "pieces") ? MUCH : MUCH / LIST;
  if (is(what, "polls"))
    for (uint32_t i = 0; i < LIST; i++) much[48 * i + 8] = 2; /* that a file can be written to */
  for (uint32_t i = 0; i < TIMES; i++) {
    if (is(what, "lines") || is(what, "pieces")) fd_write(1, pieces, LIST, &n);
    if (is(what, "random")) sluice_random(much, MUCH);
    if (is(what, "wasi random")) random_get(much, MUCH);
    if (is(what, "kv")) sluice_kv_set("k", 1, much, MUCH, 0);
    if (is(what, "cas")) sluice_kv_cas("k", 1, much, MUCH, much, MUCH, 0);
    if (is(what, "polls")) poll_oneoff(much, polled, LIST, &n);
  }
}

SLUICE_PLUGIN("{\"name\": \"costly\", \"records\": [\"produce\"], \"host\": [\"kv\"]}", .on_produce = on_produce)
