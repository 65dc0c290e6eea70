/* The probe in C, with a libc: does what the records' values say. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sluice.h"
#include "sluice_json.h"

static char text[4096];
static int32_t seen = -1;

/* What was printed into text. */
static sluice_bytes printed(void) { return (sluice_bytes){(uint8_t *)text, (uint32_t)strlen(text)}; }

static bool is(sluice_bytes b, const char *s) { return sluice_equal(b, (sluice_bytes){(uint8_t *)s, (uint32_t)strlen(s)}); }

__attribute__((noinline)) static int recurse(int n) {
  volatile char deep[512];
  deep[n % 512] = (char)n;
  return n < 0 ? 0 : recurse(n + 1) + deep[n % 512];
}

/* Does what breaks a guest, or refuses, if told to. */
static bool hostile(sluice_call *c, sluice_bytes what) {
  if (is(what, "panic")) abort();
  if (is(what, "loop"))
    for (volatile int i = 0;; i++) {
    }
  if (is(what, "recurse")) sluice_u32((uint8_t *)(uintptr_t)recurse(0));
  if (is(what, "memory"))
    for (;;) memset(malloc(1 << 20), 1, 1 << 20);
  if (is(what, "refuse")) return sluice_refuse(c, 44, SLUICE_TEXT("not like this")), true;
  if (is(what, "code")) return sluice_refuse(c, 87, SLUICE_TEXT("wrong")), true;
  return false;
}

static void kv(void) {
  static char x[500], got[600];
  int64_t n = sluice_kv_add("count", 5, 2, 0);
  sluice_kv_set("name", 4, "value", 5, 0);
  bool set = sluice_kv_cas("name", 4, "value", 5, x, sizeof x, 0) == 0;
  bool changed = sluice_kv_cas("name", 4, 0, -1, "x", 1, 0) == 0;
  int32_t size = sluice_kv_get("name", 4, got, sizeof got);
  bool missing = sluice_kv_get("missing", 7, got, sizeof got) == SLUICE_ERR_NONE;
  snprintf(text, sizeof text, "%lld %s %s %d %s", n, set ? "true" : "false", changed ? "true" : "false", size,
           missing ? "true" : "false");
}

static void error(int64_t code) {
  snprintf(text, sizeof text, "%s", code == SLUICE_ERR_DENIED ? "not granted by the operator" : "bad argument");
}

/* Asks for Metadata 7 and prints its first bytes: the time it was throttled. */
static void ask(void) {
  static const uint8_t request[13] = {3, 0, 7};
  int64_t r = sluice_send_request(request, sizeof request);
  uint8_t b[4];
  if (r < 0) return error(r);
  sluice_result_read((int32_t)(r >> 32), 0, b, sizeof b);
  sluice_result_free((int32_t)(r >> 32));
  snprintf(text, sizeof text, "[%d, %d, %d, %d]", b[0], b[1], b[2], b[3]);
}

static void where(sluice_call *c, uint32_t i) {
  for (uint32_t k = 0; k < sluice_groups(c); k++) {
    const uint8_t *g = sluice_group(c, k);
    sluice_bytes topic = sluice_topic(c, k);
    snprintf(text, sizeof text, "%.*s/%d %u %lld %s", (int)topic.n, topic.at, (int)sluice_u32(g + SLUICE_GROUP_PARTITION),
             (unsigned)sluice_u32(g + SLUICE_GROUP_COUNT), (long long)sluice_u64(g + SLUICE_GROUP_PRODUCER_ID),
             sluice_u16(g + SLUICE_GROUP_ATTRIBUTES) & 16 ? "true" : "false");
    sluice_add_header(c, i, SLUICE_TEXT("group"), printed());
  }
  sluice_bytes client = sluice_head(c, SLUICE_HEAD_CLIENT), vc = sluice_head(c, SLUICE_HEAD_VIRTUAL_CLUSTER);
  sluice_bytes state = sluice_head(c, SLUICE_HEAD_STATE);
  snprintf(text, sizeof text, "%.*s %.*s %d %u \"%.*s\"", (int)client.n, client.at, (int)vc.n, vc.at,
           sluice_u16(c->block + SLUICE_HEAD_KEY), (unsigned)i, (int)state.n, state.at);
  sluice_add_header(c, i, SLUICE_TEXT("call"), printed());
}

static void headers(sluice_call *c, uint32_t i) {
  sluice_remove_headers(c, i, SLUICE_TEXT("old"));
  sluice_add_header(c, i, SLUICE_TEXT("new"), SLUICE_TEXT("n"));
  sluice_add_header(c, i, SLUICE_TEXT("null"), SLUICE_NULL_BYTES);
}

static void say(uint32_t i, uint32_t n) {
  static const char series[] = "{\"name\": \"seen_total\", \"labels\": {\"language\": \"c\"}}";
  if (seen < 0) seen = sluice_metric_define(SLUICE_METRIC_COUNTER, series, sizeof series - 1);
  sluice_metric_add(seen, 2);
  snprintf(text, sizeof text, "%u of %u", (unsigned)i, (unsigned)n);
  sluice_log_text(SLUICE_LOG_WARN, text);
}

