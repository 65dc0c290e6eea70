// Command upper is a guest that changes every value: it makes letters upper case where they stand.
package main

import (
	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/testing/bench/guests/letters"
)

type upper struct{}

func (upper) OnProduce(r *sdk.Records) error { return all(r) }
func (upper) OnFetch(r *sdk.Records) error   { return all(r) }

func all(r *sdk.Records) error {
	for _, rec := range r.All() {
		letters.Upper(rec.Value())
		rec.SetValueInPlace()
	}
	return nil
}

func init() { sdk.Register(sdk.New("upper", upper{})) }

func main() {}
