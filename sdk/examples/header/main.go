// Command header is a plugin that adds a header to every record that has none of that name.
package main

import (
	"encoding/json"
	"errors"

	"github.com/sluice-gateway/sluice/sdk"
)

type header struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

func (h *header) Configure(b []byte) error {
	if err := json.Unmarshal(b, h); err != nil {
		return err
	}
	if h.Key == "" {
		return errors.New("config.key is missing: the name of the header")
	}
	return nil
}

func (h *header) OnProduce(r *sdk.Records) error {
	for _, rec := range r.All() {
		if _, ok := rec.Header(h.Key); !ok {
			rec.AddHeader(h.Key, []byte(h.Value))
		}
	}
	return nil
}

func init() { sdk.Register("header", &header{}) }

func main() {}
