/* Plugins for the Sluice gateway in C: one header, no libc. It is also the shortest way to read what sdk/ABI.md says.
 *
 *     #include "sluice.h"
 *
 *     static void hello(sluice_call *c) {
 *       for (uint32_t i = 0; i < sluice_count(c); i++)
 *         sluice_add_header(c, i, SLUICE_TEXT("hello"), SLUICE_TEXT("world"));
 *     }
 *
 *     SLUICE_PLUGIN("{\"name\": \"hello\", \"records\": [\"produce\"]}", .on_produce = hello)
 *
 * Include it in one file. Bytes that a call gives are valid during the call. An instance serves one call at a time.
 */
#ifndef SLUICE_H
#define SLUICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sluice_abi.h"

/* ---- What the gateway does for its guests: see "Imports" in sdk/ABI.md. ---- */

#define SLUICE_IMPORT(name) __attribute__((import_module(SLUICE_MODULE), import_name(name)))

SLUICE_IMPORT(SLUICE_IMPORT_LOG) void sluice_log(int32_t level, const void *p, uint32_t n);
SLUICE_IMPORT(SLUICE_IMPORT_LOG_ENABLED) int32_t sluice_log_enabled(int32_t level);
SLUICE_IMPORT(SLUICE_IMPORT_METRIC_DEFINE) int32_t sluice_metric_define(int32_t kind, const void *p, uint32_t n);
SLUICE_IMPORT(SLUICE_IMPORT_METRIC_ADD) void sluice_metric_add(int32_t id, double value);
SLUICE_IMPORT(SLUICE_IMPORT_ATTR_SET) void sluice_attr_set(const void *k, uint32_t kn, const void *v, uint32_t vn);
SLUICE_IMPORT(SLUICE_IMPORT_TRACE_PARENT) int32_t sluice_trace_parent(void *b, uint32_t c);
SLUICE_IMPORT(SLUICE_IMPORT_KV_GET) int32_t sluice_kv_get(const void *k, uint32_t kn, void *b, uint32_t c);
SLUICE_IMPORT(SLUICE_IMPORT_KV_SET)
int32_t sluice_kv_set(const void *k, uint32_t kn, const void *v, uint32_t vn, int64_t ttl_ms);
SLUICE_IMPORT(SLUICE_IMPORT_KV_ADD) int64_t sluice_kv_add(const void *k, uint32_t kn, int64_t delta, int64_t ttl_ms);
SLUICE_IMPORT(SLUICE_IMPORT_KV_CAS)
int32_t sluice_kv_cas(const void *k, uint32_t kn, const void *old, int32_t on, const void *v, uint32_t vn, int64_t ttl_ms);
SLUICE_IMPORT(SLUICE_IMPORT_TOPIC_NAME) int32_t sluice_topic_name(const void *id, void *b, uint32_t c);
SLUICE_IMPORT(SLUICE_IMPORT_NOW) int64_t sluice_now_ns(void);
SLUICE_IMPORT(SLUICE_IMPORT_RANDOM) void sluice_random(void *p, uint32_t n);
SLUICE_IMPORT(SLUICE_IMPORT_SEND_REQUEST) int64_t sluice_send_request(const void *p, uint32_t n);
SLUICE_IMPORT(SLUICE_IMPORT_HTTP_CALL) int64_t sluice_http_call(const void *p, uint32_t n);
SLUICE_IMPORT(SLUICE_IMPORT_RESULT_READ) int32_t sluice_result_read(int32_t handle, uint32_t off, void *b, uint32_t c);
SLUICE_IMPORT(SLUICE_IMPORT_RESULT_FREE) void sluice_result_free(int32_t handle);

/* ---- Bytes. ---- */

/* Some bytes; a null `at` is Kafka's null, which is not the same as no bytes. */
typedef struct {
  uint8_t *at;
  uint32_t n;
} sluice_bytes;

#define SLUICE_TEXT(literal) ((sluice_bytes){(uint8_t *)(literal), sizeof(literal) - 1})
#define SLUICE_NULL_BYTES ((sluice_bytes){0, 0})

