package workbench

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/plugins/wasm/blocks"
	"github.com/sluice-gateway/sluice/plugins/wasm/host"
	"github.com/sluice-gateway/sluice/plugins/wasm/kept"
	"github.com/sluice-gateway/sluice/sdk/abi"
)

// Bench is a guest on the bench, with all capabilities that work without a cluster.
type Bench struct {
	*host.Guest
	module *host.Module
}

// compile reads and compiles a module.
func compile(ctx context.Context, file string) (*host.Module, error) {
	code, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	m, err := host.Compile(ctx, code, host.DefaultLimits().Memory)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return m, nil
}

// start starts a guest of a module, with a store of its own.
func start(ctx context.Context, m *host.Module, config any, log *slog.Logger) (*Bench, error) {
	var settings []byte
	if config != nil {
		var err error
		if settings, err = json.Marshal(config); err != nil {
			return nil, err
		}
	}
	limits := host.DefaultLimits()
	limits.Timeout = time.Minute // a case shows what a guest does, not how busy the author's machine is
	g, err := host.NewGuest(ctx, m, host.Options{
		Name: m.Name, Settings: settings, Limits: limits, Grant: m.Host, Log: log, Store: kept.NewStore(limits.KV), Metrics: kept.NewMetrics(),
	})
	if err != nil {
		return nil, err
	}
	return &Bench{g, m}, nil
}

// Open compiles a module and starts a guest of it; config is any value that JSON can hold, nil for
// none.
func Open(ctx context.Context, file string, config any, log *slog.Logger) (*Bench, error) {
	m, err := compile(ctx, file)
	if err != nil {
		return nil, err
	}
	b, err := start(ctx, m, config, log)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", file, err), m.Close())
	}
	return b, nil
}

// Close ends the guest and its module.
func (b *Bench) Close() error {
	b.Guest.Close()
	return b.module.Close()
}

// Play runs a case, with its steps. With update, what became of it is written into it as expected;
// else the difference is returned, "" for none.
func (b *Bench) Play(ctx context.Context, c *Case, update bool) (diff string) {
	steps, name := c.Steps, "step %d: %s"
	if len(steps) == 0 {
		steps, name = []Case{*c}, "%[2]s"
		defer func() { c.Expect = steps[0].Expect }()
	}
	var left *Text // by the last request
	for i := range steps {
		s := &steps[i]
		shown := *s
		if s.Kind == "response" && s.State == nil {
			shown.State = left
		}
		got, err := b.Run(ctx, shown)
		switch {
		case err != nil:
			return fmt.Sprintf(name, i+1, err)
		case update:
			s.Expect = got
		default:
			if diff := s.Expect.differ(got); diff != "" {
				return fmt.Sprintf(name, i+1, diff)
			}
		}
		if s.Kind == "request" {
			left = got.State
		}
	}
	return ""
}

// Run shows a case without steps to the guest and returns what became of it.
func (b *Bench) Run(ctx context.Context, c Case) (Expect, error) {
	if c.message() {
		return b.runMessage(ctx, c)
	}
	return b.runRecords(ctx, c)
}

func (b *Bench) runMessage(ctx context.Context, c Case) (got Expect, err error) {
	in, answer, err := forms(c.API, c.Version)
	if err != nil {
		return got, err
	}
	h := &blocks.Head{Kind: abi.KindRequest, Key: int16(in.key), Version: c.Version, ClientID: c.Client.ID, Principal: c.Client.Principal, State: c.State.bytes()}
	if c.Kind == "response" {
		h.Kind, in = abi.KindResponse, answer
	}
	a, err := b.Ask(ctx, h, c.Body.Bytes)
	switch {
	case err != nil:
		return got, err
	case a.Refused != nil:
		return Expect{Refused: &Refused{a.Refused.Code, a.Refused.Message}}, nil
	}
	got = Expect{Forward: in.body(a.Forward), Respond: answer.body(a.Respond), State: text(a.State)}
	if a.Forward == nil && a.Respond == nil {
		got.Forward = c.Body
	}
	return got, nil
}

