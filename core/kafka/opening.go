package kafka

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// opening is what responses of a version begin with, which is read without looking at the rest.
type opening struct {
	throttle int  // where stands how long the client is to wait; -1: nowhere, or behind something of any length
	code     int  // and the code of the whole response
	whole    bool // there are no others
}

// openings are those of each API and version, found out like layouts: by looking at what becomes of
// a field.
var openings = sync.OnceValue(func() *[kmsg.MaxKey + 1][]opening {
	out := &[kmsg.MaxKey + 1][]opening{}
	for _, a := range table {
		for v := range a.MaxVersion + 1 {
			out[a.Key] = append(out[a.Key], openingOf(a.Key, v))
		}
	}
	return out
})

func openingOf(key kmsg.Key, version int16) opening {
	o := opening{throttle: -1, code: -1}
	at := func(field string, value int64, as []byte) int {
		msg := kmsg.ResponseForKey(int16(key))
		msg.SetVersion(version)
		f := reflect.ValueOf(msg).Elem().FieldByName(field)
		if !f.IsValid() || !f.CanInt() {
			return -1
		}
		f.SetInt(value)
		return bytes.Index(msg.AppendTo(nil), as)
	}
	const millis, code = 0x41424344, 0x5152
	t := at("ThrottleMillis", millis, binary.BigEndian.AppendUint32(nil, millis))
	c := at("ErrorCode", code, binary.BigEndian.AppendUint16(nil, code))
	if t == 0 || t == 2 && c == 0 {
		o.throttle = t
	}
	if c == 0 || c == 4 && t == 0 {
		o.code, o.whole = c, !holdsCodes(reflect.TypeOf(kmsg.ResponseForKey(int16(key))).Elem())
	}
	return o
}

// holdsCodes reports a struct with lists of structs that have codes.
func holdsCodes(t reflect.Type) bool {
	for i := range t.NumField() {
		f := t.Field(i).Type
		if f.Kind() != reflect.Slice || f.Elem().Kind() != reflect.Struct {
			continue
		}
		if _, ok := f.Elem().FieldByName("ErrorCode"); ok || holdsCodes(f.Elem()) {
			return true
		}
	}
	return false
}

func (b *ResponseBody) opening() opening {
	if list := openings()[b.key]; int(b.version) < len(list) {
		return list[b.version]
	}
	return opening{throttle: -1, code: -1}
}

// Throttled is for how long a broker has the client wait, of a body as it came in.
func (b *ResponseBody) Throttled() time.Duration {
	var millis int32
	switch o := b.opening(); {
	case o.throttle >= 0 && len(b.seen.raw) >= o.throttle+4:
		millis = int32(binary.BigEndian.Uint32(b.seen.raw[o.throttle:]))
	case b.key == kmsg.Produce:
		millis = b.View().ThrottleMillis
	}
	return time.Duration(millis) * time.Millisecond
}

// Outcome is ErrorCode of a body as it came in: most responses say how a request has ended where
// they begin.
func (b *ResponseBody) Outcome() Code {
	if o := b.opening(); o.code >= 0 && len(b.seen.raw) >= o.code+2 {
		if code := Code(binary.BigEndian.Uint16(b.seen.raw[o.code:])); code != 0 || o.whole {
			return code
		}
	}
	return b.ErrorCode()
}
