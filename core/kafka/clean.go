package kafka

import (
	"reflect"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// passesTags reports that tagged fields (KIP-482) that kmsg does not know may pass. A message about
// topics, groups, offsets or brokers may have more of them in a field of the future, which nobody
// here could translate: a client would see an address of a cluster, or a broker a name that only
// clients know.
func (a API) passesTags() bool { return a.Carries == 0 }

// Clean checks that the body is a message, and drops the tagged fields that nobody here knows. It
// belongs before anything else that is done with the body. An error is a *MalformedError or an
// *UnsupportedError.
func (b *RequestBody) Clean() error {
	h := b.View()
	if b.edited || b.checked {
		return nil
	}
	_, unknown, err := check(b.key, b.version, true, b.raw)
	if err == nil && h != nil && !b.sound {
		err = &MalformedError{Key: b.key, Version: b.version, Err: errShort}
	}
	if err != nil {
		return err
	}
	b.checked = true
	if api, _ := Lookup(b.key); !unknown || api.passesTags() {
		return nil
	}
	msg, err := b.Edit()
	if err == nil {
		dropTags(reflect.ValueOf(msg).Elem())
	}
	return err
}

// Clean checks that the body is a message, and drops the tagged fields that nobody here knows and
// what stands behind the message. It belongs before anything else that is done with the body. An
// error is a *MalformedError or an *UnsupportedError.
func (b *ResponseBody) Clean() error {
	h := b.View()
	if b.edited {
		return nil
	}
	if h != nil && b.sound && !h.Names {
		h.raw = h.raw[:h.end]
		return nil
	}
	end, unknown, err := check(b.key, b.version, false, b.seen.raw)
	if err == nil && h != nil && !b.sound {
		err = &MalformedError{Key: b.key, Version: b.version, Response: true, Err: errShort}
	}
	if err != nil {
		return err
	}
	b.seen.raw, b.checked = b.seen.raw[:end], true
	if api, _ := Lookup(b.key); !unknown || api.passesTags() {
		return nil
	}
	msg, err := b.Edit()
	if err == nil {
		dropTags(reflect.ValueOf(msg).Elem())
	}
	return err
}

// dropTags drops the tagged fields that kmsg does not know, at every place of a message.
func dropTags(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[kmsg.Tags]() {
			v.SetZero()
			return
		}
		for i := range v.NumField() {
			dropTags(v.Field(i))
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() != reflect.Struct {
			return
		}
		for i := range v.Len() {
			dropTags(v.Index(i))
		}
	case reflect.Pointer:
		if !v.IsNil() {
			dropTags(v.Elem())
		}
	}
}
