package server

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"go.opentelemetry.io/otel/attribute"

	"github.com/sluice-gateway/sluice/core/chain"
	"github.com/sluice-gateway/sluice/core/gate"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/telemetry"
)

// trace begins the trace of a request. Of one that the access log will show it notes at least who
// was asked.
func (s *session) trace(rt *Runtime, w *chain.Walk, sl *slot) context.Context {
	if rt.Tracer == nil && !sl.logged {
		return s.ctx
	}
	w.Trace = telemetry.Trace{}
	req := &w.Req
	var from *telemetry.Origins
	if req.Key == kmsg.Produce && rt.Tracer.FollowsParents() {
		from = s.origins(req, nil, rt.TopicName)
	}
	ctx, t := rt.Tracer.Request(s.ctx, req.Key, req.Arrived, &w.Trace, from)
	if sl.logged {
		t = &w.Trace
		t.Keep(req.Arrived)
	}
	req.Trace = t
	return ctx
}

// facts is what a request's trace and its line in the access log tell of it, kept apart from the
// request, whose memory is used again.
type facts struct {
	kafka.Header
	peer, local    net.Addr
	virtualCluster string
	code           kafka.Code
	in             int          // bytes
	out            atomic.Int64 // 0: nothing is written yet
	about          *telemetry.Subject
	software       string
}

func (s *session) facts(req *plugin.Request, sl *slot, resp *plugin.Response, code kafka.Code) *facts {
	f := &facts{Header: req.Header, peer: s.conn.RemoteAddr(), local: s.conn.LocalAddr(), virtualCluster: s.shared.VirtualCluster, code: code, in: sl.size}
	var answer *kafka.ResponseBody
	if resp != nil {
		answer = resp.Body
	}
	f.about = plugin.SubjectOf(req.Key, req.Body, answer, sl.rt.TopicName)
	if software := s.shared.Software.Load(); software != nil {
		f.software = *software
	}
	return f
}

// told sends the trace of a request, and prepares its line of the access log, if there are to be
// any. It is called before the answer is queued: from then on the memory of both may be used again.
func (s *session) told(req *plugin.Request, sl *slot, resp *plugin.Response, err error) {
	t, a := req.Trace, sl.rt.Access
	if t == nil && a == nil {
		return
	}
	if t == nil && !sl.logged && !a.errors {
		return
	}
	var code kafka.Code
	if resp != nil {
		code = resp.Body.ErrorCode()
	}
	left := s.ctx.Err() != nil || errors.Is(err, gate.ErrClientGone)
	failed := code != 0 && !kafka.Ordinary(req.Key, code) || err != nil && !left
	traced, logged := t.Wanted(failed, req.Arrived, patience(req)), a.wants(sl.logged, failed)
	from := s.delivers(req, sl, resp, traced)
	traced = traced || from.Sampled()
	if !traced && !logged {
		return
	}
	f := s.facts(req, sl, resp, code)
	if logged {
		sl.line = s.line(req, f, err)
	}
	if traced {
		sl.facts = f
		if req.Key == kmsg.Produce && (!t.Sampled() || !sl.rt.Tracer.FollowsParents()) { // or they have been looked into
			from = s.origins(req, nil, sl.rt.TopicName) // only now: others wait until this one is queued
		}
		t.Linked(from)
		t.End(req.Key, f.about, err, errorName(req.Key, code), f)
	}
}

// errorName names the code of an answer that says an error.
func errorName(key kmsg.Key, code kafka.Code) string {
	if kafka.Ordinary(key, code) {
		return ""
	}
	return code.Name()
}

// AppendAttributes is for telemetry.Facts.
func (f *facts) AppendAttributes(attrs []attribute.KeyValue) []attribute.KeyValue {
	attrs = telemetry.AppendServer(telemetry.AppendPeer(f.about.AppendAttributes(attrs, f.Key), f.peer), f.local)
	attrs = append(attrs, telemetry.Transport.String("tcp"), telemetry.ClientID.String(f.ClientID), telemetry.VirtualCluster.String(f.virtualCluster),
		telemetry.APIKey.Int(int(f.Key)), telemetry.APIVersion.Int(int(f.Version)), telemetry.RequestSize.Int(f.in), telemetry.ErrorCode.Int(int(f.code)))
	if out := f.out.Load(); out > 0 {
		attrs = append(attrs, telemetry.ResponseSize.Int64(out))
	}
	if f.software != "" {
		attrs = append(attrs, telemetry.Software.String(f.software))
	}
	return attrs
}

// patience is how long a request may wait at its broker without being slow; negative: for as long
// as it likes.
func patience(req *plugin.Request) time.Duration {
	switch req.Key {
	case kmsg.JoinGroup, kmsg.SyncGroup:
		return -1
	case kmsg.ShareFetch:
		if msg, err := req.Body.Peek(); err == nil {
			return time.Duration(msg.(*kmsg.ShareFetchRequest).MaxWaitMillis) * time.Millisecond
		}
	case kmsg.Fetch:
		return time.Duration(req.Body.View().MaxWaitMillis) * time.Millisecond
	}
	return 0
}