/* Blocks are little endian, as WASM is; nothing in them is aligned. */
static inline uint16_t sluice_u16(const uint8_t *p) { uint16_t v; __builtin_memcpy(&v, p, 2); return v; }
static inline uint32_t sluice_u32(const uint8_t *p) { uint32_t v; __builtin_memcpy(&v, p, 4); return v; }
static inline uint64_t sluice_u64(const uint8_t *p) { uint64_t v; __builtin_memcpy(&v, p, 8); return v; }
static inline void sluice_put16(uint8_t *p, uint16_t v) { __builtin_memcpy(p, &v, 2); }
static inline void sluice_put32(uint8_t *p, uint32_t v) { __builtin_memcpy(p, &v, 4); }

static inline bool sluice_equal(sluice_bytes a, sluice_bytes b) {
  if (a.n != b.n) return false;
  for (uint32_t i = 0; i < a.n; i++)
    if (a.at[i] != b.at[i]) return false;
  return true;
}

static inline void sluice_log_text(int32_t level, const char *text) {
  uint32_t n = 0;
  while (text[n]) n++;
  sluice_log(level, text, n);
}

/* ---- A buffer that grows. Memory only ever grows in WASM: what was outgrown is at most as much again. ---- */

typedef struct {
  uint8_t *at;
  uint32_t n, cap;
} sluice_buffer;

/* Makes room for n more bytes, or traps: the gateway replaces an instance that is out of memory. */
static inline void sluice_reserve(sluice_buffer *b, uint32_t n) {
  if (n > UINT32_MAX / 4 - b->n) __builtin_trap();
  if (b->n + n <= b->cap) return;
  uint32_t pages = ((b->n + n) * 2 + 65535) / 65536;
  size_t old = __builtin_wasm_memory_grow(0, pages);
  if (old == SIZE_MAX) __builtin_trap();
  uint8_t *to = (uint8_t *)(old * 65536);
  if (b->n > 0) __builtin_memcpy(to, b->at, b->n);
  b->at = to;
  b->cap = pages * 65536;
}

static inline void sluice_append(sluice_buffer *b, const void *p, uint32_t n) {
  sluice_reserve(b, n);
  if (n > 0) __builtin_memcpy(b->at + b->n, p, n);
  b->n += n;
}

/* ---- A call: what came, and the result in the making. ---- */

/* The result block is written where it is sent from: its head, then edits, then the other pieces. */
typedef struct {
  uint8_t *block;
  sluice_buffer out;
} sluice_call;

/* The bytes whose offset and length stand at a place of the block. */
static inline sluice_bytes sluice_field(const sluice_call *c, const uint8_t *place) {
  uint32_t n = sluice_u32(place + 4);
  if (n == SLUICE_NULL) return SLUICE_NULL_BYTES;
  return (sluice_bytes){c->block + sluice_u32(place), n};
}

/* A piece of the head: SLUICE_HEAD_CLIENT, SLUICE_HEAD_STATE, SLUICE_HEAD_BODY and so on. */
static inline sluice_bytes sluice_head(const sluice_call *c, uint32_t piece) { return sluice_field(c, c->block + piece); }

static inline void sluice_piece(sluice_call *c, uint32_t place, const void *p, uint32_t n) {
  uint32_t from = c->out.n;
  sluice_append(&c->out, p, n);
  sluice_put32(c->out.at + place, from);
  sluice_put32(c->out.at + place + 4, n);
}

/* Says what to do with the request: SLUICE_ACTION_FORWARD is what is done if nothing is said. */
static inline void sluice_action(sluice_call *c, uint16_t action) { sluice_put16(c->out.at + SLUICE_RESULT_ACTION, action); }

/* Refuses the request with a Kafka error code. Return after it. */
static inline void sluice_refuse(sluice_call *c, int16_t code, sluice_bytes message) {
  sluice_action(c, SLUICE_ACTION_ERROR);
  sluice_put16(c->out.at + SLUICE_RESULT_CODE, (uint16_t)code);
  sluice_piece(c, SLUICE_RESULT_MESSAGE, message.at, message.n);
}

/* Leaves up to SLUICE_STATE_MAX bytes for the call of the response, which may run on another instance. For on_request. */
static inline void sluice_set_state(sluice_call *c, sluice_bytes b) { sluice_piece(c, SLUICE_RESULT_STATE, b.at, b.n); }

/* The body that goes on, or with SLUICE_ACTION_RESPOND, the answer. For on_request and on_response. */
static inline void sluice_set_body(sluice_call *c, sluice_bytes b) { sluice_piece(c, SLUICE_RESULT_BODY, b.at, b.n); }

