package plugintest

import (
	"encoding/binary"
	"testing"

	"github.com/sluice-gateway/sluice/core/kafka"
)

// Shape is what a batch has besides its records.
type Shape struct {
	Codec      int8
	Producer   int64
	Attributes int16
}

// Batch makes a batch of records, whose first has the timestamp 1000.
func Batch(t testing.TB, s Shape, list []kafka.Record) kafka.Batch {
	t.Helper()
	b := make(kafka.Batch, kafka.BatchHeader)
	b[16] = 2
	binary.BigEndian.PutUint16(b[21:], uint16(s.Codec)|uint16(s.Attributes))
	binary.BigEndian.PutUint32(b[23:], uint32(len(list)-1))
	binary.BigEndian.PutUint64(b[27:], 1000)
	binary.BigEndian.PutUint64(b[35:], 1000)
	binary.BigEndian.PutUint64(b[43:], uint64(s.Producer))
	out, err := kafka.Rebuild(b, list, kafka.KeepGaps)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
