package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/sluice-gateway/sluice/sdk/examples/internal/jsonspan"
)

// headerName is the record header that says how a record was encrypted: "1;id=KEY", then
// ";bind=key" if the record's key is bound, then ";fields=a,b.c" if not the whole value is
// encrypted.
const headerName = "sluice-enc"

const formatVersion = "1"

// maxFormats is how many headers are remembered: anybody may write one.
const maxFormats = 64

var (
	errPlaintext = errors.New("the value is not encrypted, and config.plaintext is reject")
	errFormat    = errors.New("the header " + headerName + " can't be read: another version, or not written by this plugin")
	fieldName    = regexp.MustCompile(`^[^,;=]+$`)
)

// format is how records are encrypted.
type format struct {
	header []byte
	id     string
	bound  bool
	fields []string
	paths  *jsonspan.Paths // nil: the whole value
	aad    []byte
}

func newFormat(id string, bound bool, fields []string) (*format, error) {
	h := formatVersion + ";id=" + id
	if bound {
		h += ";bind=key"
	}
	f := &format{id: id, bound: bound, fields: fields}
	if len(fields) > 0 {
		for _, name := range fields {
			if !fieldName.MatchString(name) {
				return nil, fmt.Errorf("%q: names with , ; or = can't be encrypted alone", name)
			}
		}
		var err error
		if f.paths, err = jsonspan.Compile(fields); err != nil {
			return nil, err
		}
		h += ";fields=" + strings.Join(fields, ",")
	}
	f.header = []byte(h)
	return f, nil
}

// format reads a header.
func (e *encrypt) format(header []byte) (*format, error) {
	if f := e.formats[string(header)]; f != nil {
		return f, nil
	}
	rest, ok := strings.CutPrefix(string(header), formatVersion+";id=")
	if !ok {
		return nil, errFormat
	}
	rest, list, some := strings.Cut(rest, ";fields=")
	id, bound := strings.CutSuffix(rest, ";bind=key")
	var fields []string
	if some {
		fields = strings.Split(list, ",")
	}
	f, err := newFormat(id, bound, fields)
	if err != nil || string(f.header) != string(header) {
		return nil, errFormat
	}
	if len(e.formats) >= maxFormats {
		clear(e.formats)
	}
	e.formats[string(header)] = f
	return f, nil
}

// bind is the additional data of a value (path -1) or a field: a ciphertext decrypts only where it
// was written, under the header it was written with. The result is valid until the next call.
func (f *format) bind(topic string, key []byte, path int) []byte {
	add := func(s string) {
		f.aad = binary.AppendUvarint(f.aad, uint64(len(s)))
		f.aad = append(f.aad, s...)
	}
	f.aad = f.aad[:0]
	add(string(f.header))
	add(topic)
	if path >= 0 {
		add(f.fields[path])
	} else {
		add("")
	}
	if f.bound {
		if key == nil {
			f.aad = append(f.aad, 0)
		} else {
			f.aad = append(f.aad, 1)
			f.aad = append(f.aad, key...)
		}
	}
	return f.aad
}
