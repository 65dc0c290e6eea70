package host

import "time"

// Limits bound what a guest may use.
type Limits struct {
	Timeout     time.Duration `koanf:"timeout"`      // of one call
	Memory      int64         `koanf:"memory"`       // of one instance
	Instances   int           `koanf:"instances"`    // that run at a time; 0: one for each core, and 8 more for a guest that may wait for others
	CallBytes   int           `koanf:"call_bytes"`   // of the records of one call; more are shown in several
	CallRecords int           `koanf:"call_records"` // in one call
	LogLines    int           `koanf:"log_lines"`    // in a second
	Series      int           `koanf:"series"`       // of metrics
	KV          int64         `koanf:"kv"`           // of keys and values in the store
}

// DefaultLimits are the limits that a section does not change.
func DefaultLimits() Limits {
	return Limits{Timeout: time.Second, Memory: 64 << 20, CallBytes: 1 << 20, CallRecords: 4096, LogLines: 100, Series: 1000, KV: 16 << 20}
}

const pageSize = 64 << 10

// pages is the memory limit in WASM pages.
func (l Limits) pages() uint32 { return uint32(l.Memory / pageSize) }
