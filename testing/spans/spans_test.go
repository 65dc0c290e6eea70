package spans

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/testing/fact"
)

// one is a batch as the Collector writes it; the child comes first, as children end first.
const one = `{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"sluice"}}]},"scopeSpans":[{"scope":{},"spans":[
{"traceId":"0a","spanId":"02","parentSpanId":"01","name":"Produce","kind":3,"startTimeUnixNano":"1000500000","endTimeUnixNano":"1001500000",
 "attributes":[{"key":"n","value":{"intValue":"7"}},{"key":"share","value":{"doubleValue":0.5}},{"key":"list","value":{"arrayValue":{"values":[{"stringValue":"a"},{"boolValue":true}]}}}],
 "events":[{"timeUnixNano":"1000600000","name":"sent"}]},
{"traceId":"0a","spanId":"01","parentSpanId":"","name":"Produce","kind":2,"startTimeUnixNano":"1000000000","endTimeUnixNano":"1002000000",
 "events":[{"timeUnixNano":"1000100000","name":"held","attributes":[{"key":"why","value":{"stringValue":"move"}}]}],"links":[{"traceId":"0b","spanId":"03"}],"status":{"code":2}}]}]}]}
{"resourceMetrics":[{}]}
{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"0b","spanId":"03","name":"move","kind":1,"startTimeUnixNano":"1","endTimeUnixNano":"2"}]}]}]}
`

func TestReadAndWrite(t *testing.T) {
	list, err := Read(strings.NewReader(one))
	if err != nil {
		t.Fatal(err)
	}
	about := fact.Of(t, "%+v", list)
	if fact.Equal(about, "len(list)", len(list), 3) {
		fact.Equal(about, `list[0].Resource["service.name"]`, list[0].Resource["service.name"], "sluice")
		fact.Equal(about, "list[1].Status.Code", list[1].Status.Code, Failed)
		fact.Equal(about, "list[2].Kind", list[2].Kind, Internal)
	}
	var b strings.Builder
	if err := Write(&b, list, "0a"); err != nil {
		t.Fatal(err)
	}
	const want = `trace 0a
                    began ms  lasted ms
SERVER Produce        +0.000      2.000
  link to span 03 of trace 0b
  * held why=move     +0.100
  CLIENT Produce      +0.500      1.000
    list: a,true
    n: 7
    share: 0.5
    * sent            +0.600
`
	if b.String() != want {
		t.Errorf("%s", b.String())
	}
	if Write(&b, list, "0c") == nil {
		t.Error("a trace that does not exist is shown")
	}
	for _, wrong := range []string{"{", `{"resourceSpans":[{"scopeSpans":[{"spans":[{"startTimeUnixNano":"soon"}]}]}]}`} {
		if _, err := Read(strings.NewReader(wrong)); err == nil {
			t.Errorf("%s is read", wrong)
		}
	}
}

// recorded is a trace that the Collector wrote in an end-to-end test.
func recorded(t *testing.T) []Span {
	t.Helper()
	f, err := os.Open("testdata/produce.json")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	list, err := Read(f)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestTheTraceInTheDocument is what the command shows of the recorded one.
func TestTheTraceInTheDocument(t *testing.T) {
	list := recorded(t)
	var b strings.Builder
	if err := Write(&b, list, list[0].Trace); err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../../core/telemetry/README.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(readme), "```\n"+b.String()+"```\n") {
		t.Errorf("core/telemetry/README.md does not show\n%s", b.String())
	}
}

func TestZipkin(t *testing.T) {
	list := recorded(t)
	var b strings.Builder
	if err := Zipkin(&b, list, []string{list[0].Trace}); err != nil {
		t.Fatal(err)
	}
	var got []zipkin
	if err := json.Unmarshal([]byte(b.String()), &got); err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	for i, z := range got {
		s := list[i]
		kinds[z.Kind]++
		about := fact.Of(t, "%+v became %+v", s, z)
		fact.Equal(about, "z.Trace", z.Trace, s.Trace)
		fact.Equal(about, "z.ID", z.ID, s.ID)
		fact.Equal(about, "z.Parent", z.Parent, s.Parent)
		fact.Equal(about, "z.Name", z.Name, s.Name)
		fact.Equal(about, "z.Timestamp", z.Timestamp, s.Start.UnixMicro())
		fact.AtLeast(about, "z.Duration", z.Duration, 1)
		fact.Equal(about, `z.Service["serviceName"]`, z.Service["serviceName"], "sluice")
		if fact.Equal(about, "len(z.Tags)", len(z.Tags), len(s.Attributes)) {
			fact.Equal(about, "len(z.Annotations)", len(z.Annotations), len(s.Events))
		}
	}
	if len(got) != len(list) || kinds["SERVER"] != 1 || kinds["CLIENT"] != 1 {
		t.Errorf("%d spans of %d, of the kinds %v", len(got), len(list), kinds)
	}
	b.Reset()
	if err := Zipkin(&b, list, nil); err != nil || b.String() != "[]\n" {
		t.Errorf("without a trace: %q %v", b.String(), err)
	}
}
