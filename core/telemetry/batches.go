package telemetry

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"

	"github.com/sluice-gateway/sluice/core/guard"
)

// batches sends ended spans to a receiver, many at a time. The SDK's batch processor has a channel,
// which wakes a goroutine for each span; where few requests are sampled, that costs several times
// what the span does. This one wakes it for a full batch, or when the delay is over. It knows the
// same OTEL_BSP_* variables.
type batches struct {
	client     Uploader
	outcome    outcome
	size, most int // spans in a batch, and waiting; past that, spans are dropped
	patience   time.Duration

	mu      sync.Mutex
	waiting []sdk.ReadOnlySpan
	dropped int // since the last batch
	lost    int // dropped ever, and of batches that could not be sent
	closed  bool

	sending chan struct{} // has a value while batches are on their way
	encoder encoder       // of who sends
	full    chan struct{}
	stop    context.CancelFunc // of the goroutine
	done    chan struct{}
}

func newBatches(c Uploader, log *slog.Logger) *batches {
	ctx, stop := context.WithCancel(context.Background())
	b := &batches{
		client: c, outcome: outcome{signal: "traces", log: log},
		size: number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512), most: number("OTEL_BSP_MAX_QUEUE_SIZE", 2048),
		patience: time.Duration(number("OTEL_BSP_EXPORT_TIMEOUT", 30_000)) * time.Millisecond,
		sending:  make(chan struct{}, 1), full: make(chan struct{}, 1), stop: stop, done: make(chan struct{}),
	}
	b.size = min(b.size, b.most)
	every := time.Duration(number("OTEL_BSP_SCHEDULE_DELAY", 5000)) * time.Millisecond
	guard.Go(func() { b.run(ctx, every) })
	return b
}

// number reads a positive variable.
func number(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil && n > 0 {
		return n
	}
	return otherwise
}

// OnStart is for sdk.SpanProcessor.
func (*batches) OnStart(context.Context, sdk.ReadWriteSpan) {}

// OnEnd takes a span.
func (b *batches) OnEnd(s sdk.ReadOnlySpan) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	if len(b.waiting) >= b.most {
		b.dropped++
		b.lost++
		return
	}
	if b.waiting = append(b.waiting, s); len(b.waiting) == b.size {
		select {
		case b.full <- struct{}{}:
		default:
		}
	}
}

// lose counts spans that could not be sent.
func (b *batches) lose(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lost += n
}

func (b *batches) run(ctx context.Context, every time.Duration) {
	defer close(b.done)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.full:
		case <-tick.C:
		}
		_ = b.ForceFlush(ctx) // it is told
	}
}

// take is the next batch, and how many spans were dropped since the one before.
func (b *batches) take() (batch []sdk.ReadOnlySpan, dropped int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := min(len(b.waiting), b.size); n == len(b.waiting) {
		batch, b.waiting = b.waiting, nil
	} else {
		batch, b.waiting = b.waiting[:n:n], b.waiting[n:]
	}
	dropped, b.dropped = b.dropped, 0
	return batch, dropped
}

// ForceFlush sends what waits.
func (b *batches) ForceFlush(ctx context.Context) (err error) {
	select {
	case b.sending <- struct{}{}:
		defer func() { <-b.sending }()
	case <-ctx.Done():
		return ctx.Err()
	}
	for {
		batch, dropped := b.take()
		if dropped > 0 {
			b.outcome.log.Warn("spans dropped: they came faster than they could be sent", "count", dropped)
		}
		if len(batch) == 0 {
			return err
		}
		within, cancel := context.WithTimeout(ctx, b.patience)
		failed := b.client.Upload(within, b.encoder.encode(batch))
		cancel()
		b.outcome.tell(ctx, failed)
		if failed != nil {
			b.lose(len(batch))
		}
		err = errors.Join(err, failed)
	}
}

// Shutdown sends what waits, for as long as ctx lasts, and closes the connection.
func (b *batches) Shutdown(ctx context.Context) error {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	defer context.AfterFunc(ctx, b.stop)() // a batch may be on its way
	err := b.ForceFlush(ctx)
	b.stop()
	<-b.done
	return errors.Join(err, b.client.Stop(ctx))
}
