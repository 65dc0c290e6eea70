package catalog

import (
	"testing"
	"testing/synctest"
	"time"
)

func batch(first, last int32, base int64) Remembered {
	return Remembered{First: first, Last: last, Base: base}
}

func TestMemoryJudgesResendsAfterAMove(t *testing.T) {
	var m Memory
	m.Remember(0, 7, batch(0, 4, 100))
	m.Remember(0, 7, batch(5, 9, 105))
	if v, _ := m.Judge(0, 7, batch(20, 24, -1)); v != Pass {
		t.Error("before a move the broker judges")
	}
	m.Turn()
	if v, base := m.Judge(0, 7, batch(5, 9, -1)); v != Duplicate || base != 105 {
		t.Errorf("a resend is judged %d, base %d", v, base)
	}
	if v, _ := m.Judge(0, 7, batch(15, 19, -1)); v != OutOfOrder {
		t.Errorf("a gap is judged %d", v)
	}
	if v, _ := m.Judge(0, 7, batch(10, 14, -1)); v != Pass {
		t.Errorf("the next batch is judged %d", v)
	}
	if v, _ := m.Judge(0, 7, batch(15, 19, -1)); v != Early {
		t.Errorf("a pipelined successor is judged %d", v)
	}
	if v, _ := m.Judge(0, 7, batch(10, 14, -1)); v != Pass {
		t.Error("what was sent and not acknowledged may be sent again")
	}
	if v, _ := m.Judge(0, 7, batch(30, 34, -1)); v != Early {
		t.Errorf("a gap behind what was sent is judged %d", v)
	}
	m.Failed(0, 7, batch(15, 19, -1), false) // was not sent
	if v, _ := m.Judge(0, 7, batch(15, 19, -1)); v != Early {
		t.Error("the failure of another batch counted")
	}
	m.Failed(0, 7, batch(10, 14, -1), false)
	if v, _ := m.Judge(0, 7, batch(15, 19, -1)); v != OutOfOrder {
		t.Error("the successor of what failed passed")
	}
	if v, _ := m.Judge(0, 7, batch(10, 14, -1)); v != Pass {
		t.Error("what failed may be sent again")
	}
	m.Remember(0, 7, batch(10, 14, 200))
	if v, _ := m.Judge(0, 7, batch(99, 99, -1)); v != Pass {
		t.Error("after the first acknowledgement the broker judges")
	}
	if v, _ := m.Judge(0, 8, batch(50, 50, -1)); v != Pass {
		t.Error("a producer that nobody remembers passes")
	}
}

func TestMemoryLeavesTheJudgementToAHomeThatHasTheBatch(t *testing.T) {
	var m Memory
	m.Remember(0, 7, batch(0, 4, 100))
	m.Turn()
	m.Judge(0, 7, batch(5, 9, -1))
	m.Failed(0, 7, batch(5, 9, -1), true)
	if v, _ := m.Judge(0, 7, batch(10, 14, -1)); v != Pass {
		t.Errorf("the successor of a batch that the home has is judged %d", v)
	}
}

func TestMemoryKeepsFiveBatchesAndSequencesWrap(t *testing.T) {
	var m Memory
	for i := range int32(9) {
		m.Remember(1, 7, batch(i, i, int64(i)))
	}
	if got := len(m.Snapshot()[1][7].Batches); got != 5 {
		t.Errorf("%d batches remembered", got)
	}
	m.Remember(1, 9, batch(1<<31-2, 1<<31-1, 0))
	m.Turn()
	if v, _ := m.Judge(1, 9, batch(0, 3, -1)); v != Pass {
		t.Error("a sequence that wraps is out of order")
	}
}

func TestMemoryAfterARestartForgives(t *testing.T) {
	var m, again Memory
	m.Remember(0, 7, batch(0, 4, 100))
	again.Restore(m.Snapshot())
	if v, base := again.Judge(0, 7, batch(0, 4, -1)); v != Duplicate || base != 100 {
		t.Errorf("a resend after a restart is judged %d at %d", v, base)
	}
	if v, _ := again.Judge(0, 7, batch(40, 44, -1)); v != Pass {
		t.Error("batches acknowledged after the last write are unknown: the gap must pass")
	}
}

func TestProducerIDsKeepTheirGeneration(t *testing.T) {
	id := ProducerBit | 5<<ProducerCounterBits | 42
	for _, g := range []int32{0, 1, 77, 1<<15 - 1} {
		s := StampProducer(id, g)
		if !IsGatewayProducer(s) || ClientProducer(s) != id || (g > 0 && s == id) {
			t.Errorf("generation %d: %x is stamped %x, for the client %x", g, id, s, ClientProducer(s))
		}
	}
	if IsGatewayProducer(-1) || IsGatewayProducer(4711) || ClientProducer(4711) != 4711 {
		t.Error("ids of clusters are touched")
	}
}

