package server

import (
	"fmt"
	"testing"

	"github.com/sluice-gateway/sluice/testing/fact"
)

// TestNamesThatAreCountedAreBounded: what matches a glob is for clients to say.
func TestNamesThatAreCountedAreBounded(t *testing.T) {
	w, s := NewWatch(nil, []string{"app-*"}), &Server{}
	count := func(name string) {
		if c := countedAs(&w.clients, &s.clients, name); c != nil {
			c.requests.Add(1)
		}
	}
	for i := range mostNames + 50 {
		count(fmt.Sprintf("app-%d", i))
	}
	for i := range mostKnown + 50 {
		count(fmt.Sprintf("stranger-%d", i))
	}
	count("app-7")
	topics, clients := s.Watched()
	about := fact.Of(t, "%d topics, %d clients, %d others, app-7 %d", len(topics), len(clients), clients[Others].Requests, clients["app-7"].Requests)
	if fact.Equal(about, "len(topics)", len(topics), 0) && fact.Equal(about, "len(clients)", len(clients), mostNames+1) {
		fact.Equal(about, "clients[Others].Requests", clients[Others].Requests, 50)
		fact.Equal(about, `clients["app-7"].Requests`, clients["app-7"].Requests, 2)
	}
	if n := len(w.clients.known); n > mostKnown {
		t.Errorf("%d names are remembered", n)
	}
	again := NewWatch(nil, []string{"app-*"}) // of the next configuration: what was counted stays
	countedAs(&again.clients, &s.clients, "app-7").requests.Add(1)
	if _, clients := s.Watched(); clients["app-7"].Requests != 3 {
		t.Errorf("%d", clients["app-7"].Requests)
	}
	if n := testing.AllocsPerRun(100, func() { countedAs(&w.clients, &s.clients, []byte("app-7")) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
	if NewWatch(nil, nil) != nil {
		t.Error("nobody is named, and there is a watch")
	}
}
