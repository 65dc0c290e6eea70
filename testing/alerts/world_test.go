package alerts

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-gateway/sluice/core/failover"
	"github.com/sluice-gateway/sluice/plugins/wasm"
	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/testing/eventually"
	"github.com/sluice-gateway/sluice/testing/gatewaytest"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

const tenant = "passThroughTenant"

// world is a gateway over two clusters, with a replicator, that two servers of Prometheus watch.
type world struct {
	t        *testing.T
	ctx      context.Context
	prod, dr *kafkatest.FakeCluster
	gw       *gatewaytest.Gateway
	copier   *kafkatest.Copier
	log      *lines
	servers  map[string]*prometheus
	secure   int // a port
}

// lines keeps a log.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) has(parts ...string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.b.String()) {
		found := true
		for _, p := range parts {
			found = found && strings.Contains(line, p)
		}
		if found {
			return true
		}
	}
	return false
}

// moody is a plugin that panics.
type moody struct{}

func (moody) OnProduce(*sdk.Records) error { panic("no such customer") }

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, ctx: eventually.Context(t), log: &lines{}}
	topics := map[string]int32{"orders": 1}
	var err error
	for name, c := range map[string]**kafkatest.FakeCluster{"prod": &w.prod, "dr": &w.dr} {
		if *c, err = kafkatest.Fake(name, 1, topics); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = (*c).Close() })
	}
	port, err := kafkatest.FreePorts(24)
	if err != nil {
		t.Fatal(err)
	}
	file, err := gatewaytest.Config(t.TempDir(), port, map[string]string{"orders": "prod"}, "", map[string][]string{"prod": w.prod.Bootstrap(), "dr": w.dr.Bootstrap()}, "prod", "dr")
	if err != nil {
		t.Fatal(err)
	}
	plugin := wasm.Compiled("moody", func() *sdk.Guest { return sdk.New("moody", moody{}) })
	if w.gw, err = gatewaytest.Open(w.ctx, file, slog.New(slog.NewTextHandler(w.log, nil)), plugin); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.gw.Stop() })
	w.gw.Bootstrap, w.gw.Admin, w.secure = fmt.Sprintf("127.0.0.1:%d", port), fmt.Sprintf("http://127.0.0.1:%d", port+1), port+22
	w.copy(nil)
	w.servers = map[string]*prometheus{"classic": start(t, w.gw.Admin), "native": start(t, w.gw.Admin, "native-histograms")}
	return w
}

// copy starts the replicator where it has ended.
func (w *world) copy(from map[string]map[int32]int64) {
	w.t.Helper()
	var err error
	if w.copier, err = kafkatest.StartCopier(w.ctx, kafkatest.CopierConfig{From: w.prod.Bootstrap(), To: w.dr.Bootstrap(), Topics: []string{"orders"}, Start: from}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) edit(from, to string) {
	w.t.Helper()
	if err := w.gw.Edit(from, to); err != nil {
		w.t.Fatal(err)
	}
}

// client is one of its own connection.
func (w *world) client(more ...kgo.Opt) *kgo.Client {
	w.t.Helper()
	c, err := kgo.NewClient(append(more, kgo.SeedBrokers(w.gw.Bootstrap), kgo.DefaultProduceTopic("orders"), kgo.ProducerLinger(0), kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.RecordDeliveryTimeout(10*time.Minute), kgo.UnknownTopicRetries(-1))...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(c.Close)
	return c
}

// produce writes records through the gateway, which are acknowledged.
func (w *world) produce(n int) {
	w.t.Helper()
	c := w.client()
	for i := range n {
		if err := c.ProduceSync(w.ctx, &kgo.Record{Value: fmt.Appendf(nil, "%d", i)}).FirstErr(); err != nil {
			w.t.Fatal(err)
		}
	}
}

// flow produces until it is ended, a record after the other, whatever becomes of them.
func (w *world) flow() (end func()) {
	c := w.client()
	ctx, cancel := context.WithCancel(w.ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			_ = c.ProduceSync(ctx, &kgo.Record{Value: fmt.Appendf(nil, "flow %d", i)}).FirstErr()
			pause(ctx, 20*time.Millisecond)
		}
	})
	return func() {
		cancel()
		wg.Wait()
	}
}

// strangers write a record each, one after the other, until end is called.
func (w *world) strangers() (end func()) {
	ctx, cancel := context.WithCancel(w.ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			c := w.client(kgo.ClientID(fmt.Sprint("stranger-", i)))
			_ = c.ProduceSync(ctx, &kgo.Record{Value: []byte("once")}).FirstErr()
			c.Close()
			pause(ctx, 250*time.Millisecond)
		}
	})
	return func() {
		cancel()
		wg.Wait()
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func (w *world) restart(c *kafkatest.FakeCluster) {
	w.t.Helper()
	for _, n := range c.Nodes() {
		if err := c.Restart(w.ctx, n); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) kill(c *kafkatest.FakeCluster) {
	w.t.Helper()
	if err := kafkatest.KillAll(c); err != nil {
		w.t.Fatal(err)
	}
}

// moved waits until the newest move has ended in a phase.
func (w *world) moved(to string) {
	w.t.Helper()
	if !eventually.True(func() bool {
		all := w.gw.Moves()
		return len(all) > 0 && all[len(all)-1].To == to && all[len(all)-1].Phase == failover.Done
	}) {
		w.t.Fatalf("no move to %s: %+v", to, w.gw.Moves())
	}
}

func (w *world) post(path, body string) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.ctx, http.MethodPost, w.gw.Admin+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	req.SetBasicAuth("none", "none")
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		w.t.Fatalf("%s: %s", path, resp.Status)
	}
}

// certificate writes one that expires after a time, with its key, beside the gateway's file.
func (w *world) certificate(left time.Duration) {
	w.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(left), DNSNames: []string{"kafka.test"}}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		w.t.Fatal(err)
	}
	raw, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		w.t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{"server.crt": {Type: "CERTIFICATE", Bytes: der}, "server.key": {Type: "EC PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(filepath.Join(w.gw.Dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
}
