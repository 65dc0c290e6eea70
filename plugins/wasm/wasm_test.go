package wasm

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/testing/plugintest"
)

// guest builds a guest from source.
func guest(t *testing.T, dir string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "guest.wasm")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-o", out, ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	return out
}

func build(t *testing.T, yaml string) (*Wasm, error) {
	t.Helper()
	i, err := Spec().New(t.Context(), plugintest.Env(t, plugintest.NewCluster("prod", 0, 1, "orders")), plugintest.Section(t, yaml))
	if err != nil {
		return nil, err
	}
	w := i.(*Wasm)
	t.Cleanup(func() { _ = w.Close() })
	return w, nil
}

// records makes an uncompressed batch of values, in a codec if one is named.
func records(t *testing.T, codec int8, values ...string) kafka.Batch {
	t.Helper()
	b := make(kafka.Batch, kafka.BatchHeader)
	b[16] = 2
	binary.BigEndian.PutUint16(b[21:], uint16(codec))
	binary.BigEndian.PutUint32(b[23:], uint32(len(values)-1))
	binary.BigEndian.PutUint64(b[27:], 1000)
	binary.BigEndian.PutUint64(b[35:], 1000)
	binary.BigEndian.PutUint64(b[43:], 77)
	binary.BigEndian.PutUint32(b[57:], uint32(len(values)))
	var list []kafka.Record
	for i, v := range values {
		r := kafka.Record{Offset: int64(i), Timestamp: 1000 + int64(i), Key: []byte("k"), Value: []byte(v)}
		if v == "" {
			r.Value = nil
		}
		if strings.HasPrefix(v, "has") {
			r.Headers = []kmsg.Header{{Key: "via", Value: []byte("its own")}}
		}
		list = append(list, r)
	}
	out, err := kafka.Rebuild(b, list)
	if err != nil {
		t.Fatal(err)
	}
	return out
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

// run sends a request and returns what the next handler was given.
func run(t *testing.T, w *Wasm, m *kmsg.ProduceRequest) (sent *kmsg.ProduceRequest, code int16, err error) {
	t.Helper()
	resp, err := w.Intercept(t.Context(), plugintest.Request(t, m, "prod"), plugin.HandlerFunc(func(_ context.Context, req *plugin.Request) (*plugin.Response, error) {
		sent = plugintest.Sent[*kmsg.ProduceRequest](t, req)
		return plugin.Fail(req, 0, "")
	}))
	if err != nil {
		return sent, 0, err
	}
	return sent, plugintest.Decode[*kmsg.ProduceResponse](t, resp).Topics[0].Partitions[0].ErrorCode, nil
}

const example = "../../sdk/examples/header"

// TestHeadersAreAdded in every codec; records that need none and batches without an edit leave as they
// came.
func TestHeadersAreAdded(t *testing.T) {
	w, err := build(t, fmt.Sprintf("{file: %q, topics: [\"ord*\"], config: {key: via, value: sluice}}", guest(t, example)))
	if err != nil {
		t.Fatal(err)
	}
	for codec := range int8(5) {
		untouched := records(t, codec, "has-1", "")
		sent, code, err := run(t, w, produce("orders", records(t, codec, "a", "has-2", "", "b"), untouched))
		if err != nil || code != 0 {
			t.Fatalf("codec %d: %d %v", codec, code, err)
		}
		n := 0
		for _, b := range kafka.Batches(sent.Topics[0].Partitions[0].Records) {
			if !b.ValidCRC() || b.Compression() != codec || b.ProducerID() != 77 {
				t.Errorf("codec %d: CRC %t, codec %d, producer %d", codec, b.ValidCRC(), b.Compression(), b.ProducerID())
			}
			if n++; n == 2 {
				if string(b) != string(untouched) {
					t.Errorf("codec %d: a batch without an edit was changed", codec)
				}
				continue
			}
			got, err := kafka.Records(b)
			if err != nil {
				t.Fatal(err)
			}
			for i, want := range []string{"sluice", "its own", "", "sluice"} {
				r := got[i]
				if r.Offset != int64(i) || r.Timestamp != 1000+int64(i) || string(r.Key) != "k" {
					t.Errorf("record %d became %+v", i, r)
				}
				if (want == "") != (len(r.Headers) == 0) || want != "" && (len(r.Headers) != 1 || string(r.Headers[0].Value) != want) {
					t.Errorf("codec %d: record %d has headers %v", codec, i, r.Headers)
				}
			}
		}
		if n != 2 {
			t.Errorf("%d batches", n)
		}
	}
	m := produce("other", records(t, 0, "a"))
	if sent, _, err := run(t, w, m); err != nil || string(sent.Topics[0].Partitions[0].Records) != string(m.Topics[0].Partitions[0].Records) {
		t.Errorf("a topic that the guest does not cover was changed: %v", err)
	}
}

// TestHostileGuestsCostTheirOwnRequest: the next one is served, by a new instance.
func TestHostileGuestsCostTheirOwnRequest(t *testing.T) {
	file := guest(t, "testdata/hostile")
	for _, onError := range []string{"reject", "pass"} {
		w, err := build(t, fmt.Sprintf("{file: %q, timeout: 300ms, memory: 16MiB, on_error: %s}", file, onError))
		if err != nil {
			t.Fatal(err)
		}
		for _, what := range []string{"loop", "panic", "memory", "edit"} {
			began := time.Now()
			sent, code, err := run(t, w, produce("orders", records(t, 0, what)))
			if onError == "reject" && err == nil || onError == "pass" && (err != nil || code != 0 || sent == nil) {
				t.Errorf("%s, %s: code %d, %v", onError, what, code, err)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("%s took %s", what, took)
			}
			if sent, code, err := run(t, w, produce("orders", records(t, 0, "fine"))); err != nil || code != 0 || sent == nil {
				t.Errorf("after %s: code %d, %v", what, code, err)
			}
		}
		if sent, code, err := run(t, w, produce("orders", records(t, 0, "refuse"))); err != nil || code != 44 || sent != nil {
			t.Errorf("a refusal: code %d, %v, sent %v", code, err, sent)
		}
	}
}

func TestBadSectionsAreRefused(t *testing.T) {
	good := guest(t, example)
	empty := filepath.Join(t.TempDir(), "empty.wasm")
	if err := os.WriteFile(empty, []byte("\x00asm\x01\x00\x00\x00"), 0o600); err != nil {
		t.Fatal(err)
	}
	for yaml, want := range map[string]string{
		"{}":                                       "file is missing",
		"{file: nowhere.wasm}":                     "no such file",
		"{file: " + empty + "}":                    "no export sluice_abi",
		"{file: " + example + "/main.go}":          "no such file",
		"{file: " + good + ", sha256: abcd}":       "digest",
		"{file: " + good + ", config: {value: x}}": "config.key is missing",
		"{file: " + good + ", on_error: maybe}":    "reject, pass",
		"{file: " + good + ", topics: [\"[\"]}":    "glob",
		"{file: " + good + ", memory: 1}":          "memory",
		"{file: " + good + ", timeuot: 1s}":        "timeout",
	} {
		_, err := build(t, yaml)
		var errs config.Errors
		if !errors.As(err, &errs) || !strings.Contains(err.Error(), want) || errs[0].Line == 0 {
			t.Errorf("%s: %v, want %q with a position", yaml, err, want)
		}
	}
}

// TestTheSameGuestIsSharedByRuntimes: an edit that does not concern it compiles nothing.
func TestTheSameGuestIsSharedByRuntimes(t *testing.T) {
	spec := Spec()
	env := plugintest.Env(t, plugintest.NewCluster("prod", 0, 1))
	section := plugintest.Section(t, fmt.Sprintf("{file: %q, config: {key: a}}", guest(t, example)))
	a, err := spec.New(t.Context(), env, section)
	if err != nil {
		t.Fatal(err)
	}
	b, err := spec.New(t.Context(), env, section)
	if err != nil {
		t.Fatal(err)
	}
	if a.(*Wasm).pool != b.(*Wasm).pool {
		t.Error("compiled twice")
	}
	_ = a.(*Wasm).Close()
	if _, code, err := run(t, b.(*Wasm), produce("orders", records(t, 0, "x"))); err != nil || code != 0 {
		t.Errorf("after the first has closed: %d %v", code, err)
	}
	_ = b.(*Wasm).Close()
}

// FuzzResult: what a guest returns never panics, and is refused or within its bounds.
func FuzzResult(f *testing.F) {
	f.Add(make([]byte, 24))
	f.Add([]byte{24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 24, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(_ *testing.T, b []byte) { _, _, _ = parseResult(b) })
}
