package workbench

import (
	"encoding/hex"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/admin"
	"github.com/sluice-gateway/sluice/core/kafka"
)

// CasesOf are what plugins see of an exchange: the records of a Produce or of the answer to a
// Fetch, and the request and the response of other APIs. There may be none: a Fetch without
// records.
func CasesOf(x admin.Exchange) ([]Case, error) {
	key, ok := kafka.KeyOf(x.API)
	if !ok {
		return nil, fmt.Errorf("there is no Kafka API %q", x.API)
	}
	c := Case{Name: fmt.Sprintf("%s of %s", x.API, x.ClientID), Client: Client{ID: x.ClientID}}
	switch key {
	case kmsg.Produce:
		c.Kind = "produce"
		body := kafka.NewRequestBody(key, x.Version, x.Request)
		if err := body.Clean(); err != nil {
			return nil, err
		}
		for p := range body.Partitions() {
			if err := c.add(topicOf(x, p.Topic, p.ID), p.Partition, p.Records); err != nil {
				return nil, err
			}
		}
	case kmsg.Fetch:
		c.Kind = "fetch"
		if x.Response == nil {
			return nil, nil
		}
		body := kafka.NewResponseBody(key, x.Version, x.Response)
		if err := body.Clean(); err != nil {
			return nil, err
		}
		for p := range body.Partitions() {
			if err := c.add(topicOf(x, p.Topic, p.ID), p.Partition, p.Records); err != nil {
				return nil, err
			}
		}
	default:
		request, response := c, c
		asks, answers, err := forms(x.API, x.Version)
		if err != nil {
			return nil, err
		}
		request.Kind, request.API, request.Version, request.Body = "request", x.API, x.Version, asks.body(x.Request)
		if x.Response == nil {
			return []Case{request}, nil
		}
		response.Kind, response.API, response.Version, response.Body = "response", x.API, x.Version, answers.body(x.Response)
		return []Case{request, response}, nil
	}
	if len(c.Records) == 0 {
		return nil, nil
	}
	return []Case{c}, nil
}

func topicOf(x admin.Exchange, name []byte, id [16]byte) string {
	if len(name) == 0 {
		return x.Topics[hex.EncodeToString(id[:])]
	}
	return string(name)
}

// add adds the records that guests are shown of a partition.
func (c *Case) add(topic string, partition int32, batches []byte) error {
	for _, b := range kafka.Batches(batches) {
		if b.IsControl() {
			continue
		}
		list, err := kafka.Records(b)
		if err != nil {
			return err
		}
		for _, r := range list {
			one := record(r)
			one.Topic, one.Partition = topic, partition
			c.Records = append(c.Records, one)
		}
	}
	return nil
}
