package host

import (
	"context"
	"crypto/rand"
	"math"
	"slices"
	"time"

	"github.com/tetratelabs/wazero/api"

	"github.com/sluice-gateway/sluice/sdk/abi"
)

// functions are those of the contract.
func functions() (out []imported) {
	f64 := api.ValueTypeF64
	for _, f := range []struct {
		name            string
		call            func(i *instance, s []uint64) uint64
		params, results []api.ValueType
	}{
		{abi.ImportLog, log, []api.ValueType{i32, i32, i32}, nil},
		{abi.ImportLogEnabled, logEnabled, []api.ValueType{i32}, []api.ValueType{i32}},
		{abi.ImportMetricDefine, metricDefine, []api.ValueType{i32, i32, i32}, []api.ValueType{i32}},
		{abi.ImportMetricAdd, metricAdd, []api.ValueType{i32, f64}, nil},
		{abi.ImportAttrSet, attrSet, []api.ValueType{i32, i32, i32, i32}, nil},
		{abi.ImportTraceParent, traceParent, []api.ValueType{i32, i32}, []api.ValueType{i32}},
		{abi.ImportKVGet, kvGet, []api.ValueType{i32, i32, i32, i32}, []api.ValueType{i32}},
		{abi.ImportKVSet, kvSet, []api.ValueType{i32, i32, i32, i32, i64}, []api.ValueType{i32}},
		{abi.ImportKVAdd, kvAdd, []api.ValueType{i32, i32, i64, i64}, []api.ValueType{i64}},
		{abi.ImportKVCas, kvCas, []api.ValueType{i32, i32, i32, i32, i32, i32, i64}, []api.ValueType{i32}},
		{abi.ImportTopicName, topicName, []api.ValueType{i32, i32, i32}, []api.ValueType{i32}},
		{abi.ImportNow, now, nil, []api.ValueType{i64}},
		{abi.ImportRandom, random, []api.ValueType{i32, i32}, nil},
		{abi.ImportSendRequest, sendRequest, []api.ValueType{i32, i32}, []api.ValueType{i64}},
		{abi.ImportHTTPCall, httpCall, []api.ValueType{i32, i32}, []api.ValueType{i64}},
		{abi.ImportResultRead, resultRead, []api.ValueType{i32, i32, i32, i32}, []api.ValueType{i32}},
		{abi.ImportResultFree, resultFree, []api.ValueType{i32}, nil},
	} {
		out = append(out, imported{f.name, f.params, f.results, func(ctx context.Context, _ api.Module, s []uint64) {
			if v := f.call(of(ctx), s); len(f.results) > 0 {
				s[0] = v
			}
		}})
	}
	return out
}

// negative is an error number as a result of 32 or 64 bits.
func negative(code int64) uint64 { return uint64(code) }

// bytes32 is memory of the guest, valid during the call; limit bounds it.
func (i *instance) bytes32(at, n uint64, limit int) ([]byte, bool) {
	if uint32(n) > uint32(limit) {
		return nil, false
	}
	i.charge(int(n))
	return i.module.Memory().Read(uint32(at), uint32(n))
}

// fill copies b into a buffer of the guest if all of it fits, and returns its length.
func (i *instance) fill(b []byte, at, capacity uint64) uint64 {
	i.charge(len(b))
	if uint64(len(b)) <= uint64(uint32(capacity)) && !i.module.Memory().Write(uint32(at), b) {
		return negative(abi.ErrArgument)
	}
	return uint64(len(b))
}

func log(i *instance, s []uint64) uint64 {
	if level := int32(s[0]); i.LogEnabled(level) {
		if b, ok := i.bytes32(s[1], min(uint64(uint32(s[2])), maxLine), maxLine); ok {
			i.Log(level, string(b))
		}
	}
	return 0
}

func logEnabled(i *instance, s []uint64) uint64 {
	if i.LogEnabled(int32(s[0])) {
		return 1
	}
	return 0
}

func metricDefine(i *instance, s []uint64) uint64 {
	b, ok := i.bytes32(s[1], s[2], maxLine)
	if !ok {
		return negative(abi.ErrArgument)
	}
	return negative(int64(i.MetricDefine(int32(s[0]), b)))
}