/* ---- Records and groups. Both are numbered from 0. ---- */

static inline uint8_t *sluice_entry(const sluice_call *c, uint32_t table, uint32_t i) {
  const uint8_t *t = c->block + table; /* size of an entry, count, offset */
  if (i >= sluice_u32(t + 4)) __builtin_trap();
  return c->block + sluice_u32(t + 8) + i * sluice_u32(t);
}

static inline uint8_t *sluice_record(const sluice_call *c, uint32_t i) { return sluice_entry(c, SLUICE_HEAD_RECORDS, i); }
static inline uint8_t *sluice_group(const sluice_call *c, uint32_t i) { return sluice_entry(c, SLUICE_HEAD_GROUPS, i); }

/* The number of records. */
static inline uint32_t sluice_count(const sluice_call *c) { return sluice_u32(c->block + SLUICE_HEAD_RECORDS + 4); }

/* The number of groups: records of one batch. Their fields are SLUICE_GROUP_FIRST and so on. */
static inline uint32_t sluice_groups(const sluice_call *c) { return sluice_u32(c->block + SLUICE_HEAD_GROUPS + 4); }

static inline sluice_bytes sluice_topic(const sluice_call *c, uint32_t group) {
  return sluice_field(c, sluice_group(c, group) + SLUICE_GROUP_TOPIC);
}

static inline sluice_bytes sluice_key(const sluice_call *c, uint32_t i) {
  return sluice_field(c, sluice_record(c, i) + SLUICE_RECORD_KEY);
}

static inline sluice_bytes sluice_value(const sluice_call *c, uint32_t i) {
  return sluice_field(c, sluice_record(c, i) + SLUICE_RECORD_VALUE);
}

static inline int64_t sluice_timestamp(const sluice_call *c, uint32_t i) {
  return (int64_t)sluice_u64(sluice_record(c, i) + SLUICE_RECORD_TIMESTAMP);
}

static inline int64_t sluice_offset(const sluice_call *c, uint32_t i) {
  return (int64_t)sluice_u64(sluice_record(c, i) + SLUICE_RECORD_OFFSET);
}

/* Walks the headers of a record: sluice_headers h = sluice_headers_of(c, i); while (sluice_next(&h)) ... h.key, h.value */
typedef struct {
  uint8_t *at;
  uint32_t left;
  sluice_bytes key, value;
} sluice_headers;

static inline sluice_headers sluice_headers_of(const sluice_call *c, uint32_t i) {
  const uint8_t *place = sluice_record(c, i) + SLUICE_RECORD_HEADERS;
  return (sluice_headers){c->block + sluice_u32(place), sluice_u32(place + 4), SLUICE_NULL_BYTES, SLUICE_NULL_BYTES};
}

static inline bool sluice_next(sluice_headers *h) {
  if (h->left == 0) return false;
  h->left--;
  uint32_t n = sluice_u32(h->at + 4);
  h->key = (sluice_bytes){h->at + 8, sluice_u32(h->at)};
  h->at += 8 + h->key.n;
  h->value = SLUICE_NULL_BYTES;
  if (n != SLUICE_NULL) {
    h->value = (sluice_bytes){h->at, n};
    h->at += n;
  }
  return true;
}

/* Finds the first header with a key. */
static inline bool sluice_find_header(const sluice_call *c, uint32_t i, sluice_bytes key, sluice_bytes *value) {
  sluice_headers h = sluice_headers_of(c, i);
  while (sluice_next(&h)) {
    if (!sluice_equal(h.key, key)) continue;
    if (value) *value = h.value;
    return true;
  }
  return false;
}

/* ---- Edits. They stand by ascending record: walk the records in their order. ---- */

static inline void sluice_edit(sluice_call *c, uint32_t i, uint8_t op, int16_t argument, sluice_bytes name, sluice_bytes value) {
  sluice_reserve(&c->out, SLUICE_EDIT_HEAD + name.n + value.n);
  uint8_t *e = c->out.at + c->out.n;
  sluice_put32(e, i);
  e[4] = op;
  e[5] = 0;
  sluice_put16(e + 6, (uint16_t)argument);
  sluice_put32(e + 8, name.n);
  sluice_put32(e + 12, value.at ? value.n : SLUICE_NULL);
  c->out.n += SLUICE_EDIT_HEAD;
  sluice_append(&c->out, name.at, name.n);
  sluice_append(&c->out, value.at, value.n);
}

