package kafka

import (
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
	"testing"
)

func randomBatch(n int) Batch {
	b := make(Batch, BatchHeader+n)
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)-12))
	b[16] = 2
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

func TestSetProducerIDKeepsTheCRCValid(t *testing.T) {
	for _, n := range []int{0, 1, 139, crcShort - BatchHeader, crcShort, 70_000, 1 << 20} {
		b := randomBatch(n)
		if !b.ValidCRC() {
			t.Fatal("test batch is wrong")
		}
		b.SetProducerID(1<<62 | 12345)
		if !b.ValidCRC() || b.ProducerID() != 1<<62|12345 {
			t.Errorf("%d bytes: CRC invalid after the producer id changed", n)
		}
	}
}

func TestBatchesStopsAtAPartialBatch(t *testing.T) {
	whole := append(append([]byte{}, randomBatch(10)...), randomBatch(20)...)
	for cut, want := range map[int]int{0: 2, 1: 1, 81: 1, 82: 0} {
		n := 0
		for range Batches(whole[:len(whole)-cut]) {
			n++
		}
		if n != want && (cut != 81 || n != 1) {
			t.Errorf("cut %d: %d batches, want %d", cut, n, want)
		}
	}
}

func FuzzBatches(f *testing.F) {
	f.Add([]byte(randomBatch(100)))
	f.Fuzz(func(t *testing.T, b []byte) {
		for at, batch := range Batches(b) {
			_, _, _ = batch.LastOffset(), batch.LastSequence(), batch.ValidCRC()
			if at < 0 || len(batch) < BatchHeader {
				t.Fatal("batch outside its records")
			}
		}
	})
}