// TestMemoryKeepsTheOrderOfSequences, in whatever order acknowledgements are noted.
func TestMemoryKeepsTheOrderOfSequences(t *testing.T) {
	for _, first := range []int32{0, 1<<31 - 3} { // where numbers wrap
		var m Memory
		seq := func(i int32) int32 { return int32((int64(first) + int64(i)) & 0x7fffffff) }
		for _, i := range []int32{1, 0, 2, 5, 4, 3, 6} {
			m.Remember(0, 7, batch(seq(i), seq(i), int64(i)))
		}
		m.Turn()
		if v, _ := m.Judge(0, 7, batch(seq(7), seq(7), -1)); v != Pass {
			t.Errorf("from %d on: the next batch is judged %d", first, v)
		}
		if v, base := m.Judge(0, 7, batch(seq(5), seq(5), -1)); v != Duplicate || base != 5 {
			t.Errorf("from %d on: a batch that is sent again is judged %d, base %d", first, v, base)
		}
	}
}

// broke while the move held the second. The home would answer the first with 45.
func TestABatchOfBeforeAMoveIsRecognisedLate(t *testing.T) {
	var m Memory
	m.Remember(0, 7, batch(0, 4, 100))
	m.Turn()
	m.Judge(0, 7, batch(5, 9, -1))
	m.Remember(0, 7, batch(5, 9, 105))
	if v, base := m.Judge(0, 7, batch(0, 4, -1)); v != Duplicate || base != 100 {
		t.Errorf("judged %d, base %d", v, base)
	}
}

// move since.
func TestAMoveAfterARestartForgives(t *testing.T) {
	var m, again Memory
	m.Remember(0, 7, batch(0, 4, 100))
	m.Remember(0, 8, batch(0, 4, 105))
	again.Restore(m.Snapshot())
	again.Remember(0, 8, batch(40, 44, 300))
	again.Turn()
	if v, _ := again.Judge(0, 7, batch(40, 44, -1)); v != Pass {
		t.Errorf("a producer that was quiet since the restart is judged %d", v)
	}
	if v, _ := again.Judge(0, 8, batch(50, 54, -1)); v != OutOfOrder {
		t.Errorf("a gap of one that was not is judged %d", v)
	}
}

// TestARecreatedTopicRemembersNoProducers, also after a restart; nor does a forgotten one leave
// anything.
func TestARecreatedTopicRemembersNoProducers(t *testing.T) {
	log := &memoryLog{}
	stored := Entry{Kind: KindMemory, Key: "vc\x00a", Value: []byte(`{"0":{"7":{"batches":[{"e":0,"f":0,"l":4,"b":100}],"used":1}}}`)}
	again := map[string]func(v *Virtual) error{
		"recreated": func(v *Virtual) error {
			return v.Ensure(t.Context(), Seen{Name: "a", Cluster: "prod", ID: [16]byte{9}, Partitions: 1})
		},
		"deleted and recreated": func(v *Virtual) error {
			if err := v.Update(t.Context(), "a", func(n *Topic) error { n.Deleted = []string{"dr"}; return nil }); err != nil {
				return err
			}
			return v.Ensure(t.Context(), Seen{Name: "a", Cluster: "prod", ID: [16]byte{9}, Partitions: 1})
		},
		"forgotten": func(v *Virtual) error {
			if err := v.Update(t.Context(), "a", func(n *Topic) error { n.Deleted = []string{}; return nil }); err != nil {
				return err
			}
			return v.Forget(t.Context(), "a")
		},
	}
	for name, change := range again {
		v := fresh(t, log)
		if err := v.Ensure(t.Context(), Seen{Name: "a", Cluster: "prod", ID: physicalID, Partitions: 1}); err != nil {
			t.Fatal(err)
		}
		if err := log.Append(t.Context(), stored); err != nil {
			t.Fatal(err)
		}
		v = fresh(t, log)
		if !v.Topic("a").Memory().Reaches(0, 7, 0, 4) {
			t.Fatal("not restored")
		}
		if err := change(v); err != nil {
			t.Fatal(err)
		}
		if topic := fresh(t, log).Topic("a"); topic != nil && topic.Memory().Reaches(0, 7, 0, 4) {
			t.Errorf("%s: the old topic's producers are remembered", name)
		}
		if log.entries[[2]string{KindMemory, "vc\x00a"}] != nil {
			t.Errorf("%s: the old topic's producers are still stored", name)
		}
		log.entries = nil
	}
}

// TestMemoryExpires, also if the topic never moves: producers come and go.
func TestMemoryExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m Memory
		for day := range 3 {
			for i := range int64(100) {
				m.Remember(int32(i%3), int64(day)*100+i, batch(0, 4, 100))
			}
			time.Sleep(24*time.Hour + time.Second)
		}
		m.Remember(0, 1000, batch(0, 4, 100))
		m.mu.Lock()
		defer m.mu.Unlock()
		n := 0
		for _, ps := range m.partitions {
			n += len(ps)
		}
		if n != 1 {
			t.Errorf("%d producers are remembered, 1 of them for less than a day", n)
		}
	})
}
