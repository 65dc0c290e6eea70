package host

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/plugins/wasm/blocks"
	"github.com/sluice-gateway/sluice/plugins/wasm/breaker"
	"github.com/sluice-gateway/sluice/sdk/abi"
)

// about is what the failures of a call are counted by, and p the partition, if there is one.
func about(h *blocks.Head, function string, p *blocks.Partition) breaker.About {
	a := breaker.About{Client: h.ClientID, Address: h.Address(), Function: function, API: kmsg.Key(h.Key)}
	if port := strings.LastIndexByte(a.Address, ':'); port >= 0 {
		a.Address = a.Address[:port]
	}
	if p != nil {
		a.Topic, a.ID, a.Partition = p.Topic, p.ID, p.Number
	}
	return a
}

// mostAlone is how many partitions of a request may fail one by one: each costs an instance.
const mostAlone = 8

// Serve shows records of a client's request to the guest, as Records does, but for the partitions
// that the guest has failed with too often. Where it fails, each partition is shown again, alone:
// so another partition's records are not to blame, and a failure that stays is not one of chance.
// Partitions that it failed with have Failed set.
func (g *Guest) Serve(ctx context.Context, h *blocks.Head, parts []*blocks.Partition) error {
	parts, in := g.admitted(h, parts)
	if len(parts) == 0 {
		return nil
	}
	err := g.Records(ctx, h, parts)
	if failure(err) && ctx.Err() == nil {
		return g.alone(ctx, h, parts, in, err)
	}
	how := breaker.Worked
	if err != nil && !isRefusal(err) {
		how = breaker.Undone
	}
	for i, p := range parts {
		if p.Failed != nil { // it was not shown
			g.shown(ctx, h, p, in.of(i), breaker.Undone)
			continue
		}
		g.shown(ctx, h, p, in.of(i), how)
	}
	return err
}

// admissions are those of partitions: the same for all while there are no breakers.
type admissions struct {
	all  breaker.Admission
	each []breaker.Admission
}

func (a admissions) of(i int) breaker.Admission {
	if a.each != nil {
		return a.each[i]
	}
	return a.all
}

// admitted are the partitions that the guest may be shown.
func (g *Guest) admitted(h *blocks.Head, parts []*blocks.Partition) (out []*blocks.Partition, in admissions) {
	now := time.Now()
	if !g.breakers.Any() {
		return parts, admissions{all: breaker.Began(now)}
	}
	for _, p := range parts {
		a, ok := g.breakers.Admits(about(h, abi.ExportOnRecords, p), now)
		if !ok {
			p.Failed = breaker.ErrOpen
			continue
		}
		out, in.each = append(out, p), append(in.each, a)
	}
	return out, in
}

// shown tells the breaker how the guest has got on with a partition.
func (g *Guest) shown(ctx context.Context, h *blocks.Head, p *blocks.Partition, in breaker.Admission, how breaker.Outcome) {
	if in.Counts(how) {
		g.ended(ctx, about(h, abi.ExportOnRecords, p), in, how)
	}
}

// alone shows each partition by itself after all of them together have failed. One that was too
// slow is not tried again: it would take as long.
func (g *Guest) alone(ctx context.Context, h *blocks.Head, parts []*blocks.Partition, in admissions, err error) error {
	failures := 0
	for i, p := range parts {
		how := breaker.Undone
		var refusal *blocks.RefusalError
		switch again := len(parts) > 1 || !errors.Is(err, ErrDeadline); {
		case !again:
			p.Failed, how = err, breaker.Failed
		case failures == mostAlone || ctx.Err() != nil:
			p.Again(breaker.ErrOpen)
		default:
			p.Again(nil)
			alone := g.Records(ctx, h, []*blocks.Partition{p})
			switch {
			case alone == nil && p.Failed != nil: // it was not shown
			case alone == nil:
				how = breaker.Worked
			case errors.As(alone, &refusal):
				how = breaker.Worked
				p.Reject(*refusal)
			case failure(alone) && ctx.Err() == nil:
				p.Again(alone)
				how = breaker.Failed
				failures++
			default:
				p.Again(alone)
			}
		}
		g.shown(ctx, h, p, in.of(i), how)
		if refusal != nil && refusal.Close {
			return refusal
		}
	}
	return ctx.Err()
}

// ended tells the breaker how a call has ended, and the log what the breaker makes of it.
func (g *Guest) ended(ctx context.Context, a breaker.About, in breaker.Admission, how breaker.Outcome) {
	event, wait := g.breakers.Ended(a, in, how, time.Now())
	if event == breaker.Nothing || g.Log == nil {
		return
	}
	log := g.Log.With("function", a.Function, "client_id", a.Client, "address", a.Address)
	if a.Topic != "" {
		log = log.With("topic", a.Topic, "partition", a.Partition)
	} else if a.Client+a.Address != "" {
		log = log.With("api", kmsg.NameForKey(int16(a.API)))
	}
	if event == breaker.Opened {
		log.WarnContext(ctx, "the guest fails again and again: it is left alone with what this client sends there", "failures", breaker.After, "within", breaker.Within, "wait", wait)
		return
	}
	log.InfoContext(ctx, "the guest works again with what this client sends there")
}

// attempt makes a call about something that is no record. What failed is tried again, once: a
// failure that stays is not one of chance.
func (g *Guest) attempt(ctx context.Context, function string, h *blocks.Head, call func() error) error {
	in := breaker.Began(time.Now())
	if g.breakers.Any() {
		var ok bool
		if in, ok = g.breakers.Admits(about(h, function, nil), in.When()); !ok {
			return breaker.ErrOpen
		}
	}
	err := call()
	if Lasting(err) && ctx.Err() == nil {
		err = call()
	}
	how := breaker.Worked
	switch {
	case err == nil:
	case failure(err) && ctx.Err() == nil:
		how = breaker.Failed
	default:
		how = breaker.Undone
	}
	if in.Counts(how) {
		g.ended(ctx, about(h, function, nil), in, how)
	}
	return err
}
