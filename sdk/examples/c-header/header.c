/* A plugin that adds a header to every record that has none of that name. */
#include "sluice.h"
#include "sluice_json.h"

static uint8_t key_text[256], value_text[1024];
static sluice_bytes key = {key_text, 0}, value = {value_text, 0};

/* Reads a setting; one that is missing stays as it is. */
static bool setting(sluice_bytes json, sluice_bytes name, sluice_bytes *to, uint32_t cap) {
  int32_t n = sluice_setting(json, name, to->at, cap);
  if (n == SLUICE_ERR_NONE) return true;
  if (n < 0 || (uint32_t)n > cap) return false;
  to->n = (uint32_t)n;
  return true;
}

static const char *const settings[] = {"key", "value", 0};

static const char *configure(sluice_bytes json) {
  if (!setting(json, SLUICE_TEXT("key"), &key, sizeof key_text)) return "config.key must be a text of up to 256 bytes";
  if (!setting(json, SLUICE_TEXT("value"), &value, sizeof value_text)) return "config.value must be a text of up to 1024 bytes";
  if (!sluice_settings_known(json, settings)) return "config has something else than key and value";
  if (key.n == 0) return "config.key is missing: the name of the header";
  return 0;
}

static void on_produce(sluice_call *c) {
  for (uint32_t i = 0, n = sluice_count(c); i < n; i++)
    if (!sluice_find_header(c, i, key, 0)) sluice_add_header(c, i, key, value);
}

SLUICE_PLUGIN("{\"name\": \"c-header\", \"version\": \"1.0.0\", \"records\": [\"produce\"]}", .configure = configure,
              .on_produce = on_produce)
