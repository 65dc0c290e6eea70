package host

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-gateway/sluice/plugins/wasm/blocks"
	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/sdk/abi"
)

const (
	maxLine  = 4096
	maxKey   = 1024
	maxValue = 1 << 20
)

// call is what a copy of a plugin has been called for, and what it may ask of the gateway
// meanwhile.
type call struct {
	guest    *Guest
	request  context.Context
	deadline time.Time
	head     *blocks.Head
	spent    int    // bytes, since the deadline was looked at
	said     string // the last error that the plugin has told of
}

var _ sdk.Host = (*call)(nil)

func (c *call) begin(ctx context.Context, h *blocks.Head, limit time.Duration) time.Time {
	c.within(ctx, limit)
	c.head = h
	return c.deadline
}

// within begins a call that is about nothing in particular.
func (c *call) within(ctx context.Context, limit time.Duration) {
	c.request, c.head, c.deadline, c.said = ctx, nil, time.Now().Add(limit), ""
	if end, ok := ctx.Deadline(); ok && end.Before(c.deadline) {
		c.deadline = end
	}
}

func (c *call) end() { c.request, c.head = context.Background(), nil }

// over says why nobody waits for the call any more, nil if somebody does.
func (c *call) over() error {
	if err := c.request.Err(); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if time.Until(c.deadline) < 0 {
		return ErrDeadline
	}
	return nil
}

// spendStep is how many bytes the gateway handles for a call before it looks at the deadline again.
const spendStep = 64 << 10

// Spend counts bytes that the gateway handles for the call, and says why nobody waits for it any
// more, nil if somebody does.
func (c *call) Spend(n int) error {
	if c.spent += n; c.spent < spendStep {
		return nil
	}
	c.spent = 0
	return c.over()
}

// wait is the context of a function that waits: it ends with the call, or after the guest's own
// limit in milliseconds.
func (c *call) wait(limit uint32) (context.Context, context.CancelFunc) {
	end := c.deadline
	if own := time.Now().Add(time.Duration(limit) * time.Millisecond); limit > 0 && own.Before(end) {
		end = own
	}
	return context.WithDeadline(c.request, end)
}

// Log writes a line.
func (c *call) Log(level int32, line string) {
	if level >= abi.LogError {
		c.said = line
	}
	c.guest.logLine(c.request, level, line[:min(len(line), maxLine)])
}

// LogEnabled reports whether lines of a level are kept.
func (c *call) LogEnabled(level int32) bool {
	return c.guest.Log != nil && c.guest.Log.Enabled(c.request, slog.Level(level))
}

// MetricDefine numbers a series.
func (c *call) MetricDefine(kind int32, series []byte) int32 {
	if c.guest.Metrics == nil || len(series) > maxLine {
		return abi.ErrArgument
	}
	return c.guest.Metrics.Define(kind, series, c.guest.Limits.Series)
}

// MetricAdd adds to a series.
func (c *call) MetricAdd(id int32, value float64) {
	if c.guest.Metrics != nil {
		c.guest.Metrics.Add(id, value)
	}
}

// AttrSet sets an attribute of the call's span.
func (c *call) AttrSet(key, value string) {
	if len(key) <= maxKey && len(value) <= maxLine {
		trace.SpanFromContext(c.request).SetAttributes(attribute.String(key, value))
	}
}

// TraceParent is the call's span.
func (c *call) TraceParent() string {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(c.request, carrier)
	return carrier.Get("traceparent")
}

// TopicName finds the topic of an id.
func (c *call) TopicName(id [16]byte) (string, int32) {
	if c.head == nil || c.head.Topics == nil {
		return "", abi.ErrNone
	}
	name := c.head.Topics.TopicName(id)
	if name == "" {
		return "", abi.ErrNone
	}
	return name, 0
}
