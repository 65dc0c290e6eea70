package kafka

import (
	"encoding/binary"
	"fmt"
	"math"
	"reflect"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// form is how a value is encoded.
type form uint8

const (
	fixed     form = iota // size bytes
	text                  // a string behind its length
	blob                  // bytes behind their length
	array                 // elements behind their number
	structure             // the fields of a struct
	optional              // the same behind a byte that says whether it is there
)

// field is one value of a message.
type field struct {
	form   form
	size   int     // of fixed, in bytes
	least  int     // the smallest number of bytes that it takes
	never  bool    // it is never null
	elem   *field  // of an array
	memory int     // what an element of an array, or an optional structure, takes in memory
	in     *layout // of a structure, optional or not
	tag    uint32  // of a tagged field
}

// layout is how a struct is encoded in one version: its fields in their order and then, in flexible
// versions, its tagged fields.
type layout struct {
	fields []field
	tagged []field
	tags   bool
}

// smallest is the smallest number of bytes that a value takes.
func (f *field) smallest(flexible bool) int {
	switch {
	case f.form == fixed:
		return f.size
	case f.form == structure:
		n := 0
		for i := range f.in.fields {
			n += f.in.fields[i].least
		}
		if f.in.tags {
			n++
		}
		return n
	case f.form == optional || flexible:
		return 1
	case f.form == text:
		return 2
	}
	return 4
}

// layouts are those of one API, by version; each is derived when it is first asked for.
type layouts struct{ requests, responses []atomic.Pointer[layout] }

func newLayouts(highest int16) *layouts {
	return &layouts{make([]atomic.Pointer[layout], highest+1), make([]atomic.Pointer[layout], highest+1)}
}

// layout is how requests, or else responses, of a version are encoded.
func (a API) layout(version int16, request bool) *layout {
	kept, fresh := &a.layouts.responses[version], func() kmsgMessage { return kmsg.ResponseForKey(int16(a.Key)) }
	if request {
		kept, fresh = &a.layouts.requests[version], func() kmsgMessage { return kmsg.RequestForKey(int16(a.Key)) }
	}
	if l := kept.Load(); l != nil {
		return l
	}
	l := derive(fresh(), version)
	kept.Store(l)
	return l
}

type kmsgMessage interface {
	SetVersion(v int16)
	IsFlexible() bool
	AppendTo(dst []byte) []byte
}

// prober finds out how kmsg encodes a message by changing one field after the other and looking at
// what becomes of its bytes. kmsg has no description of its messages that could be read, and one
// written by hand would have to follow it.
type prober struct {
	msg      kmsgMessage
	flexible bool
}

func derive(msg kmsgMessage, version int16) *layout {
	if d, ok := msg.(interface{ Default() }); ok {
		d.Default()
	}
	msg.SetVersion(version)
	p := prober{msg, msg.IsFlexible()}
	return p.layout(reflect.ValueOf(msg).Elem(), true)
}

func (p *prober) encoded() []byte { return p.msg.AppendTo(nil) }

// layout derives that of a struct, which is part of the message.
func (p *prober) layout(v reflect.Value, top bool) *layout {
	l := &layout{}
	for i := range v.NumField() {
		f := v.Field(i)
		switch {
		case top && v.Type().Field(i).Name == "Version":
		case f.Type() == reflect.TypeFor[kmsg.Tags]():
			l.tags = p.flexible
		default:
			if found, tagged, ok := p.field(f); ok && tagged {
				l.tagged = append(l.tagged, found)
			} else if ok {
				l.add(found)
			}
		}
	}
	return l
}

// add appends a field; fixed ones next to each other become one.
func (l *layout) add(f field) {
	if n := len(l.fields); n > 0 && f.form == fixed && l.fields[n-1].form == fixed {
		l.fields[n-1].size += f.size
		l.fields[n-1].least += f.size
		return
	}
	l.fields = append(l.fields, f)
}

// field derives one field; ok is false if the version does not have it.
func (p *prober) field(v reflect.Value) (f field, tagged, ok bool) {
	before := reflect.ValueOf(v.Interface())
	defer v.Set(before)
	none, one, two := p.three(v)
	switch {
	case string(none) == string(one):
		return f, false, false
	case len(none) == len(one): // of a fixed size, as its type says
	case v.Kind() == reflect.Pointer && v.Type().Elem().Kind() == reflect.Struct: // it is there or not
	case len(one)-len(none) != len(two)-len(one): // the first one comes with its tag
		tagged = true
		f.tag = tagOf(none, one)
	}
	p.describe(&f, v)
	f.never = f.never && (!tagged || v.Kind() == reflect.String)
	return f, tagged, true
}

// three encodes the message with a field that is absent or has its default, with another value or
// one element, and with one more. The last stays.
func (p *prober) three(v reflect.Value) (none, one, two []byte) {
	if v.Kind() == reflect.Struct {
		return p.threeOf(v)
	}
	if v.Kind() == reflect.Slice || v.Kind() == reflect.Pointer || v.Kind() == reflect.String {
		v.SetZero()
	}
	none = p.encoded()
	grow(v)
	one = p.encoded()
	grow(v)
	return none, one, p.encoded()
}

// threeOf changes the first field of a struct that the version has, so that a tagged struct is
// there while its fields are looked at.
func (p *prober) threeOf(v reflect.Value) (none, one, two []byte) {
	for i := range v.NumField() {
		f := v.Field(i)
		if f.Type() == reflect.TypeFor[kmsg.Tags]() {
			continue
		}
		if none, one, two = p.three(f); string(none) != string(one) {
			return none, one, two
		}
	}
	return none, one, two
}

// grow gives a field another value, or makes it longer by one.
func grow(v reflect.Value) {
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(v.Int() + 1)
	case reflect.Uint16, reflect.Uint32:
		v.SetUint(v.Uint() + 1)
	case reflect.Float64:
		v.SetFloat(math.Float64frombits(math.Float64bits(v.Float()) + 1))
	case reflect.Array:
		v.Index(0).SetUint(v.Index(0).Uint() + 1)
	case reflect.String:
		v.SetString(v.String() + "a")
	case reflect.Slice:
		v.Set(reflect.Append(v, fresh(v.Type().Elem())))
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
			v.Elem().Set(fresh(v.Type().Elem()))
		}
		if v.Type().Elem().Kind() == reflect.String {
			grow(v.Elem())
		}
	default:
		panic(fmt.Sprintf("kmsg has a field of type %s, which nobody expects", v.Type()))
	}
}