func metricAdd(i *instance, s []uint64) uint64 {
	i.MetricAdd(int32(s[0]), math.Float64frombits(s[1]))
	return 0
}

func attrSet(i *instance, s []uint64) uint64 {
	k, ok := i.bytes32(s[0], s[1], maxKey)
	v, ok2 := i.bytes32(s[2], s[3], maxLine)
	if ok && ok2 {
		i.AttrSet(string(k), string(v))
	}
	return 0
}

func traceParent(i *instance, s []uint64) uint64 {
	return i.fill([]byte(i.TraceParent()), s[0], s[1])
}

func topicName(i *instance, s []uint64) uint64 {
	b, ok := i.bytes32(s[0], 16, 16)
	if !ok {
		return negative(abi.ErrArgument)
	}
	name, code := i.TopicName([16]byte(b))
	if code < 0 {
		return negative(int64(code))
	}
	return i.fill([]byte(name), s[1], s[2])
}

func kvGet(i *instance, s []uint64) uint64 {
	k, ok := i.bytes32(s[0], s[1], maxKey)
	if !ok {
		return negative(abi.ErrArgument)
	}
	v, code := i.KVGet(k)
	if code < 0 {
		return negative(int64(code))
	}
	return i.fill(v, s[2], s[3])
}

func kvSet(i *instance, s []uint64) uint64 {
	k, ok := i.bytes32(s[0], s[1], maxKey)
	if !ok {
		return negative(abi.ErrArgument)
	}
	v, ok := i.bytes32(s[2], s[3], maxValue)
	if !ok {
		return negative(abi.ErrTooLarge)
	}
	return negative(int64(i.KVSet(k, v, int64(s[4]))))
}

func kvAdd(i *instance, s []uint64) uint64 {
	k, ok := i.bytes32(s[0], s[1], maxKey)
	if !ok {
		return negative(abi.ErrArgument)
	}
	return negative(i.KVAdd(k, int64(s[2]), int64(s[3])))
}

func kvCas(i *instance, s []uint64) uint64 {
	k, ok := i.bytes32(s[0], s[1], maxKey)
	if !ok {
		return negative(abi.ErrArgument)
	}
	var old []byte
	if int32(s[3]) >= 0 {
		old, ok = i.bytes32(s[2], s[3], maxValue)
	}
	v, ok2 := i.bytes32(s[4], s[5], maxValue)
	if !ok || !ok2 {
		return negative(abi.ErrTooLarge)
	}
	return negative(int64(i.KVCas(k, old, v, int64(s[6]))))
}

func now(*instance, []uint64) uint64 { return uint64(time.Now().UnixNano()) }

func random(i *instance, s []uint64) uint64 {
	if b, ok := i.module.Memory().Read(uint32(s[0]), uint32(s[1])); ok {
		_, _ = randomness{i}.Read(b)
	}
	return 0
}

// randomness is where random bytes come from, of the contract's function and of WASI's.
type randomness struct{ *instance }

// Read fills p, unless the call is over.
func (r randomness) Read(p []byte) (int, error) {
	for part := range slices.Chunk(p, spendStep) {
		r.charge(len(part))
		_, _ = rand.Read(part)
	}
	return len(p), nil
}

func sendRequest(i *instance, s []uint64) uint64 { return i.outside(i.SendRequest, s, sendLimit) }

func httpCall(i *instance, s []uint64) uint64 { return i.outside(i.HTTPCall, s, httpLimit) }

// outside calls a function that waits, and holds its result.
func (i *instance) outside(f func([]byte) ([]byte, int32), s []uint64, limit int) uint64 {
	b, ok := i.bytes32(s[0], s[1], limit)
	if !ok {
		return negative(abi.ErrArgument)
	}
	out, code := f(b)
	if code == abi.ErrTimeout {
		i.yield() // if it was the call's deadline, there is nobody to return to
	}
	if code < 0 {
		return negative(int64(code))
	}
	return i.hold(out)
}
