//go:build wasip1

package sdk

import (
	"unsafe"

	"github.com/sluice-gateway/sluice/sdk/abi"
)

// gateway is the one that runs this module.
type gateway struct{}

func newHost() Host { return gateway{} }

//go:wasmimport sluice_v1 log
func importLog(level int32, p unsafe.Pointer, n int32)

//go:wasmimport sluice_v1 log_enabled
func importLogEnabled(level int32) int32

//go:wasmimport sluice_v1 metric_define
func importMetricDefine(kind int32, p unsafe.Pointer, n int32) int32

//go:wasmimport sluice_v1 metric_add
func importMetricAdd(id int32, value float64)

//go:wasmimport sluice_v1 attr_set
func importAttrSet(k unsafe.Pointer, kn int32, v unsafe.Pointer, vn int32)

//go:wasmimport sluice_v1 trace_parent
func importTraceParent(b unsafe.Pointer, c int32) int32

//go:wasmimport sluice_v1 kv_get
func importKVGet(k unsafe.Pointer, kn int32, b unsafe.Pointer, c int32) int32

//go:wasmimport sluice_v1 kv_set
func importKVSet(k unsafe.Pointer, kn int32, v unsafe.Pointer, vn int32, ttl int64) int32

//go:wasmimport sluice_v1 kv_add
func importKVAdd(k unsafe.Pointer, kn int32, delta, ttl int64) int64

//go:wasmimport sluice_v1 kv_cas
func importKVCas(k unsafe.Pointer, kn int32, o unsafe.Pointer, on int32, v unsafe.Pointer, vn int32, ttl int64) int32

//go:wasmimport sluice_v1 topic_name
func importTopicName(id unsafe.Pointer, b unsafe.Pointer, c int32) int32

//go:wasmimport sluice_v1 send_request
func importSendRequest(p unsafe.Pointer, n int32) int64

//go:wasmimport sluice_v1 http_call
func importHTTPCall(p unsafe.Pointer, n int32) int64

//go:wasmimport sluice_v1 result_read
func importResultRead(handle, off int32, b unsafe.Pointer, c int32) int32

//go:wasmimport sluice_v1 result_free
func importResultFree(handle int32)

func at(b []byte) (unsafe.Pointer, int32) { return unsafe.Pointer(unsafe.SliceData(b)), int32(len(b)) }

func text(s string) (unsafe.Pointer, int32) {
	return unsafe.Pointer(unsafe.StringData(s)), int32(len(s))
}

func (gateway) Log(level int32, line string) {
	p, n := text(line)
	importLog(level, p, n)
}

func (gateway) LogEnabled(level int32) bool { return importLogEnabled(level) != 0 }

func (gateway) MetricDefine(kind int32, series []byte) int32 {
	p, n := at(series)
	return importMetricDefine(kind, p, n)
}

func (gateway) MetricAdd(id int32, value float64) { importMetricAdd(id, value) }

func (gateway) AttrSet(key, value string) {
	k, kn := text(key)
	v, vn := text(value)
	importAttrSet(k, kn, v, vn)
}

// fill calls a function that writes into a buffer, again with a larger one if need be.
func fill(size int, f func(b unsafe.Pointer, c int32) int32) ([]byte, int32) {
	for {
		b := make([]byte, size)
		p, c := at(b)
		n := f(p, c)
		if n <= c {
			return b[:max(n, 0)], min(n, 0)
		}
		size = int(n)
	}
}

func (gateway) TraceParent() string {
	b, _ := fill(64, importTraceParent)
	return string(b)
}

func (gateway) KVGet(key []byte) ([]byte, int32) {
	k, kn := at(key)
	return fill(64, func(b unsafe.Pointer, c int32) int32 { return importKVGet(k, kn, b, c) })
}

func (gateway) KVSet(key, value []byte, ttl int64) int32 {
	k, kn := at(key)
	v, vn := at(value)
	return importKVSet(k, kn, v, vn, ttl)
}

func (gateway) KVAdd(key []byte, delta, ttl int64) int64 {
	k, kn := at(key)
	return importKVAdd(k, kn, delta, ttl)
}

func (gateway) KVCas(key, old, value []byte, ttl int64) int32 {
	k, kn := at(key)
	o, on := at(old)
	if old == nil {
		on = -1
	}
	v, vn := at(value)
	return importKVCas(k, kn, o, on, v, vn, ttl)
}

func (gateway) TopicName(id [16]byte) (string, int32) {
	b, code := fill(256, func(b unsafe.Pointer, c int32) int32 { return importTopicName(unsafe.Pointer(&id), b, c) })
	return string(b), code
}

func (gateway) SendRequest(block []byte) ([]byte, int32) { return blocking(block, importSendRequest) }

func (gateway) HTTPCall(block []byte) ([]byte, int32) { return blocking(block, importHTTPCall) }

// blocking calls a function whose result is read by its handle.
func blocking(block []byte, f func(p unsafe.Pointer, n int32) int64) ([]byte, int32) {
	p, n := at(block)
	r := f(p, n)
	if r < 0 {
		return nil, int32(r)
	}
	handle, size := int32(r>>32), int32(r)
	b := make([]byte, size)
	p, n = at(b)
	if got := importResultRead(handle, 0, p, n); got != n {
		return nil, abi.ErrArgument
	}
	importResultFree(handle)
	return b, 0
}
