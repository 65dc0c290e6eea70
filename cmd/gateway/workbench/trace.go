package workbench

import (
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/plugins/wasm"
	"github.com/sluice-gateway/sluice/plugins/wasm/blocks"
	"github.com/sluice-gateway/sluice/sdk/abi"
)

// Traced makes guests write what they do to each record.
func Traced(specs []plugin.Spec, w io.Writer) []plugin.Spec {
	var mu sync.Mutex
	for i := range specs {
		if specs[i].Type == "wasm" {
			specs[i] = wasm.TracedSpec(func(guest string, h *blocks.Head, p *blocks.Partition) {
				mu.Lock()
				defer mu.Unlock()
				trace(w, guest, h, p)
			})
		}
	}
	return specs
}

func trace(w io.Writer, guest string, h *blocks.Head, p *blocks.Partition) {
	kind := "produce"
	if h.Kind == abi.KindFetch {
		kind = "fetch"
	}
	where := fmt.Sprintf("%s %s %s/%d", guest, kind, p.Topic, p.Number)
	for _, r := range p.Rejected {
		fmt.Fprintf(w, "%s: record %d rejected: %d %s\n", where, r.Index, r.Code, r.Message)
	}
	for _, d := range p.Dropped {
		fmt.Fprintf(w, "%s: record %d dropped\n", where, d)
	}
	if p.Refused != nil {
		return
	}
	before, after := decode(p.Records), decode(p.Out)
	if p.Out == nil {
		after = before
	}
	at := 0
	for i, r := range before {
		if contains(p.Dropped, i) || at >= len(after) {
			continue
		}
		fmt.Fprintf(w, "%s: record %d %s\n", where, i, changes(r, after[at]))
		at++
	}
}

func contains(list []int, n int) bool {
	for _, x := range list {
		if x == n {
			return true
		}
	}
	return false
}

func decode(raw []byte) (out []Record) {
	for _, b := range kafka.Batches(raw) {
		if b.IsControl() {
			continue
		}
		list, err := kafka.Records(b)
		if err != nil {
			return out
		}
		for _, r := range list {
			out = append(out, record(r))
		}
	}
	return out
}

// changes says in a few words what became of a record.
func changes(before, after Record) string {
	var out []string
	if !same(before.Key, after.Key) {
		out = append(out, fmt.Sprintf("key %s -> %s", before.Key, after.Key))
	}
	if !same(before.Value, after.Value) {
		out = append(out, fmt.Sprintf("value %s -> %s", before.Value, after.Value))
	}
	if b, a := before.Headers.String(), after.Headers.String(); b != a {
		out = append(out, fmt.Sprintf("headers %s -> %s", b, a))
	}
	if len(out) == 0 {
		return "as it was: " + before.Value.String()
	}
	return strings.Join(out, ", ")
}
