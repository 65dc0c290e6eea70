package hostile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/testing/gatewaytest"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// frameMemory is what a frame may take at most, in all of the process, its broker and this test
// included.
const frameMemory = 16 << 20

// number reads a variable of the environment.
func number(name string, otherwise uint64) uint64 {
	if n, err := strconv.ParseUint(os.Getenv(name), 10, 64); err == nil {
		return n
	}
	return otherwise
}

// source is the source of chance of a test, which a failing run can be repeated with.
// SLUICE_HOSTILE_ROUNDS makes it longer.
func source(t *testing.T) (r *rand.Rand, rounds int) {
	t.Helper()
	seed := number("SLUICE_HOSTILE_SEED", rand.Uint64())
	t.Logf("to repeat this: SLUICE_HOSTILE_SEED=%d go test -run '^%s$' ./testing/hostile", seed, t.Name())
	return rand.New(rand.NewPCG(seed, 1)), int(number("SLUICE_HOSTILE_ROUNDS", 4))
}

// journal keeps what the gateway logs.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

// panicked returns what was logged of a panic, and forgets everything.
func (j *journal) panicked() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	defer j.b.Reset()
	if s := j.b.String(); strings.Contains(s, "panic") {
		return s
	}
	return ""
}

// chains are those that are tested: without anybody in a row, and with everybody.
var chains = map[string]string{
	"empty": "[]",
	"full":  "\n      - routing: {default: prod}\n      - topics: {hide: [\"__*\"]}\n      - offsets: {}\n      - traces: {inject: missing}",
}

// start starts a gateway with a chain over a broker.
func start(t *testing.T, chain string) (addr string, b *Broker, log *journal) {
	t.Helper()
	b, err := NewBroker(Topic)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	port, err := kafkatest.FreePorts(11)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "sluice.yaml")
	text := fmt.Sprintf("state: {dir: ./state}\nfailover: {request: 500ms}\nclusters:\n  prod: {bootstrap: [%s], nodes: 0-9}\n"+
		"virtual_clusters:\n  vc:\n    listen: {bootstrap: 127.0.0.1:%d, brokers: {host: 127.0.0.1, ports: %d-%d}}\n    chain: %s\n", b.Address(), port, port+1, port+10, chain)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	log = &journal{}
	g, err := gatewaytest.Open(t.Context(), file, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Stop() })
	return fmt.Sprintf("127.0.0.1:%d", port+1), b, log
}

// patient reports a fetch whose client wants to wait for as long as a hang takes.
func patient(f []byte) bool {
	h, body, err := kafka.ParseHeader(f, "")
	if err != nil || h.Key != kmsg.Fetch && h.Key != kmsg.ShareFetch {
		return false
	}
	if h.Key == kmsg.ShareFetch {
		msg, err := kafka.NewRequestBody(h.Key, h.Version, body).Peek()
		return err == nil && msg.(*kmsg.ShareFetchRequest).MaxWaitMillis > 1000
	}
	return kafka.NewRequestBody(h.Key, h.Version, body).View().MaxWaitMillis > 1000
}

// cost runs f and fails if it took more memory than a frame may.
func cost(t *testing.T, what string, sent []byte, f func()) {
	t.Helper()
	var before, behind runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&behind)
	if got := behind.TotalAlloc - before.TotalAlloc; got > frameMemory {
		t.Errorf("%s: %d bytes of memory for %x", what, got, sent)
	}
}

// TestHostileClients: what is no request closes its connection, as a strict broker does, and what
// is one is Answered; in bounded memory and time, without a panic, and nobody else notices.
func TestHostileClients(t *testing.T) {
	for name, chain := range chains {
		t.Run(name, func(t *testing.T) {
			r, rounds := source(t)
			addr, b, log := start(t, chain)
			panics := guard.Panics()
			Offered(func(api kafka.API, version int16) {
				for round := range rounds {
					f := Request(r, api, version, round%2 > 0)
					if round > 0 {
						f = Bytes(r, f, 8)
					}
					if patient(f) {
						continue
					}
					what := fmt.Sprintf("%s version %d", api.Name, version)
					cost(t, what, f, func() {
						got, err := Send(addr, api.Key, version, f)
						if err != nil {
							t.Errorf("%s: %v: %x", what, err, f)
						}
						if want, _ := Send(b.Address(), api.Key, version, f); name == "empty" && got != want {
							t.Errorf("%s is %s, and by a broker %s: %x", what, got, want, f)
						}
					})
					if said := log.panicked(); said != "" {
						t.Errorf("%s: %x\n%s", what, f, said)
					}
				}
			})
			if n := guard.Panics() - panics; n > 0 {
				t.Errorf("%d panics", n)
			}
		})
	}
}

// TestHostileBrokers: an answer that is none, or says nonsense, costs its own request; what reaches
// the client is a message, in bounded memory and time, without a panic.
func TestHostileBrokers(t *testing.T) {
	for name, chain := range chains {
		t.Run(name, func(t *testing.T) {
			r, rounds := source(t)
			addr, b, log := start(t, chain)
			panics := guard.Panics()
			Offered(func(api kafka.API, version int16) {
				if api.GoesTo == kafka.Gateway {
					return
				}
				for round := range rounds {
					f := Request(r, api, version, round%2 > 0)
					var sent []byte
					b.Mutate(api.Key, func(resp []byte) []byte {
						if round%2 > 0 {
							msg := kmsg.ResponseForKey(int16(api.Key))
							Fill(r, msg, nil)
							msg.SetVersion(version)
							resp = msg.AppendTo(kafka.AppendResponseHeader(nil, api.Key, version, int32(binary.BigEndian.Uint32(resp))))
						}
						if round != 1 {
							resp = Bytes(r, resp, 4)
						}
						sent = resp
						return resp
					})
					what := fmt.Sprintf("%s version %d", api.Name, version)
					cost(t, what, f, func() {
						if _, err := Send(addr, api.Key, version, f); err != nil {
							t.Errorf("%s: %v: %x", what, err, f)
						}
					})
					if said := log.panicked(); said != "" {
						t.Errorf("%s: %x, Answered %x\n%s", what, f, sent, said)
					}
				}
			})
			if n := guard.Panics() - panics; n > 0 {
				t.Errorf("%d panics", n)
			}
			if got, err := Send(addr, kmsg.Metadata, 9, Request(r, mustAPI(kmsg.Metadata), 9, false)); err != nil || got != Answered {
				t.Errorf("afterwards a client is %s, %v", got, err)
			}
		})
	}
}

func mustAPI(key kmsg.Key) kafka.API {
	api, _ := kafka.Lookup(key)
	return api
}

// TestTheBrokerIsStrict, or the others prove nothing.
func TestTheBrokerIsStrict(t *testing.T) {
	b, err := NewBroker(Topic)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	f := Request(nil, mustAPI(kmsg.Heartbeat), 4, false)
	if got, err := Send(b.Address(), kmsg.Heartbeat, 4, f); got != Answered || err != nil {
		t.Errorf("a request is %s, %v", got, err)
	}
	if got, err := Send(b.Address(), kmsg.Heartbeat, 4, f[:len(f)-2]); got != Closed || err != nil {
		t.Errorf("half a request is %s, %v", got, err)
	}
	b.Mutate(kmsg.Heartbeat, func(frame []byte) []byte { return frame[:5] })
	if _, err := Send(b.Address(), kmsg.Heartbeat, 4, f); err == nil || errors.Is(err, io.EOF) || !b.Mutated() {
		t.Errorf("half an answer: %v", err)
	}
}
