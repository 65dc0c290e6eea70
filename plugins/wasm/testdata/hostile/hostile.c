/* A guest written by hand that answers with what is no result: the first record's value says which. */
#include <stdint.h>

#include "../../../../sdk/c/sluice_abi.h"

static uint8_t input[1 << 20], out[8 << 20];
static const char manifest[] = "{\"name\": \"hostile\", \"records\": [\"produce\"]}";

#define EXPORT(name) __attribute__((export_name(name)))

static void put(uint32_t at, uint32_t v) { __builtin_memcpy(out + at, &v, 4); }
static uint32_t get(uint32_t at) { uint32_t v; __builtin_memcpy(&v, input + at, 4); return v; }
static uint64_t pack(const void *p, uint32_t n) { return (uint64_t)(uintptr_t)p << 32 | n; }

EXPORT(SLUICE_EXPORT_ABI) int32_t version(void) { return SLUICE_VERSION; }
EXPORT(SLUICE_EXPORT_MANIFEST) uint64_t introduce(void) { return pack(manifest, sizeof manifest - 1); }
EXPORT(SLUICE_EXPORT_ALLOC) uint8_t *alloc(uint32_t n) { return n > sizeof input ? (uint8_t *)UINTPTR_MAX : input; }

/* A good result: one edit of record 0, without bytes. */
static uint32_t good(uint8_t op) {
  for (uint32_t i = 0; i < SLUICE_RESULT_SIZE + 2 * SLUICE_EDIT_HEAD; i++) out[i] = 0;
  put(SLUICE_RESULT_LEN, SLUICE_RESULT_SIZE);
  put(SLUICE_RESULT_EDITS, SLUICE_RESULT_SIZE);
  put(SLUICE_RESULT_EDITS + 4, SLUICE_EDIT_HEAD);
  out[SLUICE_RESULT_SIZE + 4] = op;
  return SLUICE_RESULT_SIZE + SLUICE_EDIT_HEAD;
}

EXPORT(SLUICE_EXPORT_ON_RECORDS) uint64_t on_records(uint32_t block) {
  uint32_t record = get(SLUICE_HEAD_RECORDS + 8), edit = SLUICE_RESULT_SIZE;
  uint32_t n = good(SLUICE_OP_SET_VALUE), place = record + SLUICE_RECORD_VALUE;
  switch (input[get(place)]) {
  case 'a': return pack((void *)0xfffffff0, 64);                                /* outside of the memory */
  case 'b': return pack(out, 0xffffffff);                                       /* longer than it */
  case 'c': return pack(out, sizeof out);                                       /* larger than results may be */
  case 'd': put(edit, 9); break;                                                /* a record that is not there */
  case 'e': put(edit + 8, 100); break;                                          /* a name past the end */
  case 'f': put(edit + 12, 0xfffffffe); break;                                  /* a value past the end */
  case 'g': good(77); break;                                                    /* an operation that does not exist */
  case 'h': put(SLUICE_RESULT_EDITS + 4, 3); break;                             /* half an edit */
  case 'i': put(SLUICE_RESULT_EDITS, 0xfffffff0); break;                        /* edits elsewhere */
  case 'j': n = 8; break;                                                       /* half a head */
  case 'k': out[SLUICE_RESULT_ACTION] = 99; break;                              /* an action that does not exist */
  case 'l': out[SLUICE_RESULT_ACTION] = SLUICE_ACTION_RESPOND; break;           /* no answer to records */
  case 'm': put(SLUICE_RESULT_STATE, 40); put(SLUICE_RESULT_STATE + 4, 5000); return pack(out, 6000); /* too much state */
  case 'n': /* edits that descend */
    put(edit, 1);
    out[edit + SLUICE_EDIT_HEAD + 4] = SLUICE_OP_SET_VALUE;
    put(SLUICE_RESULT_EDITS + 4, 2 * SLUICE_EDIT_HEAD);
    n += SLUICE_EDIT_HEAD;
    break;
  case 'o': good(SLUICE_OP_SET_TIMESTAMP); break; /* a timestamp of no bytes */
  case 'p':                                       /* a record that it has moved */
    good(SLUICE_OP_VALUE_IN_PLACE);
    place = 0xfffffff0;
    __builtin_memcpy(input + record + SLUICE_RECORD_VALUE, &place, 4);
    break;
  case 'q': /* a record that it has made longer */
    good(SLUICE_OP_VALUE_IN_PLACE);
    __builtin_memcpy(input + record + SLUICE_RECORD_VALUE + 4, &block, 4);
    break;
  case 'r': __builtin_trap();
  case 's': for (volatile int i = 0;; i++) {}
  case 't': return *(volatile uint8_t *)0xfffffff0; /* reads where no memory is */
  case 'u': /* its copy of the table of records: that is nobody's but its own */
    good(SLUICE_OP_VALUE_IN_PLACE);
    place = 0xfffffff0;
    __builtin_memcpy(input + SLUICE_HEAD_RECORDS + 8, &place, 4);
    break;
  default: good(SLUICE_OP_SET_VALUE);
  }
  return pack(out, n);
}
