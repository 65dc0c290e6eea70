package main

import (
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/sdk/examples/internal/produce"
)

// Headers that the plugin writes.
const (
	headerRule      = "sluice-rule"
	headerReason    = "sluice-reason"
	headerTopic     = "sluice-topic"
	headerPartition = "sluice-partition"
)

func (v verdict) apply() {
	for _, m := range v.marks {
		v.record.AddHeader(headerRule, []byte(m.Name))
	}
	if v.broken == nil {
		return
	}
	switch v.broken.Action {
	case reject:
		v.record.Reject(sdk.InvalidRecord, "rule "+v.broken.Name+": "+v.why)
	case drop, deadLetter:
		v.record.Drop()
	}
}

// letter is the record as its dead letter topic gets it.
func (v verdict) letter(topic string, partition int32) produce.Record {
	r := produce.Record{Key: v.record.Key(), Value: v.record.Value(), Timestamp: v.record.Timestamp()}
	for k, value := range v.record.Headers() {
		r.Headers = append(r.Headers, kmsg.Header{Key: string(k), Value: value})
	}
	add := func(key, value string) {
		r.Headers = append(r.Headers, kmsg.Header{Key: key, Value: []byte(value)})
	}
	add(headerRule, v.broken.Name)
	add(headerReason, v.why)
	add(headerTopic, topic)
	add(headerPartition, strconv.Itoa(int(partition)))
	return r
}
