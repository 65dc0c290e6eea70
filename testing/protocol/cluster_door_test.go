package protocol

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/failover"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/upstream"
	"github.com/sluice-gateway/sluice/core/wire"
	"github.com/sluice-gateway/sluice/testing/authority"
	"github.com/sluice-gateway/sluice/testing/eventually"
	"github.com/sluice-gateway/sluice/testing/gatewaytest"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// locked are clusters with topics that are entered by opts.
func locked(t *testing.T, opts ...kfake.Opt) (prod, dr *kafkatest.FakeCluster) {
	t.Helper()
	var all []*kafkatest.FakeCluster
	for _, name := range []string{"prod", "dr"} {
		c, err := kafkatest.Fake(name, 2, map[string]int32{"orders": 3}, opts...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		all = append(all, c)
	}
	return all[0], all[1]
}

// TestClustersAreEntered by TLS, mTLS and each mechanism of SASL, and serve as others do.
func TestClustersAreEntered(t *testing.T) {
	a := authority.New(t)
	a.Make("gateway", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	ca := fmt.Sprintf("tls: {ca: %q}", a.File("ca.pem"))
	signIn := func(mechanism string) (yaml string, opt []kfake.Opt) {
		return fmt.Sprintf("sasl: {mechanism: %s, username: sluice, password: open}", mechanism), []kfake.Opt{kfake.EnableSASL(), kfake.Superuser(mechanism, "sluice", "open")}
	}
	plain, byPlain := signIn("PLAIN")
	scram256, byScram256 := signIn("SCRAM-SHA-256")
	scram512, byScram512 := signIn("SCRAM-SHA-512")
	for name, c := range map[string]struct {
		opts []kfake.Opt
		yaml []string
	}{
		"TLS":                  {[]kfake.Opt{kfake.TLS(a.Server(false))}, []string{ca}},
		"another server name":  {[]kfake.Opt{kfake.TLS(a.Server(false))}, []string{fmt.Sprintf("tls: {ca: %q, server_name: kafka.example}", a.File("ca.pem"))}},
		"mTLS":                 {[]kfake.Opt{kfake.TLS(a.Server(true))}, []string{fmt.Sprintf("tls: {ca: %q, cert: %q, key: %q}", a.File("ca.pem"), a.File("gateway.pem"), a.File("gateway.key"))}},
		"PLAIN":                {byPlain, []string{plain}},
		"SCRAM-SHA-256":        {byScram256, []string{scram256}},
		"SCRAM-SHA-512 in TLS": {append(byScram512, kfake.TLS(a.Server(false))), []string{scram512, ca}},
	} {
		t.Run(name, func(t *testing.T) {
			h := &house{t: t, ctx: eventually.Context(t)}
			h.prod, h.dr = locked(t, c.opts...)
			var err error
			if h.gw, err = gatewaytest.StartGuarded(h.ctx, t.TempDir(), map[string]string{"orders": "prod"}, strings.Join(c.yaml, ", "), quiet(), h.prod, h.dr); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = h.gw.Stop() })
			s := &seen{all: map[string]int{}}
			m := h.join(s, "app", "one", "orders")
			h.write(h.client(h.gw.Bootstrap), "orders", "x", 30)
			h.wait("all records", func() bool { return s.count() == 30 })
			m.leave()
			if _, body := h.call("GET", "/readyz", ""); strings.Count(body, `"reachable": true`) != 2 {
				t.Errorf("not both clusters are reachable: %s", body)
			}
		})
	}
}

