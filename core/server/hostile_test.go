package server

import (
	"context"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/plugin"
)

// TestCountsThatLieCloseTheSession, before anybody acts on them.
func TestCountsThatLieCloseTheSession(t *testing.T) {
	for name, frame := range map[string]string{
		"the number of tags of ApiVersions":   "00000016 0012 0003 00000001 0004 626f6d62 00 01 01 ffffffff0f",
		"the number of tags of a header":      "0000000f 0012 0003 00000001 ffff ffffffff0f",
		"the number of topics of a Metadata":  "0000000e 0003 0001 00000001 ffff 7fffffff",
		"the tags of an element of Metadata":  "0000001e 0003 0009 00000001 ffff 00 02 02 61 ffffffff0f 00 00 00 00 00 00 00 00 00",
		"a Heartbeat that ends too early":     "00000010 000c 0000 00000001 ffff 0001 67 00 00 00",
		"a Produce with too many topics":      "00000012 0000 0003 00000001 ffff ffff 0001 0000",
		"a Fetch with a length below nothing": "0000001f 0001 0004 00000001 ffff ffffffff 00000000 00000000 00000000 00 fffffffe",
	} {
		t.Run(name, func(t *testing.T) {
			_, addr := serve(t, limits(), func(context.Context, *plugin.Request, plugin.Handler) (*plugin.Response, error) {
				t.Error("the chain was asked")
				return nil, nil
			})
			b, err := hex.DecodeString(strings.ReplaceAll(frame, " ", ""))
			if err != nil {
				t.Fatal(err)
			}
			c := dial(t, addr)
			b[3] = byte(len(b) - 4)
			if _, err := c.Write(b); err != nil {
				t.Fatal(err)
			}
			c.ended()
		})
	}
}

// TestUnknownTagsOfRequestsAreDropped, so that no broker acts on what nobody here has translated.
func TestUnknownTagsOfRequestsAreDropped(t *testing.T) {
	seen := make(chan int, 1)
	_, addr := serve(t, limits(), func(_ context.Context, req *plugin.Request, _ plugin.Handler) (*plugin.Response, error) {
		msg, err := req.Body.Peek()
		if err != nil {
			return nil, err
		}
		seen <- msg.(*kmsg.HeartbeatRequest).UnknownTags.Len()
		return ok(req)
	})
	c := dial(t, addr)
	req := kmsg.NewPtrHeartbeatRequest()
	req.SetVersion(4)
	req.UnknownTags.Set(77, []byte("a name that only clients know"))
	c.send(req)
	if n := <-seen; n != 0 {
		t.Errorf("%d tags", n)
	}
}
