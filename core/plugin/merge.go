package plugin

import (
	"fmt"
	"reflect"

	"github.com/sluice-gateway/sluice/core/kafka"
)

// Gather merges the answers of forks into one response. A fork that failed is answered, for its
// part alone, with the code that the api table names: one dead cluster costs only what lives on it.
// It fails if every fork failed.
func Gather(forks []*Request, results []Result) (*Response, error) {
	if len(results) == 0 {
		return nil, fmt.Errorf("nothing to gather")
	}
	var merged *Response
	failed := 0
	for i, r := range results {
		if r.Err != nil {
			failed++
			if failed == len(results) {
				return nil, r.Err
			}
			Settle(r.Err)
			api, _ := kafka.Lookup(forks[i].Key)
			msg, err := kafka.ErrorOfItems(forks[i].Body, api.OnFailure, "")
			if err != nil {
				return nil, err
			}
			r.Response = Respond(msg)
		}
		if merged == nil {
			merged = r.Response
			continue
		}
		if err := merge(merged.Body, r.Response.Body); err != nil {
			return nil, err
		}
		merged.Close = merged.Close || r.Response.Close
	}
	if merged != nil && failed > 0 {
		merged.Release = nil // of a fork that failed nobody says that it is not being written any more
	}
	return merged, nil
}

// merge adds the items of b to a. The slices that a response lists its items in are appended,
// topics of the same name are joined, throttle times are the longest.
func merge(a, b *kafka.ResponseBody) error {
	am, err := a.Edit()
	if err != nil {
		return err
	}
	bm, err := b.Peek()
	if err != nil {
		return err
	}
	mergeStruct(reflect.ValueOf(am).Elem(), reflect.ValueOf(bm).Elem())
	return nil
}

// mergeStruct joins two structs of one type: slices of structs by their identifying field.
func mergeStruct(a, b reflect.Value) {
	for i := range a.NumField() {
		f, g := a.Field(i), b.Field(i)
		switch name := a.Type().Field(i).Name; {
		case name == "ThrottleMillis":
			f.SetInt(max(f.Int(), g.Int()))
		case name == "ErrorCode":
			if f.Int() == 0 {
				f.Set(g)
			}
		case name == "Brokers":
			f.Set(mergeNodes(f, g))
		case f.Kind() == reflect.Slice && f.Type().Elem().Kind() == reflect.Struct:
			f.Set(mergeSlice(f, g))
		}
	}
}

// mergeNodes appends the nodes of b that a lacks: the Java client refuses a node that is listed twice.
func mergeNodes(a, b reflect.Value) reflect.Value {
	seen := map[int64]bool{}
	for i := range a.Len() {
		seen[a.Index(i).FieldByName("NodeID").Int()] = true
	}
	for i := range b.Len() {
		if !seen[b.Index(i).FieldByName("NodeID").Int()] {
			a = reflect.Append(a, b.Index(i))
		}
	}
	return a
}

func mergeSlice(a, b reflect.Value) reflect.Value {
	for i := range b.Len() {
		item, joined := b.Index(i), false
		for j := range a.Len() {
			if sameItem(a.Index(j), item) {
				mergeInner(a.Index(j), item)
				joined = true
				break
			}
		}
		if !joined {
			a = reflect.Append(a, item)
		}
	}
	return a
}

// sameItem compares what names a topic in a response.
func sameItem(a, b reflect.Value) bool {
	for _, name := range []string{"Topic", "TopicID"} {
		f := a.FieldByName(name)
		if !f.IsValid() {
			continue
		}
		if !reflect.DeepEqual(f.Interface(), b.FieldByName(name).Interface()) {
			return false
		}
		if !f.IsZero() {
			return a.FieldByName("Partitions").IsValid()
		}
	}
	return false
}

func mergeInner(a, b reflect.Value) {
	f := a.FieldByName("Partitions")
	f.Set(reflect.AppendSlice(f.Slice3(0, f.Len(), f.Len()), b.FieldByName("Partitions")))
}
