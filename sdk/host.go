package sdk

import (
	"errors"
	"fmt"

	"github.com/sluice-gateway/sluice/sdk/abi"
)

// Host is what a gateway does for its guests. Natively it is in memory, or what SetHost says; numbers and
// errors are those of ABI.md.
type Host interface {
	Log(level int32, line string)
	LogEnabled(level int32) bool
	MetricDefine(kind int32, series []byte) int32
	MetricAdd(id int32, value float64)
	AttrSet(key, value string)
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

// Logf writes a line into the gateway's log, if lines of the level are kept.
func Logf(level Level, format string, args ...any) {
	if host.LogEnabled(int32(level)) {
		host.Log(int32(level), fmt.Sprintf(format, args...))
	}
}

// SetAttribute sets an attribute of the request's span.
func SetAttribute(key, value string) { host.AttrSet(key, value) }

// TopicName is the name of the topic with an id.
func TopicName(id [16]byte) (string, bool) {
	name, code := host.TopicName(id)
	return name, code >= 0
}
