package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/sdk/examples/internal/conf"
)

// requestTimedOut is what producers try again after.
const requestTimedOut int16 = 7

// maxLookups is how often one call asks the registry. Each answer is kept, so a request that needs
// more is done when it is tried again.
const maxLookups = 8

// span is an id, or a range of them: 7 or "100-199".
type span struct{ first, last uint32 }

func (s *span) UnmarshalJSON(b []byte) error {
	text := string(b)
	_ = json.Unmarshal(b, &text) // a number stays as it stands
	from, to, isRange := strings.Cut(text, "-")
	if !isRange {
		to = from
	}
	first, err1 := strconv.ParseUint(strings.TrimSpace(from), 10, 32)
	last, err2 := strconv.ParseUint(strings.TrimSpace(to), 10, 32)
	if err1 != nil || err2 != nil || first > last {
		return fmt.Errorf(`%s is not a schema id or a range such as "100-199"`, b)
	}
	s.first, s.last = uint32(first), uint32(last)
	return nil
}

func contains(spans []span, id uint32) bool {
	return slices.ContainsFunc(spans, func(s span) bool { return s.first <= id && id <= s.last })
}

// registry is a schema registry and how long its answers are believed.
type registry struct {
	URL         string            `json:"url"`
	Headers     map[string]string `json:"headers"`
	TTL         conf.Duration     `json:"ttl"`
	UnknownTTL  conf.Duration     `json:"unknown_ttl"`
	Unavailable string            `json:"unavailable"` // retry, pass
}

// check completes and verifies the registry's settings.
func (r *registry) check() error {
	if !strings.HasPrefix(r.URL, "http://") && !strings.HasPrefix(r.URL, "https://") {
		return fmt.Errorf("config.registry.url: %q is not an http or https URL", r.URL)
	}
	if r.Unavailable != "" && r.Unavailable != "retry" && r.Unavailable != "pass" {
		return fmt.Errorf("config.registry.unavailable: %q is not one of retry, pass", r.Unavailable)
	}
	r.URL = strings.TrimSuffix(r.URL, "/")
	r.TTL = orElse(r.TTL, 10*time.Minute)
	r.UnknownTTL = orElse(r.UnknownTTL, 10*time.Second)
	return nil
}

func orElse(d conf.Duration, v time.Duration) conf.Duration {
	if d == 0 {
		return conf.Duration(v)
	}
	return d
}

// knows asks the registry for an id, or remembers its answer.
func (r *registry) knows(gw *sdk.Gateway, id uint32, lookups *int) (bool, error) {
	key := "schema/" + strconv.FormatUint(uint64(id), 10)
	if v, err := gw.Get(key); err == nil && v != nil {
		return string(v) == "1", nil
	}
	if *lookups++; *lookups > maxLookups {
		return false, sdk.Errorf(requestTimedOut, "more than %d schema ids are new here: try again", maxLookups)
	}
	resp, err := gw.HTTP("GET", r.URL+"/schemas/ids/"+strconv.FormatUint(uint64(id), 10), r.Headers, nil)
	switch {
	case err == nil && resp.Status == 200:
		r.keep(gw, key, "1", r.TTL)
		return true, nil
	case err == nil && resp.Status == 404:
		r.keep(gw, key, "0", r.UnknownTTL)
		return false, nil
	case err == nil:
		err = fmt.Errorf("status %d", resp.Status)
	}
	gw.Logf(sdk.Warn, "schema registry, id %d: %v", id, err)
	if r.Unavailable == "pass" {
		return true, nil
	}
	return false, sdk.Errorf(requestTimedOut, "the schema registry can't be asked for id %d: %v", id, err)
}

func (r *registry) keep(gw *sdk.Gateway, key, v string, ttl conf.Duration) {
	if err := gw.Set(key, []byte(v), time.Duration(ttl)); err != nil {
		gw.Logf(sdk.Warn, "an answer of the schema registry is not kept: %v", err)
	}
}
