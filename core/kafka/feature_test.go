package kafka

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestFeaturesBeginWhereTheirFieldsDo: in that version of an API, and not in the one before, kmsg
// writes a field of the feature.
func TestFeaturesBeginWhereTheirFieldsDo(t *testing.T) {
	type field struct {
		request bool
		path    []string
	}
	q := func(path ...string) field { return field{true, path} }
	a := func(path ...string) field { return field{false, path} }
	fields := map[Feature]map[kmsg.Key]field{
		TopicIDs:              {kmsg.Produce: q("Topics", "TopicID"), kmsg.Fetch: q("Topics", "TopicID"), kmsg.Metadata: a("Topics", "TopicID")},
		LeaderHints:           {kmsg.Produce: a("Topics", "Partitions", "CurrentLeader", "LeaderID"), kmsg.Fetch: a("Topics", "Partitions", "CurrentLeader", "LeaderID")},
		NodeEndpoints:         {kmsg.Produce: a("Brokers", "NodeID"), kmsg.Fetch: a("Brokers", "NodeID")},
		Racks:                 {kmsg.Fetch: q("Rack"), kmsg.Metadata: a("Brokers", "Rack")},
		FetchSessions:         {kmsg.Fetch: q("SessionID")},
		LeaderEpochs:          {kmsg.Fetch: q("Topics", "Partitions", "CurrentLeaderEpoch"), kmsg.Metadata: a("Topics", "Partitions", "LeaderEpoch")},
		LastFetchedEpochs:     {kmsg.Fetch: q("Topics", "Partitions", "LastFetchedEpoch")},
		TransactionsAndMarks:  {kmsg.Produce: q("TransactionID"), kmsg.Fetch: a("Topics", "Partitions", "LastStableOffset")},
		LogStarts:             {kmsg.Produce: a("Topics", "Partitions", "LogStartOffset"), kmsg.Fetch: a("Topics", "Partitions", "LogStartOffset")},
		MaxBytes:              {kmsg.Fetch: q("MaxBytes")},
		ThrottleTimes:         {kmsg.Produce: a("ThrottleMillis"), kmsg.Fetch: a("ThrottleMillis")},
		AppendTimes:           {kmsg.Produce: a("Topics", "Partitions", "LogAppendTime")},
		RecordErrors:          {kmsg.Produce: a("Topics", "Partitions", "ErrorMessage")},
		Batched:               {kmsg.FindCoordinator: q("CoordinatorKeys"), kmsg.OffsetFetch: q("Groups", "Group")},
		WholeCodes:            {kmsg.Fetch: a("ErrorCode"), kmsg.OffsetFetch: a("ErrorCode"), kmsg.DescribeLogDirs: a("ErrorCode")},
		AutoCreation:          {kmsg.Metadata: q("AllowAutoTopicCreation")},
		ControllerAndInternal: {kmsg.Metadata: a("ControllerID")},
		ClusterIDs:            {kmsg.Metadata: a("ClusterID")},
		OfflineReplicas:       {kmsg.Metadata: a("Topics", "Partitions", "OfflineReplicas")},
		ClientSoftware:        {kmsg.ApiVersions: q("ClientSoftwareName")},
		WrongCluster:          {kmsg.ApiVersions: q("ClusterID")},
	}
	// What the library's fields do not show: a field that is there in place of another, and codes.
	others := map[Feature]bool{NoReplicaID: true, Abortable: true, MemberIDs: true}
	// Tagged fields are written in all flexible versions.
	tagged := map[Feature]bool{LeaderHints: true, NodeEndpoints: true}
	for f := range features {
		if len(fields[f]) == 0 && !others[f] {
			t.Errorf("nobody says what feature %d brings", f)
		}
		for key, in := range fields[f] {
			first := since[f][key]
			for _, version := range []int16{first - 1, first} {
				if version < 0 || version < first && tagged[f] {
					continue
				}
				var m interface {
					SetVersion(int16)
					AppendTo([]byte) []byte
				} = kmsg.ResponseForKey(int16(key))
				if in.request {
					m = kmsg.RequestForKey(int16(key))
				}
				written := func(value int64) []byte {
					set(reflect.ValueOf(m).Elem(), in.path, value)
					m.SetVersion(version)
					return m.AppendTo(nil)
				}
				if got, want := !bytes.Equal(written(1), written(2)), version == first; got != want {
					t.Errorf("%s version %d: %v is written: %v, want %v", kmsg.NameForKey(int16(key)), version, in.path, got, want)
				}
			}
		}
	}
}

// set gives the field where a path leads a value; lists on the way have one item.
func set(v reflect.Value, path []string, value int64) {
	if len(path) > 0 && v.Kind() == reflect.Slice {
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		v = v.Index(0)
		if d, ok := v.Addr().Interface().(interface{ Default() }); ok {
			d.Default()
		}
	}
	if len(path) > 0 {
		set(v.FieldByName(path[0]), path[1:], value)
		return
	}
	switch v.Kind() {
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), int(value), int(value)))
	case reflect.Array:
		v.Index(0).SetUint(uint64(value))
	case reflect.Bool:
		v.SetBool(value == 1)
	case reflect.String:
		v.SetString(string(rune('a' + value)))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		set(v.Elem(), nil, value)
	default:
		v.SetInt(value)
	}
}
