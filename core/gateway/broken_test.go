package gateway

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/failover"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/plugins/wasm"
	"github.com/sluice-gateway/sluice/testing/eventually"
	"github.com/sluice-gateway/sluice/testing/fact"
	"github.com/sluice-gateway/sluice/testing/handmade"
)

const withGuest = `
failover: {hold: 10s}
clusters: {prod: {bootstrap: [127.0.0.1:1], nodes: 0-0}}
virtual_clusters:
  a: {listen: {bootstrap: 127.0.0.1:$1, brokers: {host: 127.0.0.1, ports: $2-$2}}, chain: [{wasm: {file: guest.wasm}}]}
`

// guested is a gateway with a guest, whose file is version 1.
func guested(t *testing.T, source string) *reloading {
	t.Helper()
	r := writeReloading(t, source)
	r.module(handmade.Guest{Name: "guest", Version: "1"}.Module())
	r.start(wasm.Spec())
	return r
}

func (r *reloading) guestFile() string { return filepath.Join(filepath.Dir(r.path), "guest.wasm") }

func (r *reloading) module(b []byte) {
	r.t.Helper()
	if err := os.WriteFile(r.guestFile(), b, 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// look is what the gateway does from time to time, so often that a change has settled.
func (r *reloading) look() {
	if r.follows.tried == nil {
		r.follows = files{seen: map[string]plugin.Stamp{}, tried: map[string]plugin.Stamp{}}
	}
	for range 3 {
		r.refreshCertificates()
		if changed := r.follows.changed(r.interceptors()); changed != "" {
			r.rebuild(r.t.Context(), changed)
		}
	}
}

// version is the one that runs; "" is none.
func (r *reloading) version() string {
	s, _ := (operator{r.Gateway}).Plugins()[0].Status.(wasm.Status)
	return s.Version
}

// saysBroken wants a part to be reported as broken, everywhere, or nothing to be.
func (r *reloading) saysBroken(part, why string) {
	r.t.Helper()
	all := (operator{r.Gateway}).Ready().Broken
	if why == "" {
		if len(all) != 0 {
			r.t.Errorf("%v is broken", all)
		}
		return
	}
	about := fact.Must(r.t, "%+v is broken, not %s for %q", all, part, why)
	fact.Equal(about, "len(all)", len(all), 1)
	fact.Equal(about, "all[0].Part", all[0].Part, part)
	fact.Equal(about, "all[0].VirtualCluster", all[0].VirtualCluster, "a")
	fact.Has(about, all[0].Error, why)
	if got := (operator{r.Gateway}).Status().Broken; len(got) != 1 || got[0] != all[0] {
		r.t.Errorf("the status says %v", got)
	}
	n := 0
	for _, s := range r.collect() {
		if s.Metric.Name == "sluice.part.broken" && s.Value == 1 && fmt.Sprint(s.Values) == "[a "+part+"]" {
			n++
		}
	}
	if n != 1 {
		r.t.Errorf("%d series of what is broken", n)
	}
	if got := (operator{r.Gateway}).Ready(); got.Status != "ready" || got.ConfigError != "" {
		r.t.Errorf("the gateway is %q, with %q", got.Status, got.ConfigError)
	}
}

// edits makes one edit by hand and one by the API.
func (r *reloading) edits(source string) {
	r.t.Helper()
	if err := r.apply(source); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(r.path, r.Snapshot().Source, 0o600); err != nil {
		r.t.Fatal(err)
	}
	if err := r.EditFile(r.t.Context(), []config.Edit{{Path: []string{"failover", "hold"}, Value: "12s"}}, failover.Options{}); err != nil {
		r.t.Fatal(err)
	}
}

var broken = map[string]struct {
	module []byte
	why    string
}{
	"gone":                {nil, "no such file"},
	"no module":           {[]byte("no module"), "not a WASM module"},
	"cut":                 {handmade.Guest{Name: "guest", Version: "2"}.Module()[:100], "not a WASM module"},
	"no guest":            {[]byte("\x00asm\x01\x00\x00\x00"), "does not export"},
	"fails its self-test": {handmade.Guest{Name: "guest", Version: "2", SelfTest: []byte{0}}.Module(), "self-test"},
	"fails at its start":  {handmade.Guest{Name: "guest", Version: "2", Start: []byte{0}}.Module(), "start"},
}

// TestABrokenFileKeepsWhatRuns, and every edit that does not concern it is made, before the file is
// looked at and after.
func TestABrokenFileKeepsWhatRuns(t *testing.T) {
	for name, c := range broken {
		t.Run(name, func(t *testing.T) {
			r := guested(t, withGuest)
			if c.module == nil {
				if err := os.Remove(r.guestFile()); err != nil {
					t.Fatal(err)
				}
			} else {
				r.module(c.module)
			}
			r.edits(strings.Replace(withGuest, "10s", "11s", 1))
			r.look()
			r.saysBroken("wasm guest", c.why)
			if p := (operator{r.Gateway}).Plugins()[0]; !strings.Contains(p.Broken, c.why) {
				t.Errorf("the plugin says %q", p.Broken)
			}
			r.edits(strings.Replace(withGuest, "10s", "13s", 1))
			r.saysBroken("wasm guest", c.why)
			if v := r.version(); v != "1" {
				t.Errorf("version %q runs", v)
			}
			// Another section is not what runs.
			if err := r.apply(strings.Replace(withGuest, "{file: guest.wasm}", "{file: guest.wasm, limits: {series: 1}}", 1)); err == nil || !strings.Contains(err.Error(), c.why) {
				t.Errorf("an edit of the plugin: %v", err)
			}
			if err := r.apply(withGuest); err != nil {
				t.Fatal(err)
			}
			r.module(handmade.Guest{Name: "guest", Version: "3"}.Module())
			r.look()
			r.saysBroken("", "")
			if v := r.version(); v != "3" {
				t.Errorf("version %q runs", v)
			}
		})
	}
}

// TestTheSameFileComesBack: it is well then.
func TestTheSameFileComesBack(t *testing.T) {
	r := guested(t, withGuest)
	away := r.guestFile() + ".away"
	if err := os.Rename(r.guestFile(), away); err != nil {
		t.Fatal(err)
	}
	r.look()
	r.saysBroken("wasm guest", "no such file")
	if err := os.Rename(away, r.guestFile()); err != nil {
		t.Fatal(err)
	}
	r.look()
	r.saysBroken("", "")
}

// TestOnErrorDecidesAtStart about a guest that can't be had, until it can.
func TestOnErrorDecidesAtStart(t *testing.T) {
	for name, c := range broken {
		for _, onError := range []string{"reject", "pass"} {
			t.Run(name+", "+onError, func(t *testing.T) {
				source := strings.Replace(withGuest, "guest.wasm", "guest.wasm, on_error: "+onError, 1)
				r := writeReloading(t, source)
				if c.module != nil {
					r.module(c.module)
				}
				r.start(wasm.Spec())
				r.saysBroken("wasm guest", c.why)
				chain := r.now().runtimes["a"].chain
				if passes := chain.Passes(kmsg.Produce) && chain.Passes(kmsg.CreateTopics) && chain.Passes(kmsg.Metadata); passes != (onError == "pass") {
					t.Errorf("with %s, requests pass: %t", onError, passes)
				}
				if onError == "reject" {
					if code := r.metadata("orders"); code != 5 { // LEADER_NOT_AVAILABLE: try again
						t.Errorf("clients get %s", kafka.Code(code).Name())
					}
				}
				r.edits(strings.Replace(source, "10s", "11s", 1))
				r.saysBroken("wasm guest", c.why)
				r.module(handmade.Guest{Name: "guest", Version: "3"}.Module())
				r.look()
				r.saysBroken("", "")
				if v := r.version(); v != "3" {
					t.Errorf("version %q runs", v)
				}
			})
		}
	}
}

// TestAnImageThatIsGone: what runs goes on, and at start on_error decides until the image is there
// again.
func TestAnImageThatIsGone(t *testing.T) {
	source := strings.Replace(withGuest, "file: guest.wasm", "image: \"oci:images@sha256:"+strings.Repeat("0", 64)+"\", on_error: pass", 1)
	r := writeReloading(t, source)
	r.start(wasm.Spec())
	r.saysBroken("wasm oci:images@sha256:"+strings.Repeat("0", 64), "OCI layout")
	r.edits(strings.Replace(source, "10s", "11s", 1))
}

// TestWhatIsBrokenIsTriedAgain, more and more rarely: not all that mends is a file.
func TestWhatIsBrokenIsTriedAgain(t *testing.T) {
	r := guested(t, withGuest)
	now := time.Now()
	var f files
	tries := func(d time.Duration) (n int) {
		for end := now.Add(d); now.Before(end); now = now.Add(time.Second) {
			if f.due(r.interceptors(), now) {
				n++
			}
		}
		return n
	}
	if n := tries(time.Hour); n != 0 {
		t.Errorf("what is well was tried %d times", n)
	}
	r.module([]byte("no module"))
	r.look()
	if n := tries(time.Minute); n < 2 || n > 3 {
		t.Errorf("%d tries in a minute", n)
	}
	if n := tries(time.Hour); n < 12 || n > 16 {
		t.Errorf("%d tries in an hour", n)
	}
}

const withCertificate = `
failover: {hold: 10s}
clusters: {prod: {bootstrap: [127.0.0.1:1], nodes: 0-0}}
virtual_clusters:
  a: {listen: {bootstrap: 127.0.0.1:$1, tls: {cert: a.crt, key: a.key}, brokers: {host: 127.0.0.1, ports: $2-$2}}, chain: []}
`

// certificate writes a certificate and its key.
func (r *reloading) certificate() {
	r.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		r.t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		r.t.Fatal(err)
	}
	raw, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		r.t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{"a.crt": {Type: "CERTIFICATE", Bytes: der}, "a.key": {Type: "EC PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(filepath.Join(filepath.Dir(r.path), file), pem.EncodeToMemory(block), 0o600); err != nil {
			r.t.Fatal(err)
		}
	}
}

// accepts reports whether a connection with TLS can be made.
func (r *reloading) accepts() bool {
	c, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", r.port(1)), &tls.Config{InsecureSkipVerify: true})
	if err == nil {
		_ = c.Close()
	}
	return err == nil
}

// TestABrokenCertificate stays as it was loaded while its files are broken, through every edit; at
// start, connections fail until there is one, and the gateway serves.
func TestABrokenCertificate(t *testing.T) {
	for name, spoil := range map[string]func(file string) error{
		"gone":   os.Remove,
		"broken": func(file string) error { return os.WriteFile(file, []byte("half"), 0o600) },
	} {
		for _, file := range []string{"a.crt", "a.key"} {
			t.Run(name+" "+file, func(t *testing.T) {
				r := writeReloading(t, withCertificate)
				r.certificate()
				r.start()
				if err := spoil(filepath.Join(filepath.Dir(r.path), file)); err != nil {
					t.Fatal(err)
				}
				r.edits(strings.Replace(withCertificate, "10s", "11s", 1))
				r.look()
				r.saysBroken("listen.tls", "listen.tls: ")
				r.edits(strings.Replace(withCertificate, "10s", "13s", 1))
				if !r.accepts() {
					t.Error("the certificate of before is not in force")
				}
				if err := r.Close(); err != nil {
					t.Fatal(err)
				}
				r.open()
				if r.accepts() {
					t.Error("accepted without a certificate")
				}
				r.saysBroken("listen.tls", "listen.tls: ")
				r.certificate()
				r.look()
				r.saysBroken("", "")
				if !r.accepts() {
					t.Error("the certificate is not used")
				}
			})
		}
	}
}

// metadata asks for a topic and returns its error.
func (r *reloading) metadata(topic string) int16 {
	r.t.Helper()
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", r.port(1)))
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	m := kmsg.NewPtrMetadataRequest()
	m.Version = 1
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = &topic
	m.Topics = append(m.Topics, t)
	if _, err := c.Write(kmsg.NewRequestFormatter().AppendRequest(nil, m, 1)); err != nil {
		r.t.Fatal(err)
	}
	var size [4]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		r.t.Fatal(err)
	}
	b := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(c, b); err != nil {
		r.t.Fatal(err)
	}
	resp := m.ResponseKind().(*kmsg.MetadataResponse)
	if err := resp.ReadFrom(b[4:]); err != nil {
		r.t.Fatal(err)
	}
	return resp.Topics[0].ErrorCode
}