static void timed(void) {
  uint8_t b[16] = {0}, id[16];
  sluice_random(b, sizeof b);
  snprintf(text, sizeof text, "%d", b[0]);
  sluice_attr_set("random", 6, text, (uint32_t)strlen(text));
  memset(id, 7, sizeof id);
  bool none = sluice_topic_name(id, text, sizeof text) == SLUICE_ERR_NONE;
  snprintf(text, sizeof text, "%lld %s %s", sluice_now_ns(), sluice_u64(b) | sluice_u64(b + 8) ? "true" : "false", none ? "None" : "a name");
}

static void record(sluice_call *c, uint32_t i) {
  sluice_bytes v = sluice_value(c, i);
  if (is(v, "drop")) return sluice_drop(c, i);
  if (is(v, "reject")) return sluice_reject(c, i, 87, SLUICE_TEXT("no good"));
  if (is(v, "null")) return sluice_set_value(c, i, SLUICE_NULL_BYTES);
  if (is(v, "key")) return sluice_set_key(c, i, SLUICE_TEXT("another"));
  if (is(v, "time")) return sluice_set_timestamp(c, i, 77);
  if (is(v, "headers")) return headers(c, i);
  if (is(v, "where")) return where(c, i);
  if (is(v, "log")) return say(i, sluice_count(c));
  if (v.n >= 5 && memcmp(v.at, "upper", 5) == 0) {
    for (uint32_t k = 0; k < v.n; k++) v.at[k] &= ~0x20;
    return sluice_value_in_place(c, i);
  }
  if (is(v, "kv")) kv();
  else if (is(v, "send")) ask();
  else if (is(v, "http")) {
    static const uint8_t empty[SLUICE_HTTP_SIZE];
    error(sluice_http_call(empty, sizeof empty));
  } else if (is(v, "trace")) text[sluice_trace_parent(text, sizeof text - 1)] = 0;
  else if (is(v, "clock")) timed();
  else return;
  sluice_set_value(c, i, printed());
}

static void records(sluice_call *c) {
  if (hostile(c, sluice_value(c, 0))) return;
  for (uint32_t i = 0; i < sluice_count(c); i++) record(c, i);
}

/* Where a word stands in the body, null if it does not. */
static uint8_t *find(sluice_bytes body, const char *word) {
  uint32_t n = (uint32_t)strlen(word);
  for (uint32_t i = 0; i + n <= body.n; i++)
    if (memcmp(body.at + i, word, n) == 0) return body.at + i;
  return 0;
}

/* CreatePartitions as JSON: twice as many partitions of the second topic. */
static void on_json(sluice_call *c) {
  sluice_bytes topics = sluice_json_field(sluice_head(c, SLUICE_HEAD_BODY), SLUICE_TEXT("Topics"));
  sluice_bytes topic = sluice_json_item(topics, 1), count = sluice_json_field(topic, SLUICE_TEXT("Count"));
  if (!topic.at || sluice_json_item(topics, 2).at || !sluice_json_field(sluice_json_item(topics, 0), SLUICE_TEXT("Assignment")).at)
    return sluice_refuse(c, 42, SLUICE_TEXT("not two topics"));
  if (sluice_json_is(sluice_json_field(topic, SLUICE_TEXT("Topic")), SLUICE_TEXT("bad json"))) return sluice_set_json(c, count, SLUICE_TEXT("many"));
  if (!sluice_json_is(sluice_json_field(topic, SLUICE_TEXT("Topic")), SLUICE_TEXT("t\"\xc3\xbc"))) return;
  snprintf(text, sizeof text, "%lld", 2 * (long long)sluice_json_number(count, 0));
  sluice_set_json(c, count, printed());
}

static void on_request(sluice_call *c) {
  if (sluice_u16(c->block + SLUICE_HEAD_KEY) == 37) return on_json(c);
  sluice_bytes body = sluice_head(c, SLUICE_HEAD_BODY);
  uint8_t *at = find(body, "rename");
  if (find(body, "refuse")) return sluice_refuse(c, 44, SLUICE_TEXT("not by that name"));
  if (find(body, "close")) return sluice_action(c, SLUICE_ACTION_CLOSE);
  if (!at) return;
  memcpy(at, "newone", 6);
  sluice_set_body(c, body);
  sluice_set_state(c, SLUICE_TEXT("*"));
}

static void on_response(sluice_call *c) {
  sluice_bytes state = sluice_head(c, SLUICE_HEAD_STATE), body = sluice_head(c, SLUICE_HEAD_BODY);
  if (state.n == 0) return;
  body.at[3] = state.at[0]; /* the time it was throttled */
  sluice_set_body(c, body);
}

static const char *configure(sluice_bytes json) {
  return json.n > 2 && sluice_setting(json, SLUICE_TEXT("known"), text, sizeof text) < 0 ? "config.other is not a setting of this plugin" : 0;
}

SLUICE_PLUGIN("{\"name\": \"cprobe\", \"records\": [\"produce\", \"fetch\"], \"host\": [\"kv\", \"http\", \"send_request\"],"
              " \"requests\": [{\"api\": 19, \"min\": 5, \"max\": 5}, {\"api\": \"CreatePartitions\", \"format\": \"json\"}], \"responses\": [{\"api\": \"CreateTopics\"}]}",
              .configure = configure, .on_produce = records, .on_fetch = records, .on_request = on_request, .on_response = on_response)
