package fork

import (
	"fmt"
	"reflect"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// Gather merges the answers of forks into one response. A fork that failed is answered, for its
// part alone, with the code that the api table names: one dead cluster costs only what lives on it.
// It fails if every fork failed.
func Gather(forks []*plugin.Request, results []Result) (*plugin.Response, error) {
	if len(results) == 0 {
		return nil, fmt.Errorf("nothing to gather")
	}
	var merged *plugin.Response
	var others []*kafka.ResponseBody
	failed := 0
	for i, r := range results {
		if r.Err != nil {
			failed++
			if failed == len(results) {
				return nil, r.Err
			}
			plugin.Settle(r.Err)
			api, _ := kafka.Lookup(forks[i].Key)
			body, err := kafka.ErrorOfItems(forks[i].Body, api.OnFailure, "")
			if err != nil {
				return nil, err
			}
			r.Response = &plugin.Response{Body: body}
		}
		if merged == nil {
			merged = r.Response
			continue
		}
		others = append(others, r.Response.Body)
		merged.Close = merged.Close || r.Response.Close
	}
	if err := merge(merged.Body, others); err != nil {
		return nil, err
	}
	if failed > 0 {
		merged.Release = nil // of a fork that failed nobody says that it is not being written any more
	}
	return merged, nil
}

// Merge adds answers to one, which it returns.
func Merge(a *plugin.Response, others ...*plugin.Response) (*plugin.Response, error) {
	bodies := make([]*kafka.ResponseBody, len(others))
	for i, o := range others {
		bodies[i] = o.Body
		a.Close = a.Close || o.Close
	}
	return a, merge(a.Body, bodies)
}

// merge adds the items of others to a. The slices that a response lists its items in are appended,
// topics of the same name are joined, throttle times are the longest. It takes time in proportion
// to the items.
func merge(a *kafka.ResponseBody, others []*kafka.ResponseBody) error {
	if len(others) == 0 {
		return nil
	}
	if a.View() != nil {
		a.Merge(others)
		return nil
	}
	am, err := a.Edit()
	if err != nil {
		return err
	}
	parts := make([]reflect.Value, len(others))
	for i, b := range others {
		bm, err := b.Peek()
		if err != nil {
			return err
		}
		parts[i] = reflect.ValueOf(bm).Elem()
	}
	mergeStruct(reflect.ValueOf(am).Elem(), parts)
	return nil
}

// mergeStruct joins structs of one type: slices of structs by their identifying field.
func mergeStruct(a reflect.Value, parts []reflect.Value) {
	for i := range a.NumField() {
		f, name := a.Field(i), a.Type().Field(i).Name
		if f.Kind() == reflect.Slice && f.Type().Elem().Kind() == reflect.Struct {
			m := newMerger(f, name)
			for _, b := range parts {
				m.add(b.Field(i))
			}
			f.Set(m.list)
			continue
		}
		for _, b := range parts {
			g := b.Field(i)
			switch {
			case name == "ThrottleMillis":
				f.SetInt(max(f.Int(), g.Int()))
			case name == "ErrorCode" && f.Int() == 0:
				f.Set(g)
			}
		}
	}
}

// merger appends lists of items to one, and knows by a key where each stands: nodes stand once (the
// Java client refuses a node that is listed twice), and the partitions of a topic stand under it
// once.
type merger struct {
	list             reflect.Value
	name, id         int // fields of an item, -1: it has none
	node, partitions int
	at               map[itemKey]standing
}

// itemKey names an item: a node by its number, a topic by its name or, where it has none, by its
// id.
type itemKey struct {
	node  int64
	named bool // it has a name, which a client may have left empty
	name  string
	id    [16]byte
}

// standing is where an item is in the list.
type standing struct {
	index int
	owned bool // its partitions are in memory of their own
}

func newMerger(list reflect.Value, field string) *merger {
	of := list.Type().Elem()
	m := &merger{list: list, name: -1, id: -1, node: -1, partitions: -1}
	if field == "Brokers" {
		m.node = fieldOf(of, "NodeID")
	} else if m.partitions = fieldOf(of, "Partitions"); m.partitions >= 0 {
		m.name, m.id = fieldOf(of, "Topic"), fieldOf(of, "TopicID")
	}
	if m.node < 0 && m.name < 0 && m.id < 0 {
		return m // nothing that two lists could share
	}
	m.at = make(map[itemKey]standing, list.Len())
	for i := range list.Len() {
		m.note(list.Index(i), i)
	}
	return m
}

// fieldOf is the index of a struct's field, -1 if there is none of the name.
func fieldOf(of reflect.Type, name string) int {
	if f, ok := of.FieldByName(name); ok {
		return f.Index[0]
	}
	return -1
}

// note keeps where an item stands, the first of its key.
func (m *merger) note(item reflect.Value, index int) {
	if key, ok := m.key(item); ok {
		if _, there := m.at[key]; !there {
			m.at[key] = standing{index: index}
		}
	}
}

// key names an item; ok is false for one that nothing names.
func (m *merger) key(item reflect.Value) (_ itemKey, ok bool) {
	if m.node >= 0 {
		return itemKey{node: item.Field(m.node).Int()}, true
	}
	if m.name >= 0 {
		switch f := item.Field(m.name); {
		case f.IsZero():
		case f.Kind() == reflect.Pointer:
			return itemKey{named: true, name: f.Elem().String()}, true
		default:
			return itemKey{named: true, name: f.String()}, true
		}
	}
	if m.id >= 0 {
		id, is := item.Field(m.id).Addr().Interface().(*[16]byte)
		if is && *id != [16]byte{} {
			return itemKey{id: *id}, true
		}
	}
	return itemKey{}, false
}

// add appends the items of a list.
func (m *merger) add(list reflect.Value) {
	if m.at == nil {
		m.list = reflect.AppendSlice(m.list, list)
		return
	}
	for i := range list.Len() {
		item := list.Index(i)
		key, named := m.key(item)
		at, there := m.at[key]
		switch {
		case !named || !there:
			m.list = reflect.Append(m.list, item)
			m.note(item, m.list.Len()-1)
		case m.partitions >= 0:
			m.join(at, item)
			m.at[key] = standing{at.index, true}
		}
	}
}

// join adds the partitions of an item to those of the one that it is the same topic as.
func (m *merger) join(at standing, item reflect.Value) {
	f := m.list.Index(at.index).Field(m.partitions)
	if n := f.Len(); !at.owned {
		f.Set(f.Slice3(0, n, n))
	}
	f.Set(reflect.AppendSlice(f, item.Field(m.partitions)))
}
