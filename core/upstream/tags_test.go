package upstream

import (
	"reflect"
	"testing"
	"testing/synctest"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// tag puts a tagged field that kmsg does not know at every place of a message, with one element in
// every list, or says where one is.
func tag(v reflect.Value, path string, put bool) (found []string) {
	switch v.Kind() {
	case reflect.Struct:
		if tags, ok := v.Addr().Interface().(*kmsg.Tags); ok {
			if put {
				tags.Set(1000, []byte("hidden-0:9999"))
			} else if tags.Len() > 0 {
				found = append(found, path)
			}
			return found
		}
		for i := range v.NumField() {
			found = append(found, tag(v.Field(i), path+"."+v.Type().Field(i).Name, put)...)
		}
	case reflect.Slice:
		if put && v.Type().Elem().Kind() == reflect.Struct && v.Len() == 0 {
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
			if d, ok := v.Index(0).Addr().Interface().(interface{ Default() }); ok {
				d.Default()
			}
		}
		for i := range v.Len() {
			found = append(found, tag(v.Index(i), path, put)...)
		}
	case reflect.Pointer:
		if put && v.IsNil() && v.Type().Elem().Kind() == reflect.Struct {
			v.Set(reflect.New(v.Type().Elem()))
		}
		if !v.IsNil() {
			found = tag(v.Elem(), path, put)
		}
	}
	return found
}

// TestUnknownTagsStayHere: a tagged field of the future, which may hold an address, reaches no
// client from any place of any response that is about topics, groups, offsets or brokers; whether
// somebody stands in the row or not.
func TestUnknownTagsStayHere(t *testing.T) {
	for _, api := range kafka.APIs() {
		if api.GoesTo == kafka.Refused || api.GoesTo == kafka.Gateway || api.Carries == 0 {
			continue
		}
		for version := range api.MaxVersion + 1 {
			msg := kmsg.ResponseForKey(int16(api.Key))
			if msg.SetVersion(version); !msg.IsFlexible() {
				continue
			}
			tag(reflect.ValueOf(msg).Elem(), "", true)
			tameMetadata(msg)
			raw := msg.AppendTo(nil)
			e, c := hiding()
			body := kafka.NewResponseBody(api.Key, version, raw)
			if err := e.virtualize(api.Key, version, c, body); err != nil {
				t.Errorf("%s version %d: %v", api.Name, version, err)
				continue
			}
			sent, err := kafka.NewResponseBody(api.Key, version, body.Bytes()).Peek()
			if err != nil {
				t.Fatal(err)
			}
			if found := tag(reflect.ValueOf(sent).Elem(), api.Name, false); len(found) > 0 {
				t.Errorf("version %d passes tags on at %v", version, found)
			}
		}
	}
}

// tameMetadata makes a message that has one of everything a sane one.
func tameMetadata(msg kmsg.Response) {
	switch m := msg.(type) {
	case *kmsg.MetadataResponse:
		m.Brokers[0].Host, m.Brokers[0].Port, m.Topics[0].Topic = "h", 1, kmsg.StringPtr("orders")
	case *kmsg.DescribeClusterResponse:
		m.Brokers[0].Host, m.Brokers[0].Port = "h", 1
	}
}

// TestUnknownTagsStayHereWithoutAChain: where nobody stands in the row either, answers go through
// the same hands.
func TestUnknownTagsStayHereWithoutAChain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, e := house(t)
		f.broker(0).set(func(b *broker) {
			b.on = func(a *arrived) bool {
				resp := a.msg.ResponseKind()
				resp.SetVersion(a.Version)
				tag(reflect.ValueOf(resp).Elem(), "", true)
				a.answer(resp)
				return true
			}
		})
		s := session(t, 0)
		for _, key := range []kmsg.Key{kmsg.Fetch, kmsg.Produce, kmsg.Heartbeat, kmsg.OffsetCommit} {
			var resp *plugin.Response
			req := newest(key)
			if p, ok := req.(*kmsg.ProduceRequest); ok {
				p.Acks = -1
			}
			start(t, e, request(s, req), true, func(r *plugin.Response, err error) {
				if resp = r; err != nil {
					t.Error(err)
				}
			})
			if synctest.Wait(); resp == nil {
				t.Fatalf("%s is not answered", kmsg.NameForKey(int16(key)))
			}
			sent, err := resp.Body.Peek()
			if err != nil {
				t.Fatal(err)
			}
			if found := tag(reflect.ValueOf(sent).Elem(), kmsg.NameForKey(int16(key)), false); len(found) > 0 {
				t.Errorf("tags are passed on at %v", found)
			}
		}
	})
}
