package state

import (
	"errors"
	"testing"

	"github.com/sluice-gateway/sluice/core/catalog"
)

// TestReadTakesNothing: what is stored is read while nobody has the store, which stays whose it
// was.
func TestReadTakesNothing(t *testing.T) {
	dir := t.TempDir()
	if list, err := Read(dir); err != nil || len(list) != 0 {
		t.Errorf("where there is none: %v, %v", list, err)
	}
	f, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Append(t.Context(), catalog.Entry{Kind: "k", Key: "a", Value: []byte("1")}); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(dir); !errors.Is(err, ErrInUse) {
		t.Errorf("while a gateway has it: %v", err)
	}
	if err := f.Append(t.Context(), catalog.Entry{Kind: "k", Key: "b", Value: []byte("2")}); err != nil {
		t.Errorf("the gateway has lost it: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	list, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 2 || list[1].Key != "b" {
		t.Errorf("read %v", list)
	}
}
