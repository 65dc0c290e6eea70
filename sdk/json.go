package sdk

import (
	"slices"
	"strconv"
)

// What the SDK itself writes as JSON is written here, and not by encoding/json: that is a quarter
// of a small module, with what it needs, and modules take time and memory where they are loaded.

// object is a JSON object in the making. Fields without a value are left out.
type object []byte

func (o object) field(name string) object {
	if len(o) > 0 {
		o = append(o, ',')
	}
	return append(appendQuoted(o, name), ':')
}

func (o object) text(name, value string) object {
	if value == "" {
		return o
	}
	return appendQuoted(o.field(name), value)
}

func (o object) number(name string, value int64) object {
	if value == 0 {
		return o
	}
	return strconv.AppendInt(o.field(name), value, 10)
}

func (o object) yes(name string, value bool) object {
	if !value {
		return o
	}
	return append(o.field(name), "true"...)
}

func (o object) texts(name string, list []string) object {
	return o.list(name, len(list), func(out object, i int) object { return appendQuoted(out, list[i]) })
}

// list is a list of n elements, each of which add appends.
func (o object) list(name string, n int, add func(out object, i int) object) object {
	if n == 0 {
		return o
	}
	o = append(o.field(name), '[')
	for i := range n {
		if i > 0 {
			o = append(o, ',')
		}
		o = add(o, i)
	}
	return append(o, ']')
}

// pairs is an object of texts, by ascending name.
func (o object) pairs(name string, pairs map[string]string) object {
	if len(pairs) == 0 {
		return o
	}
	names := make([]string, 0, len(pairs))
	for n := range pairs {
		names = append(names, n)
	}
	slices.Sort(names)
	var in object
	for _, n := range names {
		in = appendQuoted(in.field(n), pairs[n])
	}
	return append(o.field(name), in.closed()...)
}

func (o object) closed() []byte {
	return append(slices.Insert(o, 0, '{'), '}')
}

// appendQuoted appends a string. What is not UTF-8 becomes U+FFFD.
func appendQuoted(out object, s string) object {
	const digits = "0123456789abcdef"
	out = append(out, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			out = append(out, '\\', byte(r))
		case r < 0x20:
			out = append(out, '\\', 'u', '0', '0', digits[r>>4], digits[r&15])
		default:
			out = append(out, string(r)...)
		}
	}
	return append(out, '"')
}
