package sdk

import (
	"errors"
	"fmt"

	"github.com/sluice-gateway/sluice/sdk/abi"
)

// Host is what a gateway does for its guests; numbers and errors are those of ABI.md.
type Host interface {
	Log(level int32, line string)
	LogEnabled(level int32) bool
	MetricDefine(kind int32, series []byte) int32
	MetricAdd(id int32, value float64)
	AttrSet(key, value string)
	// TraceParent is "" for none.
	TraceParent() string
	// KVGet returns an error number in place of nil.
	KVGet(key []byte) ([]byte, int32)
	KVSet(key, value []byte, ttl int64) int32
	KVAdd(key []byte, delta, ttl int64) int64
	// KVCas takes old nil for "there is none".
	KVCas(key, old, new []byte, ttl int64) int32
	TopicName(id [16]byte) (string, int32)
	SendRequest(block []byte) ([]byte, int32)
	HTTPCall(block []byte) ([]byte, int32)
}

// What host functions fail with.
var (
	ErrDenied   = errors.New("not granted by the operator")
	ErrTooLarge = errors.New("too large")
	ErrTimeout  = errors.New("timed out")
	ErrArgument = errors.New("bad argument")
	ErrChanged  = errors.New("the value is another one")
)

func hostError(code int32) error {
	switch {
	case code >= 0:
		return nil
	case code == abi.ErrDenied:
		return ErrDenied
	case code == abi.ErrTooLarge:
		return ErrTooLarge
	case code == abi.ErrTimeout:
		return ErrTimeout
	}
	return ErrArgument
}

// Level of a line of the log.
type Level int32

// The levels.
const (
	Debug Level = abi.LogDebug
	Info  Level = abi.LogInfo
	Warn  Level = abi.LogWarn
	Fault Level = abi.LogError
)

// Gateway is what a plugin may ask of the gateway, during its calls: each Context has it.
type Gateway struct {
	host   Host
	series map[Metric]int32 // numbers of those that are defined
}

// NewGateway is what functions that take one are tested with; a guest has its own.
func NewGateway(h Host) *Gateway { return &Gateway{host: h, series: map[Metric]int32{}} }

// Logf writes a line into the gateway's log, if lines of the level are kept.
func (g *Gateway) Logf(level Level, format string, args ...any) {
	if g.host.LogEnabled(int32(level)) {
		g.host.Log(int32(level), fmt.Sprintf(format, args...))
	}
}

// SetAttribute sets an attribute of the call's span.
func (g *Gateway) SetAttribute(key, value string) { g.host.AttrSet(key, value) }

// TraceParent is the call's span as a W3C traceparent, 00-TRACE ID-SPAN ID-FLAGS, to be sent along;
// "" if the request is not traced.
func (g *Gateway) TraceParent() string { return g.host.TraceParent() }

// TraceID is the id of the request's trace in hex, "" if it is not traced.
func (g *Gateway) TraceID() string {
	if parent := g.host.TraceParent(); len(parent) > 35 {
		return parent[3:35]
	}
	return ""
}

// TopicName is the name of the topic with an id.
func (g *Gateway) TopicName(id [16]byte) (string, bool) {
	name, code := g.host.TopicName(id)
	return name, code >= 0
}
