package kafka

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func out(f func(*Out)) []byte {
	var o Out
	f(&o)
	return o.Bytes()
}

// TestBodiesLeaveAsTheyCame, whether somebody has looked at them or not, and edited ones as kmsg
// encodes them: every API and version.
func TestBodiesLeaveAsTheyCame(t *testing.T) {
	for _, api := range APIs() {
		if kmsg.RequestForKey(int16(api.Key)) == nil {
			continue
		}
		for version := range api.MaxVersion + 1 {
			raw := append(filled(api.Key, version).AppendTo(nil), 1, 2, 3) // bytes that nobody knows stay too
			b := NewRequestBody(api.Key, version, raw)
			if !bytes.Equal(out(b.AppendTo), raw) {
				t.Errorf("%s version %d changed without a look", api.Name, version)
			}
			msg, err := b.Peek()
			if err != nil {
				t.Errorf("%s version %d: %v", api.Name, version, err)
				continue
			}
			if !bytes.Equal(out(b.AppendTo), raw) {
				t.Errorf("%s version %d changed after a look", api.Name, version)
			}
			c := b.Clone()
			if _, err := c.Edit(); err != nil {
				t.Error(err)
			}
			if !bytes.Equal(out(c.AppendTo), msg.AppendTo(nil)) || !bytes.Equal(out(b.AppendTo), raw) {
				t.Errorf("%s version %d: an edit of a clone", api.Name, version)
			}
		}
	}
}

func TestVersionsAboveTheTableAreRefused(t *testing.T) {
	var unsupported *UnsupportedError
	if _, err := NewRequestBody(kmsg.Produce, 99, nil).Peek(); !errors.As(err, &unsupported) {
		t.Errorf("kmsg reads any version: %v", err)
	}
	var malformed *MalformedError
	if _, err := NewRequestBody(kmsg.Produce, 9, []byte{1}).Peek(); !errors.As(err, &malformed) {
		t.Errorf("%v", err)
	}
}

func TestLargePiecesAreNotCopied(t *testing.T) {
	big := bytes.Repeat([]byte{7}, SpanMin)
	var o Out
	o.BeginFrame()
	o.Append([]byte("head"))
	o.Span(big)
	o.Append([]byte("tail"))
	o.EndFrame()
	if len(o.buf) != 12 || o.Len() != 12+SpanMin {
		t.Errorf("%d bytes copied of %d", len(o.buf), o.Len())
	}
	var w bytes.Buffer
	if _, err := o.WriteTo(&w); err != nil || !bytes.Equal(w.Bytes(), o.Bytes()) {
		t.Error("WriteTo and Bytes differ")
	}
	if n := binary.BigEndian.Uint32(w.Bytes()); int(n) != w.Len()-4 || !bytes.HasSuffix(w.Bytes(), []byte("tail")) {
		t.Errorf("size %d of %d bytes", n, w.Len())
	}
	o.Reset()
	if o.Len() != 0 || len(o.Bytes()) != 0 {
		t.Error("reset")
	}
}

func TestReadFrameBounds(t *testing.T) {
	var size *FrameSizeError
	for _, head := range [][]byte{{0xff, 0xff, 0xff, 0xff}, {0, 0, 4, 1}, {0x16, 3, 1, 2}} {
		if _, err := ReadFrame(bytes.NewReader(head), 1024, nil); !errors.As(err, &size) {
			t.Errorf("%x: %v", head, err)
		}
	}
	if b, err := ReadFrame(bytes.NewReader([]byte{0, 0, 0, 2, 8, 9}), 1024, nil); err != nil || !bytes.Equal(b, []byte{8, 9}) {
		t.Errorf("%x %v", b, err)
	}
}

// FuzzRequest: a header and body of any bytes never panic, and a body that was looked at leaves as
// it came.
func FuzzRequest(f *testing.F) {
	for _, api := range APIs() {
		if r := kmsg.RequestForKey(int16(api.Key)); r != nil {
			f.Add(filled(api.Key, api.MaxVersion).AppendTo(AppendRequestHeader(nil, Header{Key: api.Key, Version: api.MaxVersion, ClientID: "c", HasClientID: true})))
		}
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		h, body, err := ParseHeader(frame, "")
		if err != nil {
			return
		}
		b := NewRequestBody(h.Key, h.Version, body)
		if _, err := b.Peek(); err != nil {
			return
		}
		CoordinatorKey(b)
		if !bytes.Equal(out(b.AppendTo), body) {
			t.Fatal("a look changed the body")
		}
		if _, err := ErrorResponse(b, 1, ""); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzResponse: a response of any bytes never panics.
func FuzzResponse(f *testing.F) {
	f.Add(int16(1), int16(12), []byte{0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, key, version int16, frame []byte) {
		_, body, err := ParseResponse(kmsg.Key(key), version, frame)
		if err != nil {
			return
		}
		b := NewResponseBody(kmsg.Key(key), version, body)
		if _, err := b.Peek(); err == nil && !bytes.Equal(out(b.AppendTo), body) {
			t.Fatal("a look changed the body")
		}
	})
}
