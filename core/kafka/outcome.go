package kafka

import (
	"reflect"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// outcomeLimit is the size up to which a response is decoded to find out whether it says an error.
const outcomeLimit = 16 << 10

// ErrorCode is the first error code of a response, 0 if it says none; an Ordinary one only if it
// says no other. Those of Produce and Fetch are read from the view; a larger response of another
// API that nobody has decoded counts as a success.
func (b *ResponseBody) ErrorCode() Code {
	c := outcomes{key: b.key}
	if h := b.View(); h != nil {
		if c.see(h.ErrorCode) {
			return c.first
		}
		for i := range h.Partitions {
			if c.see(h.Partitions[i].ErrorCode) {
				return c.first
			}
		}
		return c.first
	}
	if b.msg == nil && len(b.seen.raw) > outcomeLimit {
		return 0
	}
	msg, err := b.Peek()
	if err != nil {
		return 0
	}
	c.seeAll(reflect.ValueOf(msg).Elem())
	return c.first
}

// outcomes looks for the first code that is not Ordinary.
type outcomes struct {
	key   kmsg.Key
	first Code
}

// see notes a code, and reports that the search is over.
func (c *outcomes) see(code Code) bool {
	if code == 0 {
		return false
	}
	normal := Ordinary(c.key, code)
	if c.first == 0 || !normal {
		c.first = code
	}
	return !normal
}

func (c *outcomes) seeAll(v reflect.Value) bool {
	if f := v.FieldByName("ErrorCode"); f.IsValid() && f.Kind() == reflect.Int16 && c.see(Code(f.Int())) {
		return true
	}
	for i := range v.NumField() {
		f := v.Field(i)
		if f.Kind() != reflect.Slice || f.Type().Elem().Kind() != reflect.Struct {
			continue
		}
		for j := range f.Len() {
			if c.seeAll(f.Index(j)) {
				return true
			}
		}
	}
	return false
}

// KnownErrorCode is ErrorCode for a body that somebody has looked into already, and 0 for others.
func (b *ResponseBody) KnownErrorCode() Code {
	if b.msg == nil && !b.viewed {
		return 0
	}
	return b.ErrorCode()
}

// Subjects is what a request is about: the first topics that it names, and its group. byID names
// topics that are given by id.
func (b *RequestBody) Subjects(most int, byID func([16]byte) string) (topics []string, group string) {
	add := func(name string, id [16]byte) bool {
		if name == "" && id != [16]byte{} {
			name = byID(id)
		}
		if name != "" && (len(topics) == 0 || topics[len(topics)-1] != name) {
			topics = append(topics, name)
		}
		return len(topics) < most
	}
	if h := b.View(); h != nil {
		for i := range h.Partitions {
			if !add(string(h.Partitions[i].Topic), h.Partitions[i].ID) {
				break
			}
		}
		return topics, ""
	}
	msg, err := b.Peek()
	if err != nil {
		return nil, ""
	}
	v := reflect.ValueOf(msg).Elem()
	for _, name := range []string{"Group", "GroupID"} {
		if f := v.FieldByName(name); f.IsValid() && f.Kind() == reflect.String {
			group = f.String()
		}
	}
	if m, ok := msg.(*kmsg.DeleteTopicsRequest); ok {
		for _, n := range m.TopicNames {
			if !add(n, [16]byte{}) {
				break
			}
		}
	}
	list := v.FieldByName("Topics")
	if !list.IsValid() || list.Kind() != reflect.Slice {
		return topics, group
	}
	for i := range list.Len() {
		if name, id := topicOf(list.Index(i)); !add(name, id) {
			break
		}
	}
	return topics, group
}

// topicOf reads a topic of a list: a name, or a struct with a name or an id.
func topicOf(v reflect.Value) (name string, id [16]byte) {
	if v.Kind() == reflect.String {
		return v.String(), id
	}
	if v.Kind() != reflect.Struct {
		return "", id
	}
	if f := v.FieldByName("TopicID"); f.IsValid() {
		id, _ = f.Interface().([16]byte)
	}
	f := v.FieldByName("Topic")
	if f.IsValid() && f.Kind() == reflect.Pointer && !f.IsNil() {
		f = f.Elem()
	}
	if f.IsValid() && f.Kind() == reflect.String {
		name = f.String()
	}
	return name, id
}