static inline void sluice_add_header(sluice_call *c, uint32_t i, sluice_bytes key, sluice_bytes value) {
  sluice_edit(c, i, SLUICE_OP_ADD_HEADER, 0, key, value);
}

static inline void sluice_remove_headers(sluice_call *c, uint32_t i, sluice_bytes key) {
  sluice_edit(c, i, SLUICE_OP_REMOVE_HEADERS, 0, key, SLUICE_NULL_BYTES);
}

static inline void sluice_set_value(sluice_call *c, uint32_t i, sluice_bytes value) {
  sluice_edit(c, i, SLUICE_OP_SET_VALUE, 0, SLUICE_NULL_BYTES, value);
}

static inline void sluice_set_key(sluice_call *c, uint32_t i, sluice_bytes key) {
  sluice_edit(c, i, SLUICE_OP_SET_KEY, 0, SLUICE_NULL_BYTES, key);
}

/* Says that the bytes of sluice_value were changed where they stand: the cheapest edit there is. */
static inline void sluice_value_in_place(sluice_call *c, uint32_t i) {
  sluice_edit(c, i, SLUICE_OP_VALUE_IN_PLACE, 0, SLUICE_NULL_BYTES, SLUICE_NULL_BYTES);
}

static inline void sluice_key_in_place(sluice_call *c, uint32_t i) {
  sluice_edit(c, i, SLUICE_OP_KEY_IN_PLACE, 0, SLUICE_NULL_BYTES, SLUICE_NULL_BYTES);
}

static inline void sluice_set_timestamp(sluice_call *c, uint32_t i, int64_t ms) {
  sluice_edit(c, i, SLUICE_OP_SET_TIMESTAMP, 0, SLUICE_NULL_BYTES, (sluice_bytes){(uint8_t *)&ms, 8});
}

/* Leaves the record out; on produce see `produce_drop`. */
static inline void sluice_drop(sluice_call *c, uint32_t i) {
  sluice_edit(c, i, SLUICE_OP_DROP, 0, SLUICE_NULL_BYTES, SLUICE_NULL_BYTES);
}

/* Refuses the record, and with it its batch. */
static inline void sluice_reject(sluice_call *c, uint32_t i, int16_t code, sluice_bytes message) {
  sluice_edit(c, i, SLUICE_OP_REJECT, code, message, SLUICE_NULL_BYTES);
}

/* ---- The module. ---- */

/* What a plugin does. What it does not set is not done; the manifest says what it is called with. */
typedef struct {
  const char *(*configure)(sluice_bytes json); /* null, or a text that says what is wrong */
  const char *(*self_test)(void);              /* the same */
  void (*on_produce)(sluice_call *c);
  void (*on_fetch)(sluice_call *c);
  void (*on_request)(sluice_call *c);
  void (*on_response)(sluice_call *c);
  void (*on_session)(sluice_call *c); /* sluice_action(c, SLUICE_ACTION_CLOSE) closes the connection */
  void (*on_tick)(int64_t now_ms);
  void (*close)(void);
} sluice_plugin;

static sluice_buffer sluice_input;
static sluice_call sluice_current;

static inline uint64_t sluice_pack(const void *p, uint32_t n) { return (uint64_t)(uintptr_t)p << 32 | n; }

static inline uint64_t sluice_says(const char *text) {
  uint32_t n = 0;
  while (text && text[n]) n++;
  return text ? sluice_pack(text, n) : 0;
}

/* Runs a handler and returns the result block, 0 for "unchanged". */
static inline uint64_t sluice_run(void (*handle)(sluice_call *)) {
  static const uint8_t empty[SLUICE_RESULT_SIZE] = {SLUICE_RESULT_SIZE};
  sluice_call *c = &sluice_current;
  c->block = sluice_input.at;
  c->out.n = 0;
  sluice_append(&c->out, empty, sizeof empty);
  if (handle) handle(c);
  uint16_t action = sluice_u16(c->out.at + SLUICE_RESULT_ACTION);
  if (c->out.n == SLUICE_RESULT_SIZE && action == SLUICE_ACTION_FORWARD) return 0;
  return sluice_pack(c->out.at, c->out.n);
}

