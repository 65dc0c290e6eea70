package host

import (
	"context"

	"github.com/sluice-gateway/sluice/plugins/wasm/blocks"
	"github.com/sluice-gateway/sluice/sdk/abi"
)

// Records shows records to the guest and fills in what it makes of them. The error is a
// *blocks.RefusalError if the guest refused all of it; any other means that the call did not work.
func (g *Guest) Records(ctx context.Context, h *blocks.Head, parts []*blocks.Partition) error {
	within, done := h.Client.Decode()
	defer done()
	batches := blocks.Open(&g.buffers, within, h.Kind, parts, g.Manifest.FailClosedOnly)
	defer batches.Release()
	for _, call := range batches.Portions(g.Limits.CallBytes, g.Limits.CallRecords) {
		if err := g.show(ctx, h, &batches, call); err != nil {
			return err
		}
	}
	batches.JudgeDropped(ctx, h, g.Tombstones)
	if err := batches.Assemble(parts); err != nil {
		return err
	}
	if g.Trace != nil {
		for _, p := range parts {
			g.Trace(g.Name, h, p)
		}
	}
	return nil
}

// show makes one call, and writes what it changes while the plugin's copy is still the call's: it
// is read where it stands.
func (g *Guest) show(ctx context.Context, h *blocks.Head, batches *blocks.Batches, call blocks.Portion) error {
	var refusal error // is no failure of the guest
	err := g.invoke(ctx, abi.ExportOnRecords, h, blocks.OfRecords(h, call), func(s blocks.Spender, out, input []byte) error {
		r, err := blocks.ParseResult(out)
		if err != nil {
			return err
		}
		if said := r.Refusal(); said != nil {
			refusal = said
			return nil
		}
		if r.Action != abi.ActionForward || r.Body != nil {
			return blocks.ErrResult
		}
		return batches.Change(s, call, r.Edits, input)
	})
	if err != nil {
		return err
	}
	return refusal
}

// Reclaim takes the memory of what was made of partitions back: nobody reads it any more.
func (g *Guest) Reclaim(parts []*blocks.Partition) { g.buffers.Reclaim(parts) }
