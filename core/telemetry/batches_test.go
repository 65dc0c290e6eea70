package telemetry

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/sluice-gateway/sluice/testing/fact"
)

// kept keeps the sizes of batches; it waits for block, if there is one.
type kept struct {
	sizes []int
	block chan struct{}
	down  bool
}

func (*kept) Start(context.Context) error { return nil }

func (e *kept) Upload(ctx context.Context, encoded []byte) error {
	if e.block != nil {
		select {
		case <-e.block:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for _, s := range received(encoded).ScopeSpans {
		e.sizes = append(e.sizes, len(s.Spans))
	}
	return nil
}

// received is what a receiver reads.
func received(encoded []byte) *otlp.ResourceSpans {
	m := &otlp.ResourceSpans{}
	if err := proto.Unmarshal(encoded, m); err != nil {
		panic(err)
	}
	return m
}

func (e *kept) Stop(context.Context) error {
	e.down = true
	return nil
}

func end(b *batches, n int) {
	for range n {
		b.OnEnd(tracetest.SpanStub{Name: "Produce"}.Snapshot())
	}
}

func TestBatchesLeaveWhenFullOrDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &kept{}
		b := newBatches(e, slog.Default())
		end(b, 511)
		synctest.Wait()
		if len(e.sizes) != 0 {
			t.Errorf("%v left before they were full or due", e.sizes)
		}
		end(b, 1)
		synctest.Wait()
		if len(e.sizes) != 1 || e.sizes[0] != 512 {
			t.Errorf("of a full batch, %v left", e.sizes)
		}
		end(b, 3)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if len(e.sizes) != 2 || e.sizes[1] != 3 {
			t.Errorf("when they were due, %v had left", e.sizes)
		}
		end(b, 2)
		{
			err := b.Shutdown(t.Context())
			about := fact.Of(t, "at the end, %v had left: %v", e.sizes, err)
			if fact.NoError(about, err) && fact.Equal(about, "len(e.sizes)", len(e.sizes), 3) {
				fact.Equal(about, "e.sizes[2]", e.sizes[2], 2)
				fact.True(about, "e.down", e.down)
			}
		}
		end(b, 1)
		if err := b.ForceFlush(t.Context()); err != nil || len(e.sizes) != 3 {
			t.Errorf("after the end, %v had left: %v", e.sizes, err)
		}
	})
}

// TestBatchesDropWhatCantBeSent and say so; the requests that made the spans don't wait.
func TestBatchesDropWhatCantBeSent(t *testing.T) {
	t.Setenv("OTEL_BSP_MAX_QUEUE_SIZE", "10")
	t.Setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4")
	synctest.Test(t, func(t *testing.T) {
		e := &kept{block: make(chan struct{})}
		var log strings.Builder
		b := newBatches(e, slog.New(slog.NewTextHandler(&log, nil)))
		end(b, 4)
		synctest.Wait() // these are on their way
		end(b, 13)
		close(e.block)
		if err := b.ForceFlush(t.Context()); err != nil {
			t.Error(err)
		}
		if !strings.Contains(log.String(), "spans dropped") || strings.Count(log.String(), "count=3") != 1 {
			t.Errorf("the log says %s", log.String())
		}
		sum := 0
		for _, n := range e.sizes {
			sum += n
		}
		if sum != 14 {
			t.Errorf("%v were sent", e.sizes)
		}
		synctest.Wait()
		if n := (&Tracer{batches: b}).Lost(); n != 3 {
			t.Errorf("%d spans are counted as lost", n)
		}
		e.block = make(chan struct{}) // nobody takes them
		end(b, 2)
		within, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := b.ForceFlush(within); err == nil {
			t.Error("sent")
		}
		if n := (&Tracer{batches: b}).Lost(); n != 5 {
			t.Errorf("with those that could not be sent, %d spans are counted as lost", n)
		}
		if err := b.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestBatchesEndInTime though nobody takes the spans.
func TestBatchesEndInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBatches(&kept{block: make(chan struct{})}, slog.Default())
		end(b, 512)
		synctest.Wait()
		end(b, 5)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if err := b.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
}
