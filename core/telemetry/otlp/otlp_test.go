package otlp

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	metrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	traces "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"

	"github.com/sluice-gateway/sluice/core/telemetry"
	"github.com/sluice-gateway/sluice/core/trust"
)

// identity writes a certificate that signs itself, and its key, and returns where they are.
func identity(t *testing.T, dir, name string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	write := func(suffix, kind string, der []byte) string {
		path := filepath.Join(dir, name+suffix)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write(".crt", "CERTIFICATE", der), write(".key", "PRIVATE KEY", secret)
}

// careful is a receiver over both protocols that asks for a certificate and a header.
type careful struct {
	traces.UnimplementedTraceServiceServer
	seen chan string // header of who was let in
}

func (c *careful) told(header []string) { c.seen <- strings.Join(header, ",") }

func (c *careful) Export(ctx context.Context, _ *traces.ExportTraceServiceRequest) (*traces.ExportTraceServiceResponse, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	c.told(md.Get("authorization"))
	return &traces.ExportTraceServiceResponse{}, nil
}

type carefulMetrics struct {
	metrics.UnimplementedMetricsServiceServer
	*careful
}

func (c carefulMetrics) Export(ctx context.Context, _ *metrics.ExportMetricsServiceRequest) (*metrics.ExportMetricsServiceResponse, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	c.told(md.Get("authorization"))
	return &metrics.ExportMetricsServiceResponse{}, nil
}

// open opens both listeners.
func (c *careful) open(t *testing.T, config *tls.Config) map[string]string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer(grpc.Creds(credentials.NewTLS(config)))
	traces.RegisterTraceServiceServer(g, c)
	metrics.RegisterMetricsServiceServer(g, carefulMetrics{careful: c})
	go func() { _ = g.Serve(l) }()
	t.Cleanup(g.Stop)
	h := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { c.told(r.Header["Authorization"]) }))
	h.TLS = config.Clone()
	h.StartTLS()
	t.Cleanup(h.Close)
	return map[string]string{"grpc": l.Addr().String(), "http": strings.TrimPrefix(h.URL, "https://")}
}

// TestReceiversThatAskForMore: over both protocols, traces and metrics come with headers, from a
// certificate, to one that is known.
func TestReceiversThatAskForMore(t *testing.T) {
	dir := t.TempDir()
	serverCert, serverKey := identity(t, dir, "server")
	cert, key := identity(t, dir, "gateway")
	pair, err := tls.LoadX509KeyPair(serverCert, serverKey)
	if err != nil {
		t.Fatal(err)
	}
	known := x509.NewCertPool()
	b, err := os.ReadFile(cert)
	if err != nil || !known.AppendCertsFromPEM(b) {
		t.Fatal(err)
	}
	c := &careful{seen: make(chan string, 10)}
	for protocol, addr := range c.open(t, &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: known, ClientAuth: tls.RequireAndVerifyClientCert}) {
		to := telemetry.Receiver{Endpoint: addr, Protocol: protocol, Headers: map[string]string{"authorization": "Bearer secret"}, CA: serverCert, Cert: cert, Key: key}
		tracer, err := telemetry.Open(t.Context(), telemetry.Config{Receiver: to, SampleRatio: 1}, Exporters{}, slog.Default())
		if err != nil {
			t.Fatal(err)
		}
		_, r := tracer.Request(t.Context(), kmsg.Fetch, time.Now(), &telemetry.Trace{}, nil)
		r.End(kmsg.Fetch, nil, nil, "", nil)
		if err := tracer.Close(t.Context()); err != nil {
			t.Errorf("%s: %v", protocol, err)
		}
		if got := <-c.seen; got != "Bearer secret" {
			t.Errorf("%s: traces came with %q", protocol, got)
		}
		e, err := telemetry.OpenExport(t.Context(), telemetry.Export{Receiver: to}, Exporters{}, time.Now(), func() []telemetry.Sample { return nil }, slog.Default())
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Close(t.Context()); err != nil {
			t.Errorf("%s: %v", protocol, err)
		}
		if got := <-c.seen; got != "Bearer secret" {
			t.Errorf("%s: metrics came with %q", protocol, got)
		}
	}
}

// TestFilesOfReceivers that can't be used are told by the setting that names them.
func TestFilesOfReceivers(t *testing.T) {
	dir := t.TempDir()
	cert, key := identity(t, dir, "gateway")
	other, _ := identity(t, dir, "other")
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		to      telemetry.Receiver
		setting string
	}{
		"all well":             {telemetry.Receiver{CA: cert, Cert: cert, Key: key}, ""},
		"none":                 {telemetry.Receiver{}, ""},
		"no such CA":           {telemetry.Receiver{CA: filepath.Join(dir, "none")}, "ca"},
		"a CA that is none":    {telemetry.Receiver{CA: empty}, "ca"},
		"no such key":          {telemetry.Receiver{Cert: cert, Key: filepath.Join(dir, "none")}, "cert"},
		"the key of another":   {telemetry.Receiver{Cert: other, Key: key}, "cert"},
		"a certificate as key": {telemetry.Receiver{Cert: cert, Key: cert}, "cert"},
	} {
		for _, protocol := range []string{"grpc", "http"} {
			c.to.Endpoint, c.to.Protocol = "127.0.0.1:1", protocol
			tracer, err := telemetry.Open(t.Context(), telemetry.Config{Receiver: c.to}, Exporters{}, slog.Default())
			var file *trust.FileError
			if errors.As(err, &file) != (c.setting != "") || file != nil && file.Setting != c.setting {
				t.Errorf("%s: %v", name, err)
			}
			if (tracer == nil) != (c.setting != "") {
				t.Errorf("%s: a tracer: %t", name, tracer != nil)
			}
			if err := tracer.Close(t.Context()); err != nil {
				t.Error(err)
			}
			if err := c.to.Check(); (err != nil) != (c.setting != "") {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}
