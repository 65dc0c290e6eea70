package main

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/sdk"
)

const (
	produce = "Produce"
	fetch   = "Fetch"
)

// apis are those that faults may name.
var apis = []string{
	produce, fetch, "Metadata", "FindCoordinator", "JoinGroup", "SyncGroup", "Heartbeat", "OffsetCommit", "OffsetFetch", "ListOffsets", "InitProducerId",
}

// options are how the plugin is registered, in the gateway and in tests.
func (c *chaos) options() []sdk.Option {
	return []sdk.Option{
		sdk.Version("1.0.0"),
		sdk.OnRequest(message[*kmsg.MetadataRequest](c, "Metadata")),
		sdk.OnRequest(message[*kmsg.FindCoordinatorRequest](c, "FindCoordinator")),
		sdk.OnRequest(message[*kmsg.JoinGroupRequest](c, "JoinGroup")),
		sdk.OnRequest(message[*kmsg.SyncGroupRequest](c, "SyncGroup")),
		sdk.OnRequest(message[*kmsg.HeartbeatRequest](c, "Heartbeat")),
		sdk.OnRequest(message[*kmsg.OffsetCommitRequest](c, "OffsetCommit")),
		sdk.OnRequest(message[*kmsg.OffsetFetchRequest](c, "OffsetFetch")),
		sdk.OnRequest(message[*kmsg.ListOffsetsRequest](c, "ListOffsets")),
		sdk.OnRequest(message[*kmsg.InitProducerIDRequest](c, "InitProducerId")),
	}
}

// message strikes the requests of an API that has no records. Those of faults with topics are not
// theirs.
func message[T sdk.Message](c *chaos, api string) func(*sdk.Request, T) error {
	return func(r *sdk.Request, _ T) error {
		return c.strike(api, &r.Context, func(f *fault) bool { return len(f.Topics) == 0 })
	}
}
