/* Settings of a flat JSON object, and messages as JSON, for plugins that want no JSON library. */
#ifndef SLUICE_JSON_H
#define SLUICE_JSON_H

#include "sluice.h"

/* What is left to read, and where a text goes: only its length counts if there is no room. */
typedef struct {
  const uint8_t *at, *end;
  uint8_t *out;
  uint32_t cap, n;
} sluice_json;

static inline void sluice_json_put(sluice_json *j, uint8_t c) {
  if (j->n < j->cap) j->out[j->n] = c;
  j->n++;
}

/* The next byte that is no space, 0 at the end; it is taken if it is c. */
static inline bool sluice_json_take(sluice_json *j, uint8_t c) {
  while (j->at < j->end && (*j->at == ' ' || *j->at == '\n' || *j->at == '\t' || *j->at == '\r')) j->at++;
  if (j->at == j->end || *j->at != c) return false;
  j->at++;
  return true;
}

/* An escape of the form XXXX as UTF-8. Characters past U+FFFF come unescaped from the gateway. */
static inline bool sluice_json_unicode(sluice_json *j) {
  uint32_t v = 0;
  if (j->end - j->at < 4) return false;
  for (int i = 0; i < 4; i++) {
    uint8_t c = *j->at++, low = c | 32;
    if (c >= '0' && c <= '9') v = v * 16 + c - '0';
    else if (low >= 'a' && low <= 'f') v = v * 16 + low - 'a' + 10;
    else return false;
  }
  if (v < 0x80) return sluice_json_put(j, v), true;
  if (v >= 0x800) sluice_json_put(j, 0xe0 | v >> 12);
  sluice_json_put(j, v >= 0x800 ? 0x80 | (v >> 6 & 63) : 0xc0 | v >> 6);
  sluice_json_put(j, 0x80 | (v & 63));
  return true;
}

static inline bool sluice_json_text(sluice_json *j) {
  j->n = 0;
  if (!sluice_json_take(j, '"')) return false;
  while (j->at < j->end) {
    uint8_t c = *j->at++;
    if (c == '"') return true;
    if (c == '\\') {
      if (j->at == j->end) return false;
      c = *j->at++;
      if (c == 'u') {
        if (!sluice_json_unicode(j)) return false;
        continue;
      }
      c = c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c == 'b' ? '\b' : c == 'f' ? '\f' : c;
    }
    sluice_json_put(j, c);
  }
  return false;
}

