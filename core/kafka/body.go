package kafka

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// RequestBody is the body of a request, decoded when somebody asks. An untouched body leaves as the
// bytes that were received.
type RequestBody struct {
	key                   kmsg.Key
	version               int16
	edited, viewed, sound bool
	checked               bool // raw has been found to be a message
	part                  bool // only the partitions that the view shows are left
	source
	msg  kmsg.Request
	seen *RequestView // once it is viewed, and memory for another time
}

// Reset makes b a body of other bytes. Views of what it was are not valid any more: their memory is
// used again.
func (b *RequestBody) Reset(key kmsg.Key, version int16, raw []byte) {
	b.patches.reset()
	*b = RequestBody{key: key, version: version, source: source{raw, b.patches}, seen: b.seen}
	if b.seen != nil {
		b.seen.reset()
	}
}

// mostKept is how many partitions a view has whose memory is used again.
const mostKept = 64

// usedAgain is the memory of a list, empty and without what it refers to.
func usedAgain[T any](list []T) []T {
	if cap(list) > mostKept {
		return nil
	}
	clear(list)
	return list[:0]
}

// NewRequestBody wraps the bytes of a body; they must not change.
func NewRequestBody(key kmsg.Key, version int16, raw []byte) *RequestBody {
	return &RequestBody{key: key, version: version, source: source{raw: raw}}
}

// RequestBodyOf wraps a message; its version is msg's.
func RequestBodyOf(msg kmsg.Request) *RequestBody {
	return &RequestBody{key: kmsg.Key(msg.Key()), version: msg.GetVersion(), msg: msg, edited: true}
}

// Key is the API of the body.
func (b *RequestBody) Key() kmsg.Key { return b.key }

// Version is the version that the body is encoded in.
func (b *RequestBody) Version() int16 { return b.version }

// Peek decodes the body once. The message must not be changed; its byte slices alias the body. An
// error is a *MalformedError.
func (b *RequestBody) Peek() (kmsg.Request, error) {
	if b.msg == nil {
		msg := kmsg.RequestForKey(int16(b.key))
		if msg == nil {
			return nil, &UnsupportedError{Key: b.key, Version: b.version}
		}
		msg.SetVersion(b.version)
		if err := decode(b.key, b.version, true, b.flat(), b.checked, msg.ReadFrom); err != nil {
			return nil, err
		}
		b.msg = msg
	}
	return b.msg, nil
}

// Edit decodes the body for changes; it will be encoded from the message.
func (b *RequestBody) Edit() (kmsg.Request, error) {
	msg, err := b.Peek()
	if err == nil {
		b.edited = true
	}
	return msg, err
}

// Clone returns a body of its own with the same content, to be changed for a target while the
// original stays as received. Byte slices stay shared.
func (b *RequestBody) Clone() *RequestBody {
	if !b.edited {
		return NewRequestBody(b.key, b.version, b.flat())
	}
	return NewRequestBody(b.key, b.version, b.msg.AppendTo(nil))
}

// Bytes is the body, encoded. It must not be changed.
func (b *RequestBody) Bytes() []byte {
	if b.edited {
		return b.msg.AppendTo(nil)
	}
	return b.flat()
}

// AppendTo writes the body out.
func (b *RequestBody) AppendTo(o *Out) {
	if b.edited {
		o.message(b.msg, len(b.raw))
		return
	}
	b.appendFrom(o, 0)
}

// AppendAcknowledged writes the body of a Produce out with acks=1 in place of acks=0: whoever sends
// it learns what comes of it.
func (b *RequestBody) AppendAcknowledged(o *Out) {
	const one = 1
	acks := b.View().acks
	b.appendRange(o, 0, acks)
	o.Append([]byte{0, one})
	b.appendFrom(o, acks+2)
}

// appendFrom writes out what stands at a place of raw, before any topic, and behind it, as it is
// changed.
func (b *RequestBody) appendFrom(o *Out, at int32) {
	if b.part {
		appendOnly(o, &b.source, b.flexible(), at, b.seen.topics, b.seen.rest, b.seen.Partitions)
		return
	}
	b.appendRange(o, at, int32(len(b.raw)))
}

// flat is the body in one piece.
func (b *RequestBody) flat() []byte {
	if !b.part {
		return b.source.flat()
	}
	var o Out
	b.appendFrom(&o, 0)
	return o.Bytes()
}

