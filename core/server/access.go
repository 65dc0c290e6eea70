package server

import (
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/telemetry"
)

// Access is the log of answered requests. A nil Access logs none, for the price of a comparison.
type Access struct {
	sampled telemetry.Share
	errors  bool
	add     func(slog.Record)
}

// NewAccess logs a share of the requests, 0 to 1, and with errors also those that are answered with
// an error. add must not wait.
func NewAccess(ratio float64, errors bool, add func(slog.Record)) *Access {
	return &Access{sampled: telemetry.ShareOf(ratio), errors: errors, add: add}
}

// samples decides about a request.
func (a *Access) samples() bool { return a != nil && a.sampled.Picks() }

// wants reports whether a request is logged, given that it was sampled, and how it ended.
func (a *Access) wants(sampled, failed bool) bool { return sampled || a != nil && a.errors && failed }

// line is the line of a request, but for what is known when its answer is due to be written. Who
// was asked is known of sampled ones alone.
func (s *session) line(req *plugin.Request, f *facts, err error) *slog.Record {
	r := slog.NewRecord(time.Time{}, slog.LevelInfo, "request", 0)
	r.AddAttrs(slog.String("virtual_cluster", s.shared.VirtualCluster), slog.String("api", kmsg.NameForKey(int16(req.Key))), slog.Int("version", int(req.Version)),
		slog.String("client_id", req.ClientID), slog.String("peer", s.conn.RemoteAddr().String()))
	text := func(key, value string) {
		if value != "" {
			r.AddAttrs(slog.String(key, value))
		}
	}
	text("software", f.software)
	if len(f.about.Topics) > 0 {
		r.AddAttrs(slog.Any("topics", f.about.Topics))
	}
	text("group", f.about.Group)
	if nodes := req.Trace.Nodes(); len(nodes) > 0 {
		r.AddAttrs(slog.Any("upstream", nodes))
	}
	text("error_code", errorName(req.Key, f.code))
	if err != nil {
		r.AddAttrs(slog.String("error", err.Error()))
	}
	if span := req.Trace.Context(); span.IsValid() {
		r.AddAttrs(slog.String("trace_id", span.TraceID().String()), slog.String("span_id", span.SpanID().String()))
	}
	return &r
}

// log writes the line of a request that leaves.
func (sl *slot) log() {
	if sl.line == nil {
		return
	}
	sl.line.Time = time.Now()
	sl.line.AddAttrs(slog.Int("request_size", sl.size), slog.Int("response_size", sl.out))
	if sl.held > 0 {
		sl.line.AddAttrs(millis("held_ms", sl.held))
	}
	if sl.upstream > 0 {
		sl.line.AddAttrs(millis("upstream_ms", sl.upstream))
	}
	sl.line.AddAttrs(millis("duration_ms", sl.line.Time.Sub(sl.arrived)))
	sl.rt.Access.add(*sl.line)
}

func millis(key string, d time.Duration) slog.Attr {
	return slog.Float64(key, float64(d.Microseconds())/1000)
}
