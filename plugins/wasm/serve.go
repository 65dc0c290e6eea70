package wasm

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/sdk/abi"
)

// FailureError is a failure of a guest's own making, and not for want of time: a trap, an exit, a
// result that is none.
type FailureError struct {
	Reason string // one line, in the guest's words where it had any
	Err    error
}

func (e *FailureError) Error() string { return e.Reason }

// Unwrap returns what the engine says.
func (e *FailureError) Unwrap() error { return e.Err }

// mostReason bounds what clients are told of a failure.
const mostReason = 500

// newFailure takes the first text that says anything, up to an empty line: stacks follow. Without
// one it is the first line of the error.
func newFailure(err error, texts ...string) error {
	reason, _, _ := strings.Cut(err.Error(), "\n")
	for _, text := range texts {
		text, _, _ = strings.Cut(strings.TrimSpace(text), "\n\n")
		if said := strings.Join(strings.Fields(text), " "); said != "" {
			reason = said
			break
		}
	}
	return &FailureError{Reason: strings.ToValidUTF8(reason[:min(len(reason), mostReason)], "\uFFFD"), Err: err}
}

// failure reports an error that is the guest's fault: it failed in its own code, or was too slow.
func failure(err error) bool { return err != nil && (errors.Is(err, ErrDeadline) || lasting(err)) }

// lasting reports a failure that will come again if the same is tried again.
func lasting(err error) bool {
	if err == nil {
		return false // and nothing is allocated
	}
	var own *FailureError
	return errors.As(err, &own)
}

func isRefusal(err error) bool {
	var refusal *RefusalError
	return errors.As(err, &refusal)
}

// about is what the failures of a call are counted by, and p the partition, if there is one.
func (h *Head) about(function string, p *Partition) about {
	a := about{client: h.ClientID, address: h.address(), function: function, api: kmsg.Key(h.Key)}
	if port := strings.LastIndexByte(a.address, ':'); port >= 0 {
		a.address = a.address[:port]
	}
	if p != nil {
		a.topic, a.id, a.partition = p.Topic, p.ID, p.Number
	}
	return a
}

// mostAlone is how many partitions of a request may fail one by one: each costs an instance.
const mostAlone = 8

// Serve shows records of a client's request to the guest, as Records does, but for the partitions
// that the guest has failed with too often. Where it fails, each partition is shown again, alone:
// so another partition's records are not to blame, and a failure that stays is not one of chance.
// Partitions that it failed with have Failed set.
func (g *Guest) Serve(ctx context.Context, h *Head, parts []*Partition) error {
	parts = g.admitted(h, parts)
	if len(parts) == 0 {
		return nil
	}
	err := g.Records(ctx, h, parts)
	if failure(err) && ctx.Err() == nil {
		return g.alone(ctx, h, parts, err)
	}
	how := worked
	if err != nil && !isRefusal(err) {
		how = undone
	}
	for _, p := range parts {
		if p.Failed != nil { // it was not shown
			g.shown(ctx, h, p, undone)
			continue
		}
		g.shown(ctx, h, p, how)
	}
	return err
}

// admitted are the partitions that the guest may be shown.
func (g *Guest) admitted(h *Head, parts []*Partition) (out []*Partition) {
	now := time.Now()
	known, left := g.breakers.some.Load(), false
	for _, p := range parts {
		p.admission = admission{began: now}
		if known {
			var ok bool
			if p.admission, ok = g.breakers.admits(h.about(abi.ExportOnRecords, p), now); !ok {
				p.Failed, left = errOpen, true
			}
		}
	}
	if !left {
		return parts
	}
	for _, p := range parts {
		if p.Failed == nil {
			out = append(out, p)
		}
	}
	return out
}

// shown tells the breaker how the guest has got on with a partition.
func (g *Guest) shown(ctx context.Context, h *Head, p *Partition, how outcome) {
	if how == failed || p.admission.trial {
		g.ended(ctx, h.about(abi.ExportOnRecords, p), p.admission, how)
	}
}

// alone shows each partition by itself after all of them together have failed. One that was too
// slow is not tried again: it would take as long.
func (g *Guest) alone(ctx context.Context, h *Head, parts []*Partition, err error) error {
	failures := 0
	for _, p := range parts {
		how := undone
		var refusal *RefusalError
		switch again := len(parts) > 1 || !errors.Is(err, ErrDeadline); {
		case !again:
			p.Failed, how = err, failed
		case failures == mostAlone || ctx.Err() != nil:
			p.again(errOpen)
		default:
			p.again(nil)
			alone := g.Records(ctx, h, []*Partition{p})
			switch {
			case alone == nil && p.Failed != nil: // it was not shown
			case alone == nil:
				how = worked
			case errors.As(alone, &refusal):
				how = worked
				p.reject(*refusal)
			case failure(alone) && ctx.Err() == nil:
				p.again(alone)
				how = failed
				failures++
			default:
				p.again(alone)
			}
		}
		g.shown(ctx, h, p, how)
		if refusal != nil && refusal.Close {
			return refusal
		}
	}
	return ctx.Err()
}

// again makes a partition what it was before it was shown.
func (p *Partition) again(err error) {
	*p = Partition{Topic: p.Topic, ID: p.ID, Number: p.Number, Records: p.Records, index: p.index, admission: p.admission, Failed: err}
}

// ended tells the breaker how a call has ended, and the log what the breaker makes of it.
func (g *Guest) ended(ctx context.Context, a about, in admission, how outcome) {
	event, wait := g.breakers.ended(a, in, how, time.Now())
	if event == nothing || g.Log == nil {
		return
	}
	log := g.Log.With("function", a.function, "client_id", a.client, "address", a.address)
	if a.topic != "" {
		log = log.With("topic", a.topic, "partition", a.partition)
	} else if a.client+a.address != "" {
		log = log.With("api", kmsg.NameForKey(int16(a.api)))
	}
	if event == opened {
		log.WarnContext(ctx, "the guest fails again and again: it is left alone with what this client sends there", "failures", breakAfter, "within", breakWithin, "wait", wait)
		return
	}
	log.InfoContext(ctx, "the guest works again with what this client sends there")
}

// attempt makes a call about something that is no record. What failed is tried again, once: a
// failure that stays is not one of chance.
func (g *Guest) attempt(ctx context.Context, function string, h *Head, call func() error) error {
	in := admission{began: time.Now()}
	if g.breakers.some.Load() {
		var ok bool
		if in, ok = g.breakers.admits(h.about(function, nil), in.began); !ok {
			return errOpen
		}
	}
	err := call()
	if lasting(err) && ctx.Err() == nil {
		err = call()
	}
	how := worked
	switch {
	case err == nil:
	case failure(err) && ctx.Err() == nil:
		how = failed
	default:
		how = undone
	}
	if how == failed || in.trial {
		g.ended(ctx, h.about(function, nil), in, how)
	}
	return err
}
