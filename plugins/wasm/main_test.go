package wasm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/plugins/wasm/host"
	probed "github.com/sluice-gateway/sluice/plugins/wasm/testdata/probe/probe"
	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/testing/eventually"
	"github.com/sluice-gateway/sluice/testing/plugintest"
)

var built struct {
	sync.Mutex
	dir   string
	files map[string]string
}

func TestMain(m *testing.M) {
	built.files = map[string]string{}
	var err error
	if built.dir, err = os.MkdirTemp("", "guests"); err != nil {
		panic(err)
	}
	_ = os.Setenv("XDG_CACHE_HOME", built.dir)
	_ = os.Setenv("GOCACHE", goCache())
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(built.dir)
		os.Exit(code)
	}))
}

// goCache is Go's build cache, which tests go on using though they have a cache of their own for
// modules.
func goCache() string {
	out, err := exec.Command("go", "env", "GOCACHE").Output()
	if err != nil {
		panic(err)
	}
	return string(out[:len(out)-1])
}

// guest builds a guest from source, once.
func guest(t testing.TB, dir string) string {
	t.Helper()
	built.Lock()
	defer built.Unlock()
	if f := built.files[dir]; f != "" {
		return f
	}
	out := filepath.Join(built.dir, fmt.Sprintf("%d.wasm", len(built.files)))
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", out, ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	built.files[dir] = out
	return out
}

const probe, header = "testdata/probe", "../../sdk/examples/header"

// patient lets a guest take its time, on a busy machine, where its section does not say how long it
// may take.
func patient(section string) string {
	const limits = "limits: {"
	switch {
	case strings.Contains(section, "timeout: "), section == "{}":
		return section
	case strings.Contains(section, limits):
		return strings.Replace(section, limits, limits+"timeout: 5m, ", 1)
	}
	return strings.TrimSuffix(section, "}") + ", " + limits + "timeout: 5m}}"
}

func build(t testing.TB, yaml string) (*Wasm, error) {
	t.Helper()
	i, err := Spec().New(t.Context(), plugintest.Env(t, plugintest.NewCluster("prod", 0, 1, "orders")), plugintest.Section(t, patient(yaml)))
	if err != nil {
		return nil, err
	}
	w := i.(*Wasm)
	t.Cleanup(func() { _ = w.Close() })
	return w, nil
}

