package plugin

import (
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/core/kafka"
)

func request(s *Session, seq uint64) *Request {
	return &Request{Session: s, Seq: seq, Arrived: time.Now(), Header: kafka.Header{}}
}

func testSession(t *testing.T, gone func() bool) *Session {
	return NewSession(t.Context(), 1, nil, gone)
}
