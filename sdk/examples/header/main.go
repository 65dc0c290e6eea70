// Command header is a plugin that adds a header to every record that has none of that name.
package main

import (
	"errors"

	"github.com/sluice-gateway/sluice/sdk"
)

type header struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

var _ sdk.Producer = (*header)(nil)

func (h *header) Configure(b []byte) error {
	if err := sdk.ReadConfig(b, h); err != nil {
		return err
	}
	if h.Key == "" {
		return errors.New("config.key is missing: the name of the header")
	}
	return nil
}

func (h *header) OnProduce(r *sdk.Records) error {
	for _, rec := range r.All() {
		if _, ok := rec.Header(h.Key); !ok && h.Key != "" {
			rec.AddHeader(h.Key, []byte(h.Value))
		}
	}
	return nil
}

func init() { sdk.Register(sdk.New("header", &header{})) }

func main() {}