// TestNoEditWaitsForAPlugin: while a new version of one never ends to start, other edits are made,
// by hand and by the API.
func TestNoEditWaitsForAPlugin(t *testing.T) {
	r := guested(t, withGuest)
	r.module(handmade.Guest{Name: "guest", Version: "2", SelfTest: handmade.Forever}.Module())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.rebuild(ctx, r.guestFile())
	}()
	r.edits(strings.Replace(withGuest, "10s", "11s", 1))
	r.edits(strings.Replace(withGuest, "10s", "13s", 1))
	select {
	case <-done:
		t.Error("it has ended")
	default:
	}
	cancel()
	<-done
	if v := r.version(); v != "1" {
		t.Errorf("version %q runs", v)
	}
	r.saysBroken("", "") // nobody knows
}

// TestANewerContentDoesNotWaitForAnOlderOne, whose plugin never ends to start; nor does the end of
// the gateway.
func TestANewerContentDoesNotWaitForAnOlderOne(t *testing.T) {
	r := guested(t, withGuest)
	if err := os.WriteFile(filepath.Join(filepath.Dir(r.path), "endless.wasm"), handmade.Guest{Name: "endless", Start: handmade.Forever}.Module(), 0o600); err != nil {
		t.Fatal(err)
	}
	endless := strings.Replace(withGuest, "{wasm: {file: guest.wasm}}", "{wasm: {file: guest.wasm}}, {wasm: {file: endless.wasm}}", 1)
	ctx, cancel := context.WithCancel(t.Context())
	edits, done := make(chan []byte), make(chan struct{})
	go func() {
		defer close(done)
		r.followEdits(ctx, edits)
	}()
	edit := func(source string) {
		t.Helper()
		if err := os.WriteFile(r.path, r.file(source), 0o600); err != nil {
			t.Fatal(err)
		}
		edits <- r.file(source)
	}
	edit(endless)
	edit(strings.Replace(withGuest, "10s", "11s", 1))
	if !eventually.True(func() bool { return r.Snapshot().Failover.Hold == 11*time.Second }) {
		t.Fatal("the newer content does not come into force")
	}
	edit(endless)
	cancel()
	<-done
	if e := r.lastReload().Error; e != "" {
		t.Errorf("an error that nobody made: %s", e)
	}
}

// closes counts its closes.
type closes struct{ n chan struct{} }

func (c closes) Close() error { c.n <- struct{}{}; return nil }

// TestAPluginThatDoesNotLookIsLeftAlone, and what it comes to is closed.
func TestAPluginThatDoesNotLookIsLeftAlone(t *testing.T) {
	entered, leave, closed := make(chan struct{}), make(chan struct{}), closes{make(chan struct{}, 1)}
	spec := plugin.Spec{Type: "slow", Prepare: func(context.Context, plugin.Env, config.Section, bool) (plugin.Prepared, error) {
		close(entered)
		<-leave
		return plugin.Prepared{Closer: closed}, nil
	}}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-entered
		cancel()
	}()
	if _, err := prepareOne(ctx, spec, plugin.Env{}, config.Section{}, false); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	close(leave)
	<-closed.n
}
