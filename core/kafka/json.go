package kafka

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Messages as JSON, for those who have no code for Kafka's protocol: an object with the fields that
// kmsg has, in every version the same. Bytes and texts are strings or, if they are no UTF-8,
// {"hex": "..."}; ids are 32 digits in hex. Tagged fields that kmsg does not know are left out.

// JSON is the request as JSON; with all set, fields with Kafka's default stand in it too.
func (b *RequestBody) JSON(all bool) ([]byte, error) {
	msg, err := b.Peek()
	if err != nil {
		return nil, err
	}
	return appendJSON(nil, reflect.ValueOf(msg).Elem(), all), nil
}

// JSON is the response as JSON; with all set, fields with Kafka's default stand in it too.
func (b *ResponseBody) JSON(all bool) ([]byte, error) {
	msg, err := b.Peek()
	if err != nil {
		return nil, err
	}
	return appendJSON(nil, reflect.ValueOf(msg).Elem(), all), nil
}

// RequestOfJSON makes a request; what is left out has Kafka's default.
func RequestOfJSON(key kmsg.Key, version int16, text []byte) (*RequestBody, error) {
	msg := kmsg.RequestForKey(int16(key))
	if msg == nil {
		return nil, &UnsupportedError{Key: key, Version: version}
	}
	if err := readJSON(text, msg); err != nil {
		return nil, err
	}
	msg.SetVersion(version)
	return NewRequestBody(key, version, msg.AppendTo([]byte{})), nil
}

// ResponseOfJSON makes a response; what is left out has Kafka's default.
func ResponseOfJSON(key kmsg.Key, version int16, text []byte) (*ResponseBody, error) {
	msg := kmsg.ResponseForKey(int16(key))
	if msg == nil {
		return nil, &UnsupportedError{Key: key, Version: version}
	}
	if err := readJSON(text, msg); err != nil {
		return nil, err
	}
	msg.SetVersion(version)
	return NewResponseBody(key, version, msg.AppendTo([]byte{})), nil
}

// shownInJSON reports a field of a message that is Kafka's.
func shownInJSON(f reflect.StructField) bool { return f.Name != "Version" && f.Name != "UnknownTags" }

func appendJSON(out []byte, v reflect.Value, all bool) []byte {
	switch {
	case (v.Kind() == reflect.Pointer || v.Kind() == reflect.Slice) && v.IsNil():
		return append(out, "null"...)
	case v.Kind() == reflect.Pointer:
		return appendJSON(out, v.Elem(), all)
	case v.Kind() == reflect.Struct:
		return appendFields(out, v, all)
	case v.Kind() == reflect.String:
		return appendText(out, []byte(v.String()))
	case isBytes(v.Type()):
		return appendText(out, v.Bytes())
	case v.Kind() == reflect.Array: // an id
		out = append(out, '"')
		for i := range v.Len() {
			out = hex.AppendEncode(out, []byte{byte(v.Index(i).Uint())})
		}
		return append(out, '"')
	case v.Kind() == reflect.Slice:
		out = append(out, '[')
		for i := range v.Len() {
			if i > 0 {
				out = append(out, ',')
			}
			out = appendJSON(out, v.Index(i), all)
		}
		return append(out, ']')
	case v.Kind() == reflect.Bool:
		return strconv.AppendBool(out, v.Bool())
	case v.CanInt():
		return strconv.AppendInt(out, v.Int(), 10)
	case v.CanUint():
		return strconv.AppendUint(out, v.Uint(), 10)
	}
	if f := v.Float(); !math.IsNaN(f) && !math.IsInf(f, 0) {
		return strconv.AppendFloat(out, f, 'g', -1, 64)
	}
	return append(out, "null"...) // JSON has no such number
}

func appendFields(out []byte, v reflect.Value, all bool) []byte {
	standard := reflect.New(v.Type())
	setDefault(standard)
	out = append(out, '{')
	first := true
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if !shownInJSON(f) || !all && reflect.DeepEqual(v.Field(i).Interface(), standard.Elem().Field(i).Interface()) {
			continue
		}
		if !first {
			out = append(out, ',')
		}
		first = false
		out = append(strconv.AppendQuote(out, f.Name), ':')
		out = appendJSON(out, v.Field(i), all)
	}
	return append(out, '}')
}

func appendText(out, b []byte) []byte {
	if !utf8.Valid(b) {
		return append(hex.AppendEncode(append(out, `{"hex":"`...), b), `"}`...)
	}
	text, _ := json.Marshal(string(b)) // which is valid
	return append(out, text...)
}

func isBytes(t reflect.Type) bool {
	return t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8
}

