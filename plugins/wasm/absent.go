package wasm

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/plugins/wasm/manifest"
	"github.com/sluice-gateway/sluice/plugins/wasm/share"
)

// absent stands in the place of a guest that could not be had when the gateway started, until it
// can. What the guest would have seen nobody knows: with on_error: reject every request is answered
// as if the guest had failed, with pass none is, unless the guest was there and has said that it
// must not be passed by.
type absent struct {
	*share.Claim
	cfg Config
}

var (
	_ plugin.Interceptor = (*absent)(nil)
	_ plugin.Watched     = (*absent)(nil)
	_ plugin.Breakable   = (*absent)(nil)
	_ plugin.Titled      = (*absent)(nil)
)

// Keys are all rows, or none.
func (a *absent) Keys() plugin.KeySet {
	var all []kmsg.Key
	for _, row := range kafka.APIs() {
		if row.GoesTo != kafka.Gateway && row.GoesTo != kafka.Refused && (a.cfg.OnError != "pass" || a.Protects()) {
			all = append(all, row.Key)
		}
	}
	return kafka.NewKeySet(all...)
}

// Title is the guest's name as far as it is known.
func (a *absent) Title() string { return a.cfg.title(manifest.Manifest{}) }

// Intercept tells clients to try again.
func (a *absent) Intercept(context.Context, *plugin.Request, plugin.Handler) (*plugin.Response, error) {
	if err := a.Broken(); err != nil {
		return nil, fmt.Errorf("guest %s can't be had: %w", a.Title(), err)
	}
	return nil, fmt.Errorf("guest %s comes into force just now", a.Title())
}
