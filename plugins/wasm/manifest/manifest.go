// Package manifest reads what a guest says of itself: what it is to be shown, and the capabilities
// that it asks for.
package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/sdk/abi"
)

// Manifest is what a guest says of itself; see sdk/ABI.md.
type Manifest struct {
	Name           string          `json:"name"`
	Version        string          `json:"version,omitempty"`
	Records        []string        `json:"records,omitempty"`
	Requests       Subscriptions   `json:"requests,omitempty"`
	Responses      Subscriptions   `json:"responses,omitempty"`
	Session        bool            `json:"session,omitempty"`
	TickMS         int64           `json:"tick_ms,omitempty"`
	Host           []string        `json:"host,omitempty"`
	FailClosedOnly bool            `json:"fail_closed_only,omitempty"`
	ConfigSchema   json.RawMessage `json:"config_schema,omitempty"`
}

// Subscription is an API whose messages a guest sees.
type Subscription struct {
	API API    `json:"api"`
	Min int16  `json:"min,omitempty"`
	Max *int16 `json:"max,omitempty"`
	// Format is "json" for messages as JSON, and else Kafka's.
	Format string `json:"format,omitempty"`
}

// Subscriptions are the APIs whose messages a guest sees in one direction.
type Subscriptions []Subscription

// Has reports whether an API is among them.
func (list Subscriptions) Has(key kmsg.Key) bool {
	return slices.ContainsFunc(list, func(s Subscription) bool { return kmsg.Key(s.API) == key })
}

// API is an API by its number or Kafka's name of it.
type API kmsg.Key

// UnmarshalJSON reads a name or a number.
func (a *API) UnmarshalJSON(b []byte) error {
	if n, err := strconv.Atoi(string(b)); err == nil {
		*a = API(n)
	} else {
		var name string
		if err := json.Unmarshal(b, &name); err != nil {
			return err
		}
		key, ok := kafka.KeyOf(name)
		if !ok {
			return fmt.Errorf("there is no Kafka API %q", name)
		}
		*a = API(key)
	}
	if _, ok := kafka.Lookup(kmsg.Key(*a)); !ok {
		return fmt.Errorf("there is no Kafka API %d", *a)
	}
	return nil
}

// MarshalJSON writes the name.
func (a API) MarshalJSON() ([]byte, error) { return json.Marshal(kmsg.NameForKey(int16(a))) }

// Parse reads what a guest says of itself, and checks it; exports reports what functions it has.
func Parse(b []byte, exports func(string) bool) (m Manifest, err error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return m, fmt.Errorf("manifest: %w", err)
	}
	if m.Name == "" {
		return m, errors.New("manifest: name is missing")
	}
	for _, r := range m.Records {
		if r != "produce" && r != "fetch" {
			return m, fmt.Errorf("manifest: records: %q is not one of produce, fetch", r)
		}
	}
	for _, h := range m.Host {
		if err := CheckCapability(h); err != nil {
			return m, fmt.Errorf("manifest: host: %w", err)
		}
	}
	for _, s := range slices.Concat(m.Requests, m.Responses) {
		if err := s.checkFormat(); err != nil {
			return m, fmt.Errorf("manifest: %w", err)
		}
	}
	if m.TickMS < 0 || (m.TickMS > 0 && m.TickMS < 10) {
		return m, errors.New("manifest: tick_ms must be at least 10")
	}
	for export, wanted := range map[string]bool{
		abi.ExportOnRecords: len(m.Records) > 0, abi.ExportOnRequest: len(m.Requests) > 0, abi.ExportOnResponse: len(m.Responses) > 0,
		abi.ExportOnSession: m.Session, abi.ExportOnTick: m.TickMS > 0,
	} {
		if wanted && !exports(export) {
			return m, fmt.Errorf("the manifest asks for what %s is called with, but it is not exported", export)
		}
	}
	return m, nil
}

// Has reports whether the guest sees records of a kind, produce or fetch.
func (m Manifest) Has(kind string) bool { return slices.Contains(m.Records, kind) }

// Keys are the rows that the guest stands in.
func (m Manifest) Keys() kafka.KeySet {
	var keys []kmsg.Key
	if m.Has("produce") {
		keys = append(keys, kmsg.Produce)
	}
	if m.Has("fetch") {
		keys = append(keys, kmsg.Fetch)
	}
	for _, s := range slices.Concat(m.Requests, m.Responses) {
		keys = append(keys, kmsg.Key(s.API))
	}
	return kafka.NewKeySet(keys...)
}

// MaxVersion is the highest version of an API that the guest understands, at most offered.
func (m Manifest) MaxVersion(key, offered int16) int16 {
	for _, s := range slices.Concat(m.Requests, m.Responses) {
		if int16(s.API) == key && s.Max != nil {
			offered = min(offered, *s.Max)
		}
		if int16(s.API) == key && offered < s.Min {
			return -1
		}
	}
	return offered
}
