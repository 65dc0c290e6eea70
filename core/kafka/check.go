package kafka

import (
	"encoding/binary"
	"errors"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Errors of bytes that are not a message.
var (
	errCount = errors.New("a count or length is negative or more than what follows")
	errNull  = errors.New("null where there is none")
	errTags  = errors.New("tagged fields are not in order, or don't end where they say")
	errLarge = errors.New("too large when it is decoded")
)

// Decoding makes a few bytes into a struct. What a message may take beyond its own size, at most:
// no message that means something comes near it.
const (
	decodedFactor = 16
	decodedFree   = 1 << 20
	decodedMost   = 256 << 20
)

// walk goes over an encoded message and believes no count or length before it is compared with the
// bytes that are left. kmsg, which would loop and allocate for what a count says, sees only what a
// walk has passed.
type walk struct {
	b        []byte
	at       int
	request  bool // brokers are forgiven a null array, which some send in place of an empty one
	flexible bool
	memory   int // what is decoded takes, at most
	unknown  bool
	err      error
}

// Check walks the body of a request, and takes no memory. An error is a *MalformedError or an
// *UnsupportedError.
func Check(key kmsg.Key, version int16, body []byte) error {
	_, _, err := check(key, version, true, body)
	return err
}

// check walks a body. It returns where the message ends and whether it has tagged fields that kmsg
// does not know. An error is a *MalformedError or, for a version that the table does not have, an
// *UnsupportedError.
func check(key kmsg.Key, version int16, request bool, body []byte) (end int, unknown bool, err error) {
	api, ok := Lookup(key)
	if !ok || api.layouts == nil || version < 0 || version > api.MaxVersion {
		return 0, false, &UnsupportedError{Key: key, Version: version}
	}
	w := walk{b: body, request: request, flexible: api.flexible(version)}
	w.structure(api.layout(version, request))
	if w.memory > min(decodedFactor*len(body)+decodedFree, len(body)+decodedMost) {
		w.fail(errLarge)
	}
	if w.err != nil {
		return w.at, false, &MalformedError{Key: key, Version: version, Response: !request, Err: w.err}
	}
	return w.at, w.unknown, nil
}

func (w *walk) left() int { return len(w.b) - w.at }

// skip passes over n bytes.
func (w *walk) skip(n int) {
	if n < 0 || n > w.left() {
		w.fail(errShort)
		return
	}
	w.at += n
}

func (w *walk) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

func (w *walk) uvarint() int {
	v, rest, err := uvarint(w.b[w.at:])
	if err != nil {
		w.fail(err)
		return 0
	}
	w.at = len(w.b) - len(rest)
	return int(v)
}

// length reads the length, of width bytes or compact, of a value of which each part takes at least
// least bytes; null is -1.
func (w *walk) length(width, least int) int {
	n := -1
	switch at := w.at; {
	case w.flexible:
		n += w.uvarint()
	case width > w.left():
		w.fail(errShort)
	case width == 2:
		w.at += 2
		n = int(int16(binary.BigEndian.Uint16(w.b[at:])))
	default:
		w.at += 4
		n = int(int32(binary.BigEndian.Uint32(w.b[at:])))
	}
	if n < -1 || n > w.left()/max(least, 1) {
		w.fail(errCount)
	}
	if w.err != nil {
		return 0
	}
	return n
}

func (w *walk) structure(l *layout) {
	for i := range l.fields {
		if w.err != nil {
			return
		}
		w.value(&l.fields[i])
	}
	if l.tags {
		w.tags(l)
	}
}

func (w *walk) value(f *field) {
	switch f.form {
	case fixed:
		w.skip(f.size)
	case text:
		n := w.length(2, 1)
		if n < 0 && f.never {
			w.fail(errNull)
		}
		w.memory += max(n, 0)
		w.skip(max(n, 0))
	case blob:
		n := w.length(4, 1)
		if n < 0 && f.never && w.request {
			w.fail(errNull)
		}
		w.skip(max(n, 0))
	case array:
		w.array(f)
	case structure:
		w.structure(f.in)
	case optional:
		w.skip(1)
		if w.err == nil && int8(w.b[w.at-1]) != -1 {
			w.memory += f.memory
			w.structure(f.in)
		}
	}
}

func (w *walk) array(f *field) {
	n := w.length(4, f.elem.least)
	if n < 0 && f.never && w.request {
		w.fail(errNull)
	}
	n = max(n, 0)
	w.memory += n * f.memory
	if f.elem.form == fixed {
		w.skip(n * f.elem.size)
		return
	}
	for ; n > 0 && w.err == nil; n-- {
		w.value(f.elem)
	}
}

// tagMemory is about what a tagged field takes that kmsg does not know: it is put into a map.
const tagMemory = 64

// tags walks the tagged fields of a struct (KIP-482), which come in ascending order.
func (w *walk) tags(l *layout) {
	if w.err != nil {
		return
	}
	last := -1
	for n := w.uvarint(); n > 0 && w.err == nil; n-- {
		tag, size := w.uvarint(), w.uvarint()
		switch {
		case w.err != nil:
			return
		case size > w.left() || n-1 > (w.left()-size)/2:
			w.fail(errCount)
			return
		case tag <= last:
			w.fail(errTags)
			return
		}
		last = tag
		f := l.known(tag)
		if f == nil {
			w.unknown = true
			w.memory += tagMemory
			w.skip(size)
			continue
		}
		end := w.at + size
		in := walk{b: w.b[:end], at: w.at, request: w.request, flexible: w.flexible}
		in.value(f)
		if in.err == nil && in.at != end {
			in.err = errTags
		}
		w.at, w.memory, w.unknown, w.err = end, w.memory+in.memory, w.unknown || in.unknown, in.err
	}
}

// known is the tagged field with a number, nil if kmsg does not know it.
func (l *layout) known(tag int) *field {
	for i := range l.tagged {
		if int(l.tagged[i].tag) == tag {
			return &l.tagged[i]
		}
	}
	return nil
}
