//go:build !wasip1

package sdk

import (
	"bytes"
	"encoding/binary"
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/sdk/abi"
)

// Memory is a host for tests: a store in memory, and a log that is kept. Requests and HTTP calls
// are answered by Send and Call, if they are set, and denied otherwise.
type Memory struct {
	Send, Call func(block []byte) ([]byte, int32)
	Names      map[[16]byte]string
	Parent     string // the traceparent

	mu      sync.Mutex
	lines   []string
	metrics map[string]float64
	series  []string
	attrs   map[string]string
	values  map[string]value
}

type value struct {
	b   []byte
	end time.Time // zero: never
}

var _ Host = (*Memory)(nil)

// NewMemory returns an empty one.
func NewMemory() *Memory {
	return &Memory{Names: map[[16]byte]string{}, metrics: map[string]float64{}, attrs: map[string]string{}, values: map[string]value{}}
}

// Lines are the lines logged so far.
func (m *Memory) Lines() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]string{}, m.lines...)
}

// Metric is the sum of what was added to a series, named by its JSON.
func (m *Memory) Metric(series string) float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.metrics[series]
}

// Attribute is an attribute of the span.
func (m *Memory) Attribute(key string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.attrs[key]
}

// Log keeps a line.
func (m *Memory) Log(_ int32, line string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lines = append(m.lines, line)
}

// LogEnabled keeps all levels.
func (m *Memory) LogEnabled(int32) bool { return true }

// MetricDefine numbers a series.
func (m *Memory) MetricDefine(_ int32, series []byte) int32 {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.series = append(m.series, string(series))
	return int32(len(m.series) - 1)
}

// MetricAdd sums up.
func (m *Memory) MetricAdd(id int32, v float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if int(id) < len(m.series) {
		m.metrics[m.series[id]] += v
	}
}

// AttrSet keeps an attribute.
func (m *Memory) AttrSet(key, v string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.attrs[key] = v
}

func (m *Memory) get(key []byte) ([]byte, bool) {
	v, ok := m.values[string(key)]
	if ok && !v.end.IsZero() && time.Now().After(v.end) {
		delete(m.values, string(key))
		return nil, false
	}
	return v.b, ok
}

func (m *Memory) set(key, b []byte, ttl int64) {
	v := value{b: bytes.Clone(b)}
	if ttl > 0 {
		v.end = time.Now().Add(time.Duration(ttl) * time.Millisecond)
	}
	m.values[string(key)] = v
}

// TraceParent is Parent.
func (m *Memory) TraceParent() string { return m.Parent }

// KVGet reads a key.
func (m *Memory) KVGet(key []byte) ([]byte, int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if b, ok := m.get(key); ok {
		return bytes.Clone(b), 0
	}
	return nil, abi.ErrNone
}

// KVSet sets a key.
func (m *Memory) KVSet(key, b []byte, ttl int64) int32 {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.set(key, b, ttl)
	return 0
}

// KVAdd adds to a key.
func (m *Memory) KVAdd(key []byte, delta, ttl int64) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	var n int64
	b, ok := m.get(key)
	if ok {
		if len(b) != 8 {
			return abi.ErrArgument
		}
		n = int64(binary.LittleEndian.Uint64(b))
	}
	if n += delta; n < 0 {
		return abi.ErrArgument
	}
	sum := binary.LittleEndian.AppendUint64(nil, uint64(n))
	if ok {
		v := m.values[string(key)]
		v.b = sum
		m.values[string(key)] = v
	} else {
		m.set(key, sum, ttl)
	}
	return n
}

// KVCas compares and sets.
func (m *Memory) KVCas(key, old, b []byte, ttl int64) int32 {
	m.mu.Lock()
	defer m.mu.Unlock()
	now, ok := m.get(key)
	if ok != (old != nil) || !bytes.Equal(now, old) {
		return abi.ErrDenied
	}
	m.set(key, b, ttl)
	return 0
}

// TopicName looks into Names.
func (m *Memory) TopicName(id [16]byte) (string, int32) {
	if n, ok := m.Names[id]; ok {
		return n, 0
	}
	return "", abi.ErrNone
}

// SendRequest asks Send.
func (m *Memory) SendRequest(block []byte) ([]byte, int32) {
	if m.Send == nil {
		return nil, abi.ErrDenied
	}
	return m.Send(block)
}

// HTTPCall asks Call.
func (m *Memory) HTTPCall(block []byte) ([]byte, int32) {
	if m.Call == nil {
		return nil, abi.ErrDenied
	}
	return m.Call(block)
}