// probing is a probe with all that it asks for; more is added to its section.
func probing(t testing.TB, more string) *Wasm {
	t.Helper()
	w, err := build(t, fmt.Sprintf("{file: %q, grant: [kv, http, send_request]%s}", guest(t, probe), more))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// compiled is the same, compiled into the test.
func compiled(t testing.TB, more string) *Wasm {
	t.Helper()
	return compiledFrom(t, "probe", probed.New, "{grant: [kv, http, send_request]"+more+"}")
}

func compiledFrom(t testing.TB, name string, create func() *sdk.Guest, section string) *Wasm {
	t.Helper()
	i, err := Compiled(name, create).New(t.Context(), plugintest.Env(t, plugintest.NewCluster("prod", 0, 1, "orders")), plugintest.Section(t, patient(section)))
	if err != nil {
		t.Fatal(err)
	}
	w := i.(*Wasm)
	t.Cleanup(func() { _ = w.Close() })
	return w
}

// starter starts a probe.
type starter func(t testing.TB, more string) *Wasm

// bothWays runs a test with a module and with a plugin that is compiled in: what they do is the
// same.
func bothWays(t *testing.T, test func(t *testing.T, probing starter)) {
	t.Run("module", func(t *testing.T) { test(t, probing) })
	t.Run("compiled", func(t *testing.T) { test(t, compiled) })
}

// shape is what a batch has besides its records.
type shape struct {
	codec    int8
	producer int64
	attrs    int16
}

// records makes a batch of values; "" is null.
func records(t testing.TB, s shape, values ...string) kafka.Batch {
	t.Helper()
	var list []kafka.Record
	for i, v := range values {
		r := kafka.Record{Offset: int64(i), Timestamp: 1000 + int64(i), Key: []byte("k"), Value: []byte(v)}
		if v == "" {
			r.Value = nil
		}
		if len(v) > 3 && v[:3] == "has" {
			r.Headers = []kmsg.Header{{Key: "via", Value: []byte("its own")}}
		}
		if v == "headers" {
			r.Headers = []kmsg.Header{{Key: "old", Value: []byte("1")}, {Key: "kept"}, {Key: "old"}}
		}
		list = append(list, r)
	}
	return plugintest.Batch(t, plugintest.Shape{Codec: s.codec, Producer: s.producer, Attributes: s.attrs}, list)
}

func produce(topic string, batches ...kafka.Batch) *kmsg.ProduceRequest {
	m := kmsg.NewPtrProduceRequest()
	m.SetVersion(9)
	m.Acks = -1
	rt := kmsg.NewProduceRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewProduceRequestTopicPartition()
	for _, b := range batches {
		rp.Records = append(rp.Records, b...)
	}
	rt.Partitions = append(rt.Partitions, rp)
	m.Topics = append(m.Topics, rt)
	return m
}

var clients atomic.Int64

// fresh is a request of a client of its own: a guest is left alone with those with which it has
// failed.
func fresh(t testing.TB, m kmsg.Request) *plugin.Request {
	t.Helper()
	req := plugintest.Request(t, m, "prod")
	req.ClientID = fmt.Sprint("client-", clients.Add(1))
	return req
}

// run sends a request and returns what the next handler was given, and the answer of the first
// partition.
func run(t testing.TB, w *Wasm, m *kmsg.ProduceRequest) (sent *kmsg.ProduceRequest, answer kmsg.ProduceResponseTopicPartition, err error) {
	t.Helper()
	return sendBy(t, w, fresh(t, m))
}

// sendBy is run with a request.
func sendBy(t testing.TB, w *Wasm, req *plugin.Request) (sent *kmsg.ProduceRequest, answer kmsg.ProduceResponseTopicPartition, err error) {
	t.Helper()
	resp, err := w.Intercept(t.Context(), req, plugin.HandlerFunc(func(_ context.Context, req *plugin.Request) (*plugin.Response, error) {
		sent = plugintest.Sent[*kmsg.ProduceRequest](t, req)
		return plugin.Fail(req, 0, "")
	}))
	if err != nil {
		return sent, answer, err
	}
	return sent, plugintest.Decode[*kmsg.ProduceResponse](t, resp).Topics[0].Partitions[0], nil
}

// first are the records of the first batch that was sent.
func first(t testing.TB, sent *kmsg.ProduceRequest) (kafka.Batch, []kafka.Record) {
	t.Helper()
	for _, b := range kafka.Batches(sent.Topics[0].Partitions[0].Records) {
		list, err := kafka.Records(b)
		if err != nil || !b.ValidCRC() {
			t.Fatalf("a broken batch: %v, CRC %t", err, b.ValidCRC())
		}
		return b, list
	}
	t.Fatal("nothing was sent")
	return nil, nil
}

// whole is run with the whole answer.
func whole(t testing.TB, w *Wasm, m *kmsg.ProduceRequest) (out *kmsg.ProduceResponse, sent *kmsg.ProduceRequest, err error) {
	t.Helper()
	resp, err := w.Intercept(t.Context(), fresh(t, m), plugin.HandlerFunc(func(_ context.Context, req *plugin.Request) (*plugin.Response, error) {
		sent = plugintest.Sent[*kmsg.ProduceRequest](t, req)
		return plugin.Fail(req, 0, "")
	}))
	if err != nil {
		return nil, sent, err
	}
	return plugintest.Decode[*kmsg.ProduceResponse](t, resp), sent, nil
}

// refused reports how a request that the guest has failed with is answered: an error, which clients
// are told to try again, or the code of one that would fail again.
func refused(err error, answer kmsg.ProduceResponseTopicPartition) bool {
	return err != nil || kafka.Code(answer.ErrorCode) == kafka.InvalidRecord
}

// served sends requests that do not break a guest until it answers one in its time: on a busy
// machine that may be a later one.
func served(t testing.TB, w *Wasm, after, fine string) {
	t.Helper()
	g := w.Guest()
	if !eventually.True(func() bool {
		failed := g.Failed.Load()
		sent, answer, err := run(t, w, produce("orders", records(t, shape{}, fine)))
		if errors.Is(err, host.ErrDeadline) || err == nil && g.Failed.Load() > failed {
			return false
		}
		if err != nil || answer.ErrorCode != 0 || sent == nil {
			t.Errorf("after %s: code %d, %v", after, answer.ErrorCode, err)
		}
		return true
	}) {
		t.Fatalf("after %s nothing is served", after)
	}
}

// replaced checks that at least n instances were replaced, and none without a failed call.
func replaced(t testing.TB, w *Wasm, n int64) {
	t.Helper()
	if got, failed := w.Guest().Replaced.Load(), w.Guest().Failed.Load(); got < n || got > failed {
		t.Errorf("%d instances replaced for %d failed calls", got, failed)
	}
}

// bare is a request and a next handler that do nothing themselves.
func bare(t testing.TB, m kmsg.Request) (*plugin.Request, plugin.Handler) {
	t.Helper()
	resp := &plugin.Response{}
	return plugintest.Request(t, m, "prod"), plugin.HandlerFunc(func(context.Context, *plugin.Request) (*plugin.Response, error) { return resp, nil })
}