func setDefault(p reflect.Value) {
	if d, ok := p.Interface().(interface{ Default() }); ok {
		d.Default()
	}
}

func readJSON(text []byte, msg any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var tree any
	if err := d.Decode(&tree); err != nil {
		return err
	}
	if d.More() {
		return errors.New("there is more behind the message")
	}
	p := reflect.ValueOf(msg)
	setDefault(p)
	return setJSON(p.Elem(), tree, "")
}

// wrong says what is wrong with a value, and where it stands.
func wrong(path, format string, args ...any) error {
	return fmt.Errorf("%s: %s", strings.TrimPrefix(path, "."), fmt.Sprintf(format, args...))
}

func setJSON(v reflect.Value, tree any, path string) error {
	if tree == nil {
		switch v.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.String:
			v.SetZero()
			return nil
		case reflect.Float64:
			v.SetFloat(math.NaN())
			return nil
		}
		return wrong(path, "null where there is none")
	}
	switch {
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		setDefault(v)
		return setJSON(v.Elem(), tree, path)
	case v.Kind() == reflect.Struct:
		return setFields(v, tree, path)
	case v.Kind() == reflect.String, isBytes(v.Type()), v.Kind() == reflect.Array:
		return setText(v, tree, path)
	case v.Kind() == reflect.Slice:
		list, ok := tree.([]any)
		if !ok {
			return wrong(path, "want a list")
		}
		out := reflect.MakeSlice(v.Type(), len(list), len(list))
		for i := range list {
			setDefault(out.Index(i).Addr())
			if err := setJSON(out.Index(i), list[i], fmt.Sprintf("%s[%d]", path, i)); err != nil {
				return err
			}
		}
		v.Set(out)
		return nil
	case v.Kind() == reflect.Bool:
		b, ok := tree.(bool)
		if !ok {
			return wrong(path, "want true or false")
		}
		v.SetBool(b)
		return nil
	}
	return setNumber(v, tree, path)
}

func setFields(v reflect.Value, tree any, path string) error {
	object, ok := tree.(map[string]any)
	if !ok {
		return wrong(path, "want an object")
	}
	for name, value := range object {
		f, ok := v.Type().FieldByName(name)
		if !ok || !shownInJSON(f) {
			var names []string
			for i := range v.NumField() {
				if f := v.Type().Field(i); shownInJSON(f) {
					names = append(names, f.Name)
				}
			}
			return wrong(path+"."+name, "there is no such field, but %s", strings.Join(names, ", "))
		}
		if err := setJSON(v.FieldByIndex(f.Index), value, path+"."+name); err != nil {
			return err
		}
	}
	return nil
}

func setText(v reflect.Value, tree any, path string) error {
	var b []byte
	var err error
	switch x := tree.(type) {
	case string:
		if b = []byte(x); v.Kind() == reflect.Array {
			if b, err = hex.DecodeString(x); err != nil || len(b) != v.Len() {
				return wrong(path, "want %d bytes in hex", v.Len())
			}
			reflect.Copy(v, reflect.ValueOf(b))
			return nil
		}
	case map[string]any:
		if h, ok := x["hex"].(string); ok && len(x) == 1 {
			b, err = hex.DecodeString(strings.Join(strings.Fields(h), ""))
		} else if s, ok := x["base64"].(string); ok && len(x) == 1 {
			b, err = base64.StdEncoding.DecodeString(s)
		} else {
			return wrong(path, `want a text, {"hex": ...} or {"base64": ...}`)
		}
	default:
		return wrong(path, "want a text")
	}
	switch {
	case err != nil:
		return wrong(path, "%v", err)
	case v.Kind() == reflect.String:
		v.SetString(string(b))
	case v.Kind() == reflect.Array:
		return wrong(path, "want %d bytes in hex", v.Len())
	default:
		v.SetBytes(b)
	}
	return nil
}

func setNumber(v reflect.Value, tree any, path string) error {
	n, ok := tree.(json.Number)
	var err error
	switch {
	case !ok:
	case v.CanInt():
		var i int64
		if i, err = strconv.ParseInt(string(n), 10, v.Type().Bits()); err == nil {
			v.SetInt(i)
			return nil
		}
	case v.CanUint():
		var u uint64
		if u, err = strconv.ParseUint(string(n), 10, v.Type().Bits()); err == nil {
			v.SetUint(u)
			return nil
		}
	default:
		var f float64
		if f, err = n.Float64(); err == nil {
			v.SetFloat(f)
			return nil
		}
	}
	return wrong(path, "want a number of type %s", v.Kind())
}
