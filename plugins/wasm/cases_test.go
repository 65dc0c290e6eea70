package wasm

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/plugins/wasm/blocks"
	"github.com/sluice-gateway/sluice/plugins/wasm/host"
	"github.com/sluice-gateway/sluice/sdk/abi"
	"github.com/sluice-gateway/sluice/sdk/examples/mask/mask"
	"github.com/sluice-gateway/sluice/testing/eventually"
	"github.com/sluice-gateway/sluice/testing/plugintest"
)

// caseFile is what an example's cases.yaml has.
type caseFile struct {
	Config any `json:"config"`
	Cases  []struct {
		Name    string            `json:"name"`
		Kind    string            `json:"kind"`
		Client  map[string]string `json:"client"`
		Records []caseRecord      `json:"records"`
		Expect  struct {
			Records []caseRecord `json:"records"`
		} `json:"expect"`
	} `json:"cases"`
}

type caseRecord struct {
	Topic     string            `json:"topic"`
	Partition int32             `json:"partition"`
	Key       *string           `json:"key"`
	Value     *string           `json:"value"`
	Headers   map[string]string `json:"headers"`
}

func (r caseRecord) String() string {
	text := func(s *string) string {
		if s == nil {
			return "null"
		}
		return *s
	}
	return fmt.Sprintf("%s %s %v", text(r.Key), text(r.Value), r.Headers)
}

// TestCasesOfTheExamples: the cases that examples in other languages come with are true.
func TestCasesOfTheExamples(t *testing.T) {
	module := func(file func(testing.TB) string) func(t *testing.T) host.Code {
		return func(t *testing.T) host.Code { return compiledModule(t, file(t)) }
	}
	for dir, code := range map[string]func(*testing.T) host.Code{
		"rust-header": module(languages["rust"].header), "c-header": module(languages["c"].header),
		"rust-mask": module(func(t testing.TB) string { return rustGuest(t, "../../sdk/examples/rust-mask") }),
		"mask": func(t *testing.T) host.Code {
			code, err := host.Native(mask.New)
			if err != nil {
				t.Fatal(err)
			}
			return code
		},
	} {
		t.Run(dir, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("../../sdk/examples", dir, "cases.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			const indent = "\n            "
			_, all, err := decode(plugintest.Section(t, "\n          file: x\n          config:"+indent+strings.ReplaceAll(string(text), "\n", indent)), false)
			if err != nil {
				t.Fatal(err)
			}
			var cases caseFile
			if err := json.Unmarshal(all, &cases); err != nil {
				t.Fatal(err)
			}
			g := started(t, code(t), cases.Config)
			for _, c := range cases.Cases {
				h := &blocks.Head{Kind: abi.KindProduce, Key: int16(kmsg.Produce), ClientID: c.Client["id"]}
				if c.Kind == "fetch" {
					h.Kind, h.Key = abi.KindFetch, int16(kmsg.Fetch)
				}
				var parts []*blocks.Partition
				for _, r := range c.Records {
					parts = append(parts, &blocks.Partition{Topic: r.Topic, Number: r.Partition, Records: r.batch(t)})
				}
				if err := g.Records(t.Context(), h, parts); err != nil {
					t.Fatal(err)
				}
				var got []caseRecord
				for _, p := range parts {
					if p.Out != nil {
						p.Records = p.Out
					}
					got = append(got, shownAgain(decoded(t, p.Records))...)
				}
				if fmt.Sprint(got) != fmt.Sprint(c.Expect.Records) {
					t.Errorf("%s: %v, want %v", c.Name, got, c.Expect.Records)
				}
			}
		})
	}
}

func compiledModule(t testing.TB, file string) host.Code {
	t.Helper()
	code, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	m, err := host.Compile(t.Context(), code, host.DefaultLimits().Memory)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

// started is a guest by itself, with a configuration.
func started(t testing.TB, code host.Code, config any) *host.Guest {
	t.Helper()
	var settings []byte
	var err error
	if config != nil {
		if settings, err = json.Marshal(config); err != nil {
			t.Fatal(err)
		}
	}
	limits := host.DefaultLimits()
	limits.Timeout = eventually.Limit
	g, err := host.NewGuest(t.Context(), code, host.Options{Settings: settings, Limits: limits})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g
}

// batch is a batch of the record alone.
func (r caseRecord) batch(t *testing.T) kafka.Batch {
	t.Helper()
	bytes := func(s *string) []byte {
		if s == nil {
			return nil
		}
		return []byte(*s)
	}
	out := kafka.Record{Key: bytes(r.Key), Value: bytes(r.Value)}
	for k, v := range r.Headers {
		out.Headers = append(out.Headers, kmsg.Header{Key: k, Value: []byte(v)})
	}
	b, err := kafka.Rebuild(records(t, shape{producer: -1}, "x"), []kafka.Record{out}, kafka.KeepGaps)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// shownAgain are records as cases write them.
func shownAgain(list []kafka.Record) (out []caseRecord) {
	for _, r := range list {
		c := caseRecord{Headers: map[string]string{}}
		for text, b := range map[**string][]byte{&c.Key: r.Key, &c.Value: r.Value} {
			if b != nil {
				s := string(b)
				*text = &s
			}
		}
		for _, h := range r.Headers {
			c.Headers[h.Key] = string(h.Value)
		}
		out = append(out, c)
	}
	return out
}
