package kafka

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// sessionHistory runs a random fetch session and compares every request that leaves the table, and
// every answer that it leaves over, with the model's.
func sessionHistory(t *testing.T, version int16, seed uint64) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, uint64(version)))
	m := &fetchModel{version: version}
	begin := randomFetch(r, version, r.IntN(5), 0)
	m.update(begin)
	n, err := FetchNames(version, begin.AppendTo(nil))
	if err != nil {
		t.Fatal(err)
	}
	table, err := NewFetchTable(version, begin.AppendTo(nil), n)
	if err != nil {
		t.Fatal(err)
	}
	for step := range 20 {
		id, incremental := r.Int32(), step > 0
		if incremental {
			req := randomFetch(r, version, r.IntN(3), r.IntN(2))
			body := req.AppendTo(nil)
			rest, err := table.Update(body)
			if err != nil {
				t.Fatal(err)
			}
			m.update(req)
			got := table.AppendRequest(nil, body, rest)
			if want := m.full(*req); !bytes.Equal(got, want) {
				t.Fatalf("version %d, seed %d, step %d: request\n%x\n%x", version, seed, step, got, want)
			}
			if most := table.RequestSize(rest); len(got) > most {
				t.Fatalf("%d bytes, said to be at most %d", len(got), most)
			}
		}
		resp := randomAnswer(r, m)
		if r.IntN(4) == 0 { // it comes later than a request that changes the table
			req := randomFetch(r, version, 1, 1)
			if _, err := table.Update(req.AppendTo(nil)); err != nil {
				t.Fatal(err)
			}
			m.update(req)
		}
		raw := resp.AppendTo(nil)
		body := NewResponseBody(kmsg.Fetch, version, raw)
		if r.IntN(2) == 0 { // an interceptor has edited it
			if _, err := body.Edit(); err != nil {
				t.Fatal(err)
			}
		}
		table.Answer(body, id, incremental)
		var o Out
		body.AppendTo(&o)
		if got, want := o.Bytes(), m.answer(*resp, id, incremental); !bytes.Equal(got, want) || o.Len() != len(want) {
			t.Fatalf("version %d, seed %d, step %d: answer\n%.400x\n%.400x", version, seed, step, got, want)
		}
		if table.Len() != len(m.parts) {
			t.Fatalf("%d partitions, want %d", table.Len(), len(m.parts))
		}
	}
}

// FuzzFetchSession compares random sessions with a model made of kmsg's messages.
func FuzzFetchSession(f *testing.F) {
	for version := int16(7); version <= 18; version++ {
		for seed := range uint64(30) {
			f.Add(version, seed)
		}
	}
	f.Fuzz(func(t *testing.T, version int16, seed uint64) {
		if version >= 7 && version <= 18 {
			sessionHistory(t, version, seed)
		}
	})
}

// FuzzFetchTable: bytes that don't parse are an error, never a panic.
func FuzzFetchTable(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 1))
	for version := int16(7); version <= 18; version++ {
		f.Add(version, randomFetch(r, version, 3, 2).AppendTo(nil))
	}
	f.Fuzz(func(t *testing.T, version int16, body []byte) {
		if version < 7 || version > 18 {
			return
		}
		n, err := FetchNames(version, body)
		if err != nil {
			return
		}
		table, err := NewFetchTable(version, body, n)
		if err != nil {
			t.Fatal(err)
		}
		rest, err := table.Update(body)
		if err != nil {
			t.Fatal(err)
		}
		again := table.AppendRequest(nil, body, rest)
		if m, err := FetchNames(version, again); err != nil || m != table.Len() {
			t.Fatalf("%d partitions of %d, %v", m, table.Len(), err)
		}
	})
}

func TestFetchSessionField(t *testing.T) {
	for version := range int16(19) {
		req := kmsg.NewPtrFetchRequest()
		req.SetVersion(version)
		req.SessionID, req.SessionEpoch = 77, 5
		body := req.AppendTo(nil)
		id, epoch, ok := FetchSession(version, body)
		if version < 7 {
			if ok {
				t.Errorf("version %d has no sessions", version)
			}
			continue
		}
		if !ok || id != 77 || epoch != 5 {
			t.Errorf("version %d: %d %d %t", version, id, epoch, ok)
		}
		LeaveFetchSession(version, body)
		req.SessionID, req.SessionEpoch = 0, -1
		if !bytes.Equal(body, req.AppendTo(nil)) {
			t.Errorf("version %d: left to %x", version, body)
		}
		if _, _, ok := FetchSession(version, body[:12]); ok {
			t.Errorf("version %d: a short body has a session", version)
		}
	}
}