/* Runs a handler of records. All that stands behind the head are edits, unless it refused: then they count for nothing. */
static inline uint64_t sluice_run_records(void (*produce)(sluice_call *), void (*fetch)(sluice_call *)) {
  uint64_t result = sluice_run(sluice_u16(sluice_input.at + SLUICE_HEAD_KIND) == SLUICE_KIND_PRODUCE ? produce : fetch);
  sluice_buffer *out = &sluice_current.out;
  if (sluice_u16(out->at + SLUICE_RESULT_ACTION) == SLUICE_ACTION_FORWARD) {
    sluice_put32(out->at + SLUICE_RESULT_EDITS, SLUICE_RESULT_SIZE);
    sluice_put32(out->at + SLUICE_RESULT_EDITS + 4, out->n - SLUICE_RESULT_SIZE);
  }
  return result;
}

#define SLUICE_EXPORT(name) __attribute__((export_name(name)))

/* Exports a plugin: its manifest, and what it does. */
#define SLUICE_PLUGIN(manifest, ...)                                                                                     \
  static const sluice_plugin sluice_this = {__VA_ARGS__};                                                                \
  SLUICE_EXPORT(SLUICE_EXPORT_ABI) int32_t sluice_export_abi(void) { return SLUICE_VERSION; }                            \
  SLUICE_EXPORT(SLUICE_EXPORT_ALLOC) uint8_t *sluice_export_alloc(uint32_t n) {                                          \
    sluice_reserve(&sluice_input, n);                                                                                    \
    return sluice_input.at;                                                                                              \
  }                                                                                                                      \
  SLUICE_EXPORT(SLUICE_EXPORT_MANIFEST) uint64_t sluice_export_manifest(void) {                                          \
    static const char text[] = manifest;                                                                                 \
    return sluice_pack(text, sizeof text - 1);                                                                           \
  }                                                                                                                      \
  SLUICE_EXPORT(SLUICE_EXPORT_CONFIGURE) uint64_t sluice_export_configure(uint32_t n) {                                  \
    bool none = n == 2 && sluice_input.at[0] == '{'; /* {} */                                                            \
    if (!sluice_this.configure) return none ? 0 : sluice_says("the plugin has no configuration");                        \
    return sluice_says(sluice_this.configure((sluice_bytes){sluice_input.at, n}));                                       \
  }                                                                                                                      \
  SLUICE_EXPORT(SLUICE_EXPORT_ON_RECORDS) uint64_t sluice_export_on_records(uint32_t n) {                                \
    return (void)n, sluice_run_records(sluice_this.on_produce, sluice_this.on_fetch);                                    \
  }                                                                                                                      \
  SLUICE_EXPORT(SLUICE_EXPORT_ON_REQUEST) uint64_t sluice_export_on_request(uint32_t n) {                                \
    return (void)n, sluice_run(sluice_this.on_request);                                                                  \
  }                                                                                                                      \
  SLUICE_EXPORT(SLUICE_EXPORT_ON_RESPONSE) uint64_t sluice_export_on_response(uint32_t n) {                              \
    return (void)n, sluice_run(sluice_this.on_response);                                                                 \
  }                                                                                                                      \
  SLUICE_EXPORT(SLUICE_EXPORT_ON_SESSION) uint64_t sluice_export_on_session(uint32_t n) {                                \
    return (void)n, sluice_run(sluice_this.on_session);                                                                  \
  }                                                                                                                      \
  SLUICE_EXPORT(SLUICE_EXPORT_ON_TICK) void sluice_export_on_tick(int64_t now_ms) {                                      \
    if (sluice_this.on_tick) sluice_this.on_tick(now_ms);                                                                \
  }                                                                                                                      \
  SLUICE_EXPORT(SLUICE_EXPORT_SELF_TEST) uint64_t sluice_export_self_test(void) {                                        \
    return sluice_this.self_test ? sluice_says(sluice_this.self_test()) : 0;                                             \
  }                                                                                                                      \
  SLUICE_EXPORT(SLUICE_EXPORT_CLOSE) void sluice_export_close(void) {                                                    \
    if (sluice_this.close) sluice_this.close();                                                                          \
  }

#endif
