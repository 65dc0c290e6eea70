package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/testing/authority"
	"github.com/sluice-gateway/sluice/testing/clients"
	"github.com/sluice-gateway/sluice/testing/clients/rdkafka"
	"github.com/sluice-gateway/sluice/testing/gatewaytest"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// behind is a cluster as the gateway reaches it: by the listeners that ask for TLS and SASL.
type behind struct{ *kafkatest.RealCluster }

func (b behind) Bootstrap() []string { return b.GuardedBootstrap() }

// TestClustersThatAskForTLSAndSASL: in front of clusters of SASL_SSL a move goes as in front of
// others; what they refuse is named as what it is.
func TestClustersThatAskForTLSAndSASL(t *testing.T) {
	kafkatest.Require(t, "java", "mvn", "javac")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	t.Cleanup(cancel)
	a := authority.New(t)
	a.Server(false)
	more := []string{
		"listener.name.guarded.ssl.keystore.type=PEM", "listener.name.guarded.ssl.keystore.location=" + a.File("broker.both.pem"),
		"listener.name.guarded.sasl.enabled.mechanisms=SCRAM-SHA-512,PLAIN",
		`listener.name.guarded.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_sluice="open";`,
		"listener.name.guarded.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;",
	}
	p := pairOf(ctx, t, func(name, dir string) (*kafkatest.RealCluster, error) {
		return kafkatest.Guarded(ctx, name, kafkatest.Kafka4, dir, 1, "SASL_SSL", more...)
	})
	for _, c := range []*kafkatest.RealCluster{p.prod, p.dr} {
		user(t, c, "sluice", "open")
	}
	door := fmt.Sprintf("tls: {ca: %q}, sasl: {mechanism: SCRAM-SHA-512, username: sluice, password: open}", a.File("ca.pem"))
	var err error
	if p.gw, err = gatewaytest.StartGuarded(ctx, t.TempDir(), map[string]string{p.topic: "prod"}, door, logger(), behind{p.prod}, behind{p.dr}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.gw.Stop() })
	p.copy(p.prod, p.dr, nil)
	t.Cleanup(func() { p.copier.Stop() })
	const v = kafkatest.Kafka4
	l := p.load(map[string]clients.Client{"java": clients.JavaProducer(v), "librdkafka": rdkafka.Producer(true), "franz": clients.FranzProducer},
		map[string]clients.Client{"java_848": clients.JavaConsumer(v, "consumer"), "librdkafka_c": rdkafka.Consumer, "franz_c": clients.FranzConsumer})
	l.more(300)
	if err := p.gw.Edit(p.topic+": {cluster: prod}", p.topic+": {cluster: dr}"); err != nil {
		t.Fatal(err)
	}
	if m := p.moved(1); !m.Planned {
		t.Errorf("the move was none that was planned: %+v", m)
	}
	l.more(300)
	r := l.finish()
	p.show(r, l)
	if !r.Clean() {
		t.Errorf("a client noticed: %+v", r)
	}
	ready := func() string { _, body := p.call("GET", "/readyz", ""); return body }
	for _, wrong := range [][2]string{
		{"password: open", "password: shut"}, {"SCRAM-SHA-512", "PLAIN"}, {"PLAIN", "SCRAM-SHA-256"},
	} {
		if err := p.gw.EditAll(func(text string) string { return strings.ReplaceAll(text, wrong[0], wrong[1]) }); err != nil {
			t.Fatal(err)
		}
		p.wait(fmt.Sprintf("two clusters that refuse %q", wrong[1]), func() bool { return strings.Count(ready(), plugin.ErrCredentials.Error()) == 2 }, ready)
	}
}

// user gives a user of SCRAM-SHA-512 a password.
func user(t *testing.T, c *kafkatest.RealCluster, name, password string) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.Bootstrap()...))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	got, err := kadm.NewClient(cl).AlterUserSCRAMs(t.Context(), nil, []kadm.UpsertSCRAM{{User: name, Mechanism: kadm.ScramSha512, Iterations: 4096, Password: password}})
	if err != nil {
		t.Fatal(err)
	}
	if err := got.Error(); err != nil {
		t.Fatal(err)
	}
}
