// Command hostile does what the first record's value says.
package main

import (
	"errors"

	"github.com/sluice-gateway/sluice/sdk"
)

type hostile struct{ hog [][]byte }

func (h *hostile) OnProduce(r *sdk.Records) error {
	switch string(r.At(0).Value()) {
	case "loop":
		for {
			h.hog = h.hog[:0]
		}
	case "panic":
		panic("boom")
	case "memory":
		for {
			h.hog = append(h.hog, make([]byte, 1<<20))
		}
	case "edit":
		panic(r.At(9).Value()) // outside of the block
	case "refuse":
		return errors.New("not like this")
	}
	return nil
}

func init() { sdk.Register(&hostile{}) }

func main() {}
