package main

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"

	"github.com/sluice-gateway/sluice/testing/bench"
)

// spanSink is an OTLP receiver that counts spans and keeps nothing.
type spanSink struct {
	collector.UnimplementedTraceServiceServer
	spans atomic.Int64
}

func (s *spanSink) Export(_ context.Context, req *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	for _, r := range req.ResourceSpans {
		for _, scope := range r.ScopeSpans {
			s.spans.Add(int64(len(scope.Spans)))
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

// traces measures what tracing costs the gateway that does it, through the whole built-in chain;
// the receiver is in this process.
func traces(dir, bin string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	received := &spanSink{}
	server := grpc.NewServer()
	collector.RegisterTraceServiceServer(server, received)
	go func() { _ = server.Serve(l) }()
	defer server.Stop()
	records, err := bench.Records(256)
	if err != nil {
		return err
	}
	sink, err := bench.NewRecordsSink("127.0.0.1:0", records)
	if err != nil {
		return err
	}
	s := newStand(dir, sink)
	defer s.stop()
	for _, v := range []struct{ name, settings string }{
		{"off", ""},
		{"errors alone, sample_ratio: 0", ", sample_ratio: 0"},
		{"sample_ratio: 0.01", ", sample_ratio: 0.01"},
		{"sample_ratio: 1", ", sample_ratio: 1"},
	} {
		telemetry := ""
		if v.settings != "" {
			telemetry = fmt.Sprintf("traces: {endpoint: %q, insecure: true%s}", l.Addr(), v.settings)
		}
		if err := s.gateway(v.name, bin, "["+builtin, telemetry); err != nil {
			return err
		}
	}
	for _, w := range []struct {
		what, unit      string
		units           float64
		frame           []byte
		conns, inFlight int
		n               int
	}{
		{"CPU per request: Produce of 200 B, 16 connections x 5 in flight", "us", 1, bench.ProduceFrame(200), 16, 5, 20_000},
		{"CPU per GB: Produce of 256 records of 1 KB, 2 connections x 2 in flight", "ms", 256 * bench.RecordBytes / 1e6, bench.ProduceRecordsFrame(bench.Topic, records), 2, 2, 600},
		{"CPU per GB: Fetch of 256 records of 1 KB, 2 connections x 2 in flight", "ms", 256 * bench.RecordBytes / 1e6, bench.FetchFrame(), 2, 2, 600},
	} {
		if err := overhead(w.what, w.unit, w.units*float64(w.n), s.list[1:], func(addr string) error { return load(addr, w.frame, w.conns, w.inFlight, w.n) }); err != nil {
			return err
		}
	}
	fmt.Printf("\n%d spans were received\n", received.spans.Load())
	return nil
}