// never reports that the version has no null for a field that has one in others, or elsewhere: it
// is encoded as an empty one. Of a tagged field, which is left out in both cases, that can't be
// said.
func (p *prober) never(v reflect.Value) bool {
	defer v.Set(reflect.ValueOf(v.Interface()))
	switch {
	case v.Kind() == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 0, 0))
	case v.Type().Elem().Kind() == reflect.String:
		v.Set(reflect.New(v.Type().Elem()))
	default:
		return false
	}
	empty := p.encoded()
	v.SetZero()
	return string(empty) == string(p.encoded())
}

// fresh is a value with kmsg's defaults.
func fresh(t reflect.Type) reflect.Value {
	p := reflect.New(t)
	if d, ok := p.Interface().(interface{ Default() }); ok {
		d.Default()
	}
	return p.Elem()
}

// tagOf reads the number of a tag that one has and none has not: the first byte that differs is the
// number of tagged fields.
func tagOf(none, one []byte) uint32 {
	i := 0
	for none[i] == one[i] {
		i++
	}
	if none[i] != 0 || one[i] != 1 {
		panic("kmsg has tagged fields in tagged fields, which nobody expects")
	}
	tag, _ := binary.Uvarint(one[i+1:])
	return uint32(tag)
}

// describe fills in how the value of a field is encoded; an array has at least one element.
func (p *prober) describe(f *field, v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		f.form, f.never = text, true
	case reflect.Struct:
		f.form, f.in = structure, p.layout(v, false)
	case reflect.Pointer:
		if f.form, f.never = text, p.never(v); v.Type().Elem().Kind() == reflect.Struct {
			f.form, f.in, f.memory = optional, p.layout(v.Elem(), false), int(v.Type().Elem().Size())
		}
	case reflect.Slice:
		f.never = p.never(v)
		if f.form = blob; v.Type().Elem().Kind() != reflect.Uint8 {
			f.form, f.elem, f.memory = array, &field{}, int(v.Type().Elem().Size())
			p.describe(f.elem, v.Index(0))
		}
	default:
		f.size = int(v.Type().Size())
	}
	f.least = f.smallest(p.flexible)
}
