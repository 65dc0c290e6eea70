package wasm

import (
	"fmt"
	"testing"

	"github.com/sluice-gateway/sluice/sdk/examples/mask/mask"
	"github.com/sluice-gateway/sluice/testing/plugintest"
)

// TestTheOthersConform: examples in other languages than Go, which workbench has, and one that is
// compiled in.
func TestTheOthersConform(t *testing.T) {
	const header = ", config: {key: via, value: sluice}"
	for name, guest := range map[string]func(t *testing.T) *Wasm{
		"c-header":    func(t *testing.T) *Wasm { return otherExample(t, languages["c"].header(t), header) },
		"rust-header": func(t *testing.T) *Wasm { return otherExample(t, languages["rust"].header(t), header) },
		"rust-mask":   func(t *testing.T) *Wasm { return otherExample(t, rustGuest(t, "../../sdk/examples/rust-mask"), "") },
		"mask": func(t *testing.T) *Wasm {
			return compiledFrom(t, "mask", mask.New, "{config: {fields: [card], mode: last4}}")
		},
	} {
		t.Run(name, func(t *testing.T) { plugintest.Conform(t, guest(t), "orders") })
	}
}

func otherExample(t *testing.T, file, more string) *Wasm {
	t.Helper()
	w, err := build(t, fmt.Sprintf("{file: %q%s}", file, more))
	if err != nil {
		t.Fatal(err)
	}
	return w
}
