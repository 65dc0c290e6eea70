package main

import (
	"encoding/base64"

	"github.com/sluice-gateway/sluice/sdk"
)

// seal encrypts one record.
func (e *encrypt) seal(topic string, rec sdk.Record) error {
	value, f := rec.Value(), e.whole
	if e.fields != nil {
		var err error
		if e.spans, err = e.fields.paths.Find(value, e.spans[:0]); err == nil {
			f = e.fields
		}
	}
	var err error
	if f == e.whole {
		e.out, err = e.ring.seal(e.out[:0], value, f.bind(topic, rec.Key(), -1))
	} else {
		err = e.replace(value, func(text []byte, path int) ([]byte, error) {
			sealed, err := e.ring.seal(nil, text, f.bind(topic, rec.Key(), path))
			return quote(sealed), err
		})
	}
	if err != nil {
		return err
	}
	rec.SetValue(e.out)
	rec.AddHeader(headerName, f.header)
	return nil
}

// open decrypts one record.
func (e *encrypt) open(topic string, rec sdk.Record) error {
	header, ok := rec.Header(headerName)
	if !ok {
		if e.Plaintext == "reject" {
			return errPlaintext
		}
		return nil
	}
	f, err := e.format(header)
	if err != nil {
		return err
	}
	value := rec.Value()
	if f.paths == nil {
		e.out, err = e.ring.open(e.out[:0], f.id, value, f.bind(topic, rec.Key(), -1))
	} else {
		if e.spans, err = f.paths.Find(value, e.spans[:0]); err != nil {
			return err
		}
		err = e.replace(value, func(text []byte, path int) ([]byte, error) {
			sealed, err := unquote(text)
			if err != nil {
				return nil, err
			}
			e.one, err = e.ring.open(e.one[:0], f.id, sealed, f.bind(topic, rec.Key(), path))
			return e.one, err
		})
	}
	if err != nil {
		return err
	}
	rec.RemoveHeaders(headerName)
	rec.SetValue(e.out)
	return nil
}

// replace writes value to e.out with other texts in the places of e.spans.
func (e *encrypt) replace(value []byte, by func(text []byte, path int) ([]byte, error)) error {
	e.out = e.out[:0]
	at := 0
	for _, s := range e.spans {
		text, err := by(value[s.Start:s.End], s.Path)
		if err != nil {
			return err
		}
		e.out = append(append(e.out, value[at:s.Start]...), text...)
		at = s.End
	}
	e.out = append(e.out, value[at:]...)
	return nil
}

func quote(sealed []byte) []byte {
	return append(base64.StdEncoding.AppendEncode([]byte{'"'}, sealed), '"')
}

func unquote(text []byte) ([]byte, error) {
	if text[0] != '"' {
		return nil, errTampered
	}
	sealed, err := base64.StdEncoding.Strict().AppendDecode(nil, text[1:len(text)-1])
	if err != nil {
		return nil, errTampered
	}
	return sealed, nil
}