// TestWhatIsWrongAtTheDoor of a cluster has a name, and is not taken for the death of the cluster.
func TestWhatIsWrongAtTheDoor(t *testing.T) {
	a, other := authority.New(t), authority.New(t)
	other.Make("gateway", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	ca := config.ClusterTLS{CA: a.File("ca.pem")}
	sasl := []kfake.Opt{kfake.EnableSASL(), kfake.Superuser(config.ScramSHA256, "sluice", "open")}
	known := config.SASL{Mechanism: config.ScramSHA256, Username: "sluice", Password: "open"}
	changed := func(c config.SASL, f func(*config.SASL)) *config.SASL { f(&c); return &c }
	for name, c := range map[string]struct {
		opts []kfake.Opt
		tls  *config.ClusterTLS
		sasl *config.SASL
		want error
	}{
		"a wrong password":                {sasl, nil, changed(known, func(s *config.SASL) { s.Password = "shut" }), plugin.ErrCredentials},
		"an unknown user":                 {sasl, nil, changed(known, func(s *config.SASL) { s.Username = "nobody" }), plugin.ErrCredentials},
		"no SASL where there is some":     {sasl, nil, nil, plugin.ErrNotKafka},
		"a CA that is not the broker's":   {[]kfake.Opt{kfake.TLS(a.Server(false))}, &config.ClusterTLS{CA: other.File("ca.pem")}, nil, plugin.ErrCertificate},
		"a name that is not the broker's": {[]kfake.Opt{kfake.TLS(a.Server(false))}, &config.ClusterTLS{CA: ca.CA, ServerName: "other.example"}, nil, plugin.ErrCertificate},
		"no certificate of the gateway":   {[]kfake.Opt{kfake.TLS(a.Server(true))}, &ca, nil, plugin.ErrCertificate},
		"a certificate of another authority": {[]kfake.Opt{kfake.TLS(a.Server(true))},
			&config.ClusterTLS{CA: ca.CA, Cert: other.File("gateway.pem"), Key: other.File("gateway.key")}, nil, plugin.ErrCertificate},
		"TLS where there is none":        {nil, &ca, nil, plugin.ErrNotKafka},
		"plain text where there is TLS":  {[]kfake.Opt{kfake.TLS(a.Server(false))}, nil, nil, plugin.ErrNotKafka},
		"SASL in plain text behind TLS":  {append(sasl, kfake.TLS(a.Server(false))), nil, &known, plugin.ErrNotKafka},
		"a file of ours that is missing": {[]kfake.Opt{kfake.TLS(a.Server(false))}, &config.ClusterTLS{CA: a.File("none.pem")}, nil, plugin.ErrUnable},
	} {
		t.Run(name, func(t *testing.T) {
			prod, _ := locked(t, c.opts...)
			cat, err := catalog.New(forgetful{}, nil)
			if err != nil {
				t.Fatal(err)
			}
			cluster, err := upstream.NewCluster(config.Cluster{Name: "prod", Bootstrap: prod.Bootstrap(), TLS: c.tls, SASL: c.sasl}, cat, quiet(), &wire.Buffers{}, 1<<20, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = cluster.Close() }()
			if !eventually.True(func() bool { return errors.Is(cluster.Trouble(), c.want) }) {
				t.Errorf("%v, want %v", cluster.Trouble(), c.want)
			}
			if strings.Contains(fmt.Sprint(cluster.Trouble()), known.Password) {
				t.Error("the password is in the error")
			}
		})
	}
}

type forgetful struct{}

func (forgetful) Append(context.Context, ...catalog.Entry) error { return nil }

// TestRefusedCredentialsAreNoDeath: an edit does not give up a living home that does not let the
// gateway sign in any more, and goes on when it does.
func TestRefusedCredentialsAreNoDeath(t *testing.T) {
	h := &house{t: t, ctx: eventually.Context(t)}
	h.prod, h.dr = locked(t, kfake.EnableSASL(), kfake.Superuser(config.Plain, "sluice", "open"))
	var err error
	if h.gw, err = gatewaytest.StartGuarded(h.ctx, t.TempDir(), map[string]string{"orders": "prod"}, "sasl: {mechanism: PLAIN, username: sluice, password: open}", quiet(), h.prod, h.dr); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.gw.Stop() })
	h.write(h.client(h.gw.Bootstrap), "orders", "x", 30)
	if err := h.gw.EditAll(func(text string) string { // of prod, which is the first
		return strings.Replace(text, "password: open", "password: shut", 1)
	}); err != nil {
		t.Fatal(err)
	}
	h.wait("the cluster that refuses", func() bool {
		_, body := h.call("GET", "/readyz", "")
		return strings.Contains(body, plugin.ErrCredentials.Error())
	})
	if err := h.gw.EditAll(func(text string) string { return strings.ReplaceAll(text, "{cluster: prod}", "{cluster: dr}") }); err != nil {
		t.Fatal(err)
	}
	h.wait("a move that waits", func() bool {
		moves := h.gw.Moves()
		return len(moves) > 0 && strings.Contains(moves[len(moves)-1].Error, "not known to be gone")
	})
	if m := h.gw.Moves(); m[len(m)-1].Phase == failover.Done {
		t.Errorf("%+v", m)
	}
	if err := h.gw.EditAll(func(text string) string {
		return strings.ReplaceAll(strings.ReplaceAll(text, "{cluster: dr}", "{cluster: prod}"), "password: shut", "password: open")
	}); err != nil {
		t.Fatal(err)
	}
	h.write(h.client(h.gw.Bootstrap), "orders", "y", 30)
}
