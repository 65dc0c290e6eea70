package workbench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// perCase is how many records of a capture are shown in one call.
const perCase = 100

// Capture reads records of a topic from a cluster, from the newest n on, as cases of one kind, to
// be replayed. It ends when it has n, or after a while without another. progress is told how many
// there are.
func Capture(ctx context.Context, bootstrap []string, topic, kind string, n int, progress func(records int)) (*Cases, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(bootstrap...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtEnd().Relative(int64(-n))))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	if err := exists(ctx, client, topic); err != nil {
		return nil, err
	}
	out := &Cases{}
	for count := 0; count < n; {
		wait, cancel := context.WithTimeout(ctx, quiet)
		fetches := client.PollRecords(wait, n-count)
		cancel()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		for _, e := range fetches.Errors() {
			if wait.Err() == nil {
				return nil, fmt.Errorf("%s/%d: %w", e.Topic, e.Partition, e.Err)
			}
		}
		if fetches.NumRecords() == 0 {
			break
		}
		fetches.EachRecord(func(r *kgo.Record) {
			last := len(out.Cases) - 1
			if last < 0 || len(out.Cases[last].Records) == perCase {
				out.Cases = append(out.Cases, Case{Name: fmt.Sprintf("%s/%d from offset %d", r.Topic, r.Partition, r.Offset), Kind: kind})
				last++
			}
			out.Cases[last].Records = append(out.Cases[last].Records, captured(r))
			count++
		})
		progress(count)
	}
	return out, nil
}

// quiet is how long a topic may have no more records; reach is how long a cluster may take to
// answer at all.
const (
	quiet = 3 * time.Second
	reach = 10 * time.Second
)

// exists refuses what a client would wait for in silence: a cluster that does not answer, a topic
// that is not there.
func exists(ctx context.Context, client *kgo.Client, topic string) error {
	within, cancel := context.WithTimeout(ctx, reach)
	defer cancel()
	req := kmsg.NewPtrMetadataRequest()
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = kmsg.StringPtr(topic)
	req.Topics = append(req.Topics, t)
	resp, err := req.RequestWith(within, client)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return fmt.Errorf("the cluster does not answer: %w", err)
	case len(resp.Topics) != 1:
		return errors.New("the cluster does not say whether it has the topic")
	}
	if err := kerr.ErrorForCode(resp.Topics[0].ErrorCode); err != nil {
		return fmt.Errorf("topic %s: %w", topic, err)
	}
	return nil
}

func captured(r *kgo.Record) Record {
	out := Record{Topic: r.Topic, Partition: r.Partition, Timestamp: r.Timestamp.UnixMilli(), Key: text(r.Key), Value: text(r.Value)}
	for _, h := range r.Headers {
		out.Headers = append(out.Headers, Header{h.Key, text(h.Value)})
	}
	return out
}
