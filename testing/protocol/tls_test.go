package protocol

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-gateway/sluice/testing/authority"
	"github.com/sluice-gateway/sluice/testing/eventually"
	"github.com/sluice-gateway/sluice/testing/gatewaytest"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// certificate writes a certificate for names and its key, and returns who vouches for it.
func certificate(t *testing.T, dir string, names ...string) *x509.CertPool {
	t.Helper()
	a := authority.New(t)
	a.Make("server", &x509.Certificate{DNSNames: names})
	for from, to := range map[string]string{"server.pem": "server.crt", "server.key": "server.key"} {
		b, err := os.ReadFile(a.File(from))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, to), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return a.Pool()
}

// TestNodesByServerName: one TLS port, a host name per node, and a move.
func TestNodesByServerName(t *testing.T) {
	ctx := eventually.Context(t)
	h := &house{t: t, ctx: ctx, prod: fake(t, "prod", map[string]int32{"orders": 3}), dr: fake(t, "dr", map[string]int32{"orders": 3})}
	dir := t.TempDir()
	pool := certificate(t, dir, "boot.kafka.test", "*.nodes.kafka.test")
	port, err := kafkatest.FreePorts(2)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "sluice.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, `
admin: {listen: 127.0.0.1:%d, users: [{name: none, password: none}]}
state: {dir: ./state}
clusters:
  prod: {bootstrap: [%s]}
  dr: {bootstrap: [%s]}
virtual_clusters:
  %s:
    listen: {bootstrap: 127.0.0.1:%d, tls: {cert: server.crt, key: server.key}, brokers: {sni: b$(node).nodes.kafka.test, advertised_port: 9443}}
    chain:
      - routing: {default: prod, topics: {orders: {cluster: prod}}}
      - topics: {}
      - offsets: {}
`, port+1, strings.Join(h.prod.Bootstrap(), ", "), strings.Join(h.dr.Bootstrap(), ", "), tenant, port), 0o644); err != nil {
		t.Fatal(err)
	}
	if h.gw, err = gatewaytest.Open(ctx, file, quiet()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.gw.Stop() })

	var mu sync.Mutex
	dialled := map[string]bool{}
	dial := kgo.Dialer(func(ctx context.Context, network, addr string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		mu.Lock()
		dialled[addr] = true
		mu.Unlock()
		d := tls.Dialer{Config: &tls.Config{RootCAs: pool, ServerName: host}}
		return d.DialContext(ctx, network, fmt.Sprintf("127.0.0.1:%d", port))
	})
	c := h.client("boot.kafka.test:9443", dial)
	h.produce(c, "orders", "x", 5)
	m, err := kadm.NewClient(c).Metadata(ctx, "orders")
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range m.Brokers {
		if want := fmt.Sprintf("b%d.nodes.kafka.test", b.NodeID); b.Host != want || b.Port != 9443 {
			t.Errorf("node %d is at %s:%d", b.NodeID, b.Host, b.Port)
		}
	}
	leader := m.Topics["orders"].Partitions[0].Leader
	h.copier(kafkatest.Faults{}, "orders")
	if err := h.gw.Edit("orders: {cluster: prod}", "orders: {cluster: dr}"); err != nil {
		t.Fatal(err)
	}
	h.moved(1)
	if at := h.produce(c, "orders", "y", 5); at[0] != 5 {
		t.Errorf("after the move from offset %d", at[0])
	}
	c = h.client("boot.kafka.test:9443", dial) // the other one keeps its metadata for a while
	h.produce(c, "orders", "y", 1)
	if m, err = kadm.NewClient(c).Metadata(ctx, "orders"); err != nil {
		t.Fatal(err)
	}
	now := m.Topics["orders"].Partitions[0].Leader
	mu.Lock()
	defer mu.Unlock()
	for _, node := range []int32{leader, now} {
		if !dialled[fmt.Sprintf("b%d.nodes.kafka.test:9443", node)] {
			t.Errorf("leader %d was not asked by its own name: %v", node, dialled)
		}
	}
	if leader == now {
		t.Errorf("the leader is still %d", now)
	}
	// A client that does not speak TLS harms nobody.
	plain, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = plain.Write([]byte{0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0, 0})
	_ = plain.SetReadDeadline(time.Now().Add(eventually.Limit))
	for b := make([]byte, 64); err == nil; {
		_, err = plain.Read(b)
	}
	_ = plain.Close()
	h.produce(c, "orders", "z", 1)
	// A renewed certificate is used for new connections; half of one, between two writes, is not.
	if err := os.WriteFile(filepath.Join(dir, "server.key"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	renewed := certificate(t, dir, "boot.kafka.test")
	h.wait("the new certificate", func() bool {
		conn, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port), &tls.Config{RootCAs: renewed, ServerName: "boot.kafka.test"})
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	h.produce(c, "orders", "old connection", 1)
}