// ResponseBody is the body of a response, decoded when somebody asks.
type ResponseBody struct {
	key     kmsg.Key
	version int16
	msg     kmsg.Response
	edited  bool
	checked bool // the bytes have been found to be a message

	viewed, sound bool
	part          bool         // only the partitions that the view shows are left
	seen          ResponseView // the bytes, and once it is viewed their view
}

// Reset makes b a body of other bytes.
func (b *ResponseBody) Reset(key kmsg.Key, version int16, raw []byte) {
	b.seen.patches.reset()
	kept := b.seen.Partitions
	*b = ResponseBody{key: key, version: version, seen: ResponseView{source: source{raw, b.seen.patches}}}
	b.seen.Partitions = usedAgain(kept)
}

// NewResponseBody wraps the bytes of a body; it owns them.
func NewResponseBody(key kmsg.Key, version int16, raw []byte) *ResponseBody {
	return &ResponseBody{key: key, version: version, seen: ResponseView{source: source{raw: raw}}}
}

// ResponseBodyOf wraps a message; its version is msg's.
func ResponseBodyOf(msg kmsg.Response) *ResponseBody {
	return &ResponseBody{key: kmsg.Key(msg.Key()), version: msg.GetVersion(), msg: msg, edited: true}
}

// Key is the API of the body.
func (b *ResponseBody) Key() kmsg.Key { return b.key }

// Version is the version that the body is encoded in.
func (b *ResponseBody) Version() int16 { return b.version }

// Peek decodes the body, once as long as it is not changed in place. The message must not be
// changed. An error is a *MalformedError.
func (b *ResponseBody) Peek() (kmsg.Response, error) {
	if b.seen.changed && !b.edited { // since it was decoded
		b.msg, b.seen.changed = nil, false
	}
	if b.msg == nil {
		msg := kmsg.ResponseForKey(int16(b.key))
		if msg == nil {
			return nil, &UnsupportedError{Key: b.key, Version: b.version}
		}
		msg.SetVersion(b.version)
		if err := decode(b.key, b.version, false, b.flat(), b.checked, msg.ReadFrom); err != nil {
			return nil, err
		}
		b.msg = msg
	}
	return b.msg, nil
}

// Edit decodes the body for changes; it will be encoded from the message.
func (b *ResponseBody) Edit() (kmsg.Response, error) {
	msg, err := b.Peek()
	if err == nil {
		b.edited = true
	}
	return msg, err
}

// Bytes is the body, encoded. It must not be changed.
func (b *ResponseBody) Bytes() []byte {
	if !b.edited {
		return b.flat()
	}
	if f, ok := b.msg.(*kmsg.FetchResponse); ok {
		neverNull(f)
	}
	return b.msg.AppendTo(nil)
}

// AppendTo writes the body out.
func (b *ResponseBody) AppendTo(o *Out) {
	if !b.edited {
		b.appendBytes(o)
		return
	}
	if f, ok := b.msg.(*kmsg.FetchResponse); ok {
		neverNull(f)
	}
	o.message(b.msg, len(b.seen.raw))
}

// appendBytes writes the bytes of the body out, as they are changed.
func (b *ResponseBody) appendBytes(o *Out) {
	h := &b.seen
	if b.part {
		appendOnly(o, &h.source, h.flexible, 0, h.topics, h.rest, h.Partitions)
		return
	}
	h.appendRange(o, 0, int32(len(h.raw)))
}

// flat is the body in one piece.
func (b *ResponseBody) flat() []byte {
	if !b.part && len(b.seen.patches.list) == 0 {
		return b.seen.raw
	}
	var o Out
	b.appendBytes(&o)
	return o.Bytes()
}

// neverNull makes missing records empty: librdkafka drops a response that has null ones.
func neverNull(f *kmsg.FetchResponse) {
	_ = eachRecords(f, func(records *[]byte) error {
		if *records == nil {
			*records = []byte{}
		}
		return nil
	})
}

// decode is the one place where kmsg reads: from bytes that a walk has found to be a message. It
// guards against versions above the table and against panics of kmsg.
func decode(key kmsg.Key, version int16, request bool, body []byte, checked bool, read func([]byte) error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &MalformedError{Key: key, Version: version, Response: !request, Err: fmt.Errorf("%v", v)}
		}
	}()
	if !checked {
		if _, _, err := check(key, version, request, body); err != nil {
			return err
		}
	}
	if err := read(body); err != nil {
		return &MalformedError{Key: key, Version: version, Response: !request, Err: err}
	}
	return nil
}