/* A text, or a word as it is written: a number, true, false, null. */
static inline bool sluice_json_value(sluice_json *j) {
  if (sluice_json_take(j, '"')) return j->at--, sluice_json_text(j);
  for (j->n = 0; j->at < j->end; j->at++) {
    uint8_t c = *j->at;
    if (!((c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '+' || c == '-' || c == '.')) break;
    sluice_json_put(j, c);
  }
  return j->n > 0;
}

/* Reports whether every setting is one of some names, which a null pointer ends. */
static inline bool sluice_settings_known(sluice_bytes json, const char *const *names) {
  uint8_t key[64];
  sluice_json j = {json.at, json.at + json.n, key, sizeof key, 0};
  if (!sluice_json_take(&j, '{')) return false;
  for (bool more = !sluice_json_take(&j, '}'); more;) {
    j.out = key, j.cap = sizeof key;
    if (!sluice_json_text(&j) || !sluice_json_take(&j, ':')) return false;
    bool known = false;
    for (const char *const *name = names; *name && !known; name++) {
      uint32_t n = 0;
      while ((*name)[n]) n++;
      known = j.n <= sizeof key && sluice_equal((sluice_bytes){key, j.n}, (sluice_bytes){(uint8_t *)*name, n});
    }
    j.cap = 0;
    if (!known || !sluice_json_value(&j)) return false;
    more = sluice_json_take(&j, ',');
    if (!more && !sluice_json_take(&j, '}')) return false;
  }
  return true;
}

/* Copies a setting, as far as it fits, and returns the length that is needed: -1 if there is none of that name, -5
 * if the configuration is no flat object. */
static inline int32_t sluice_setting(sluice_bytes json, sluice_bytes name, void *out, uint32_t cap) {
  uint8_t key[64];
  int32_t found = SLUICE_ERR_NONE;
  sluice_json j = {json.at, json.at + json.n, key, sizeof key, 0};
  if (!sluice_json_take(&j, '{')) return SLUICE_ERR_ARGUMENT;
  for (bool more = !sluice_json_take(&j, '}'); more;) {
    j.out = key, j.cap = sizeof key;
    if (!sluice_json_text(&j) || !sluice_json_take(&j, ':')) return SLUICE_ERR_ARGUMENT;
    bool this = j.n <= sizeof key && sluice_equal((sluice_bytes){key, j.n}, name);
    j.out = out, j.cap = this ? cap : 0;
    if (!sluice_json_value(&j)) return SLUICE_ERR_ARGUMENT;
    if (this) found = (int32_t)j.n;
    more = sluice_json_take(&j, ',');
    if (!more && !sluice_json_take(&j, '}')) return SLUICE_ERR_ARGUMENT;
  }
  return found;
}

/* ---- Messages as JSON: a subscription with "format": "json". A value is the bytes that it is written in; `at` is 0 if there is none. ---- */

/* Passes over a value, whatever is in it. */
static inline bool sluice_json_skip(sluice_json *j) {
  uint32_t deep = 0;
  do {
    if (sluice_json_take(j, '[') || sluice_json_take(j, '{')) {
      deep++;
      continue;
    }
    if (deep > 0 && (sluice_json_take(j, ']') || sluice_json_take(j, '}'))) {
      deep--;
      continue;
    }
    if (deep > 0 && (sluice_json_take(j, ',') || sluice_json_take(j, ':'))) continue;
    j->cap = 0;
    if (!sluice_json_value(j)) return false;
  } while (deep > 0);
  return true;
}

/* Where the next value stands, and passes over it. */
static inline sluice_bytes sluice_json_next(sluice_json *j) {
  sluice_json_take(j, 0); /* spaces */
  const uint8_t *from = j->at;
  if (!sluice_json_skip(j)) return SLUICE_NULL_BYTES;
  return (sluice_bytes){(uint8_t *)from, (uint32_t)(j->at - from)};
}

/* A field of an object. */
static inline sluice_bytes sluice_json_field(sluice_bytes object, sluice_bytes name) {
  uint8_t key[64];
  sluice_json j = {object.at, object.at + object.n, key, sizeof key, 0};
  if (object.at == 0 || !sluice_json_take(&j, '{')) return SLUICE_NULL_BYTES;
  do {
    j.out = key, j.cap = sizeof key;
    if (!sluice_json_text(&j) || !sluice_json_take(&j, ':')) return SLUICE_NULL_BYTES;
    bool this = j.n <= sizeof key && sluice_equal((sluice_bytes){key, j.n}, name);
    sluice_bytes value = sluice_json_next(&j);
    if (this || value.at == 0) return value;
  } while (sluice_json_take(&j, ','));
  return SLUICE_NULL_BYTES;
}

/* An element of a list, from 0: the first that is not there says how many there are. */
static inline sluice_bytes sluice_json_item(sluice_bytes list, uint32_t i) {
  sluice_json j = {list.at, list.at + list.n, 0, 0, 0};
  if (list.at == 0 || !sluice_json_take(&j, '[')) return SLUICE_NULL_BYTES;
  do {
    sluice_bytes value = sluice_json_next(&j);
    if (i-- == 0 || value.at == 0) return value;
  } while (sluice_json_take(&j, ','));
  return SLUICE_NULL_BYTES;
}

/* Copies a text, as far as it fits, and returns the length that is needed: -1 if the value is none. */
static inline int32_t sluice_json_string(sluice_bytes value, void *out, uint32_t cap) {
  sluice_json j = {value.at, value.at + value.n, out, cap, 0};
  return value.at != 0 && sluice_json_text(&j) ? (int32_t)j.n : SLUICE_ERR_NONE;
}

/* Reports whether a value is a text, and this one. */
static inline bool sluice_json_is(sluice_bytes value, sluice_bytes text) {
  uint8_t got[256];
  int32_t n = sluice_json_string(value, got, sizeof got);
  return n >= 0 && n <= (int32_t)sizeof got && sluice_equal((sluice_bytes){got, (uint32_t)n}, text);
}

/* A whole number, or another one if the value is none. */
static inline int64_t sluice_json_number(sluice_bytes value, int64_t otherwise) {
  uint64_t v = 0;
  bool minus = value.n > 0 && value.at[0] == '-';
  if (value.n == (uint32_t)minus) return otherwise;
  for (uint32_t i = minus; i < value.n; i++) {
    if (value.at[i] < '0' || value.at[i] > '9' || v > UINT64_MAX / 10) return otherwise;
    v = v * 10 + (value.at[i] - '0');
  }
  return (int64_t)(minus ? -v : v);
}

/* The body that goes on, or the answer: that of the call, with other JSON in place of a value of it. */
static inline void sluice_set_json(sluice_call *c, sluice_bytes value, sluice_bytes with) {
  sluice_bytes body = sluice_head(c, SLUICE_HEAD_BODY);
  uint32_t before = (uint32_t)(value.at - body.at), from = c->out.n;
  sluice_append(&c->out, body.at, before);
  sluice_append(&c->out, with.at, with.n);
  sluice_append(&c->out, value.at + value.n, body.n - before - value.n);
  sluice_put32(c->out.at + SLUICE_RESULT_BODY, from);
  sluice_put32(c->out.at + SLUICE_RESULT_BODY + 4, c->out.n - from);
}

#endif
