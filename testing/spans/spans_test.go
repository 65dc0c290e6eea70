package spans

import (
	"strings"
	"testing"
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
	if len(list) != 3 || list[0].Resource["service.name"] != "sluice" || list[1].Status.Code != Failed || list[2].Kind != Internal {
		t.Errorf("%+v", list)
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