// runRecords shows the records of a case to the guest.
func (b *Bench) runRecords(ctx context.Context, c Case) (got Expect, err error) {
	parts, first, err := partitions(c)
	if err != nil {
		return got, err
	}
	h := &blocks.Head{Kind: abi.KindProduce, Key: int16(kmsg.Produce), Version: 9, ClientID: c.Client.ID, Principal: c.Client.Principal}
	if c.Kind == "fetch" {
		h.Kind, h.Key, h.Version = abi.KindFetch, int16(kmsg.Fetch), 12
	}
	err = b.Records(ctx, h, parts)
	var refusal *blocks.RefusalError
	if errors.As(err, &refusal) {
		return Expect{Refused: &Refused{refusal.Code, refusal.Message}}, nil
	}
	if err != nil {
		return got, err
	}
	for i, p := range parts {
		if p.Failed != nil {
			return got, p.Failed
		}
		for _, r := range p.Rejected {
			if got.Rejected == nil {
				got.Rejected = map[int]int16{}
			}
			got.Rejected[first[i]+r.Index] = r.Code
		}
		for _, d := range p.Dropped {
			got.Dropped = append(got.Dropped, first[i]+d)
		}
		if p.Refused != nil {
			continue
		}
		out := p.Out
		if out == nil {
			out = p.Records
		}
		for _, raw := range kafka.Batches(out) {
			list, err := kafka.Records(raw)
			if err != nil || !raw.ValidCRC() {
				return got, fmt.Errorf("the batch that was made is broken: %w", err)
			}
			for _, r := range list {
				got.Records = append(got.Records, record(r))
			}
		}
	}
	return got, nil
}

func record(r kafka.Record) Record {
	out := Record{Key: text(r.Key), Value: text(r.Value), Timestamp: r.Timestamp}
	for _, h := range r.Headers {
		out.Headers = append(out.Headers, Header{h.Key, text(h.Value)})
	}
	return out
}

// partitions makes batches of the records of a case: those of one partition that stand side by side
// are one. first is the index of each one's first record.
func partitions(c Case) (parts []*blocks.Partition, first []int, err error) {
	var list []kafka.Record
	flush := func() error {
		if len(list) == 0 {
			return nil
		}
		raw, err := batch(list)
		parts[len(parts)-1].Records, list = raw, nil
		return err
	}
	for i, r := range c.Records {
		if n := len(parts); n == 0 || parts[n-1].Topic != r.Topic || parts[n-1].Number != r.Partition {
			if err := flush(); err != nil {
				return nil, nil, err
			}
			parts, first = append(parts, &blocks.Partition{Topic: r.Topic, Number: r.Partition}), append(first, i)
		}
		one := kafka.Record{Offset: int64(len(list)), Timestamp: r.Timestamp, Key: r.Key.bytes(), Value: r.Value.bytes()}
		for _, h := range r.Headers {
			one.Headers = append(one.Headers, kmsg.Header{Key: h.Key, Value: h.Value.bytes()})
		}
		list = append(list, one)
	}
	return parts, first, flush()
}

// batch makes a batch of a producer without an id.
func batch(list []kafka.Record) (kafka.Batch, error) {
	b := make(kafka.Batch, kafka.BatchHeader)
	b[16] = 2
	binary.BigEndian.PutUint64(b[27:], uint64(list[0].Timestamp))
	binary.BigEndian.PutUint64(b[43:], ^uint64(0))
	binary.BigEndian.PutUint16(b[51:], ^uint16(0))
	binary.BigEndian.PutUint32(b[53:], ^uint32(0))
	return kafka.Rebuild(b, list, kafka.CloseGaps)
}

// Outcome is how a case ended; Diff is "" if it is as expected.
type Outcome struct {
	Case *Case
	Diff string
}

// Test runs each case on a fresh guest of the module. With update, what became of it is written
// into it as expected.
func Test(ctx context.Context, file string, cases *Cases, update bool, log *slog.Logger) (out []Outcome, err error) {
	m, err := compile(ctx, file)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	for i := range cases.Cases {
		c := &cases.Cases[i]
		b, err := start(ctx, m, cases.Config, log)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		out = append(out, Outcome{Case: c, Diff: b.Play(ctx, c, update)})
		b.Guest.Close()
	}
	return out, nil
}
