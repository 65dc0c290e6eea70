// Package leak asks a gateway every API in every version that it offers and looks for anything
// physical in the answers: node ids, ports, cluster ids, topic ids, topic names.
package leak

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/testing/eventually"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// Physical is what no client may see.
type Physical struct {
	// Texts are cluster ids, physical topic names, addresses.
	Texts []string
	// Ports are the clusters' ports.
	Ports []int32
	// TopicIDs are the topics' ids on the clusters.
	TopicIDs [][16]byte
}

// Target is what is asked, and about what.
type Target struct {
	Bootstrap string
	Topic     string
	TopicID   [16]byte // the virtual one
	Group     string
	// VirtualNode is a broker's id as the gateway shows it.
	VirtualNode int32
}

// Report is what a scan found.
type Report struct {
	Asked  int            // answers looked at
	APIs   map[string]int // versions answered, by API
	Leaks  []string
	Errors []string // no answer
	Slow   []string // answers that took more than a second
}

// physicalNodes are ids below the first virtual one.
const physicalNodes = 1 << 20

// destructive APIs come last: they take away what others ask about.
var destructive = map[kmsg.Key]int{kmsg.DeleteRecords: 1, kmsg.OffsetDelete: 2, kmsg.DeleteGroups: 3, kmsg.DeleteTopics: 4}

// Scan asks everything. Requests are made so that answers hold data.
func Scan(ctx context.Context, t Target, p Physical) (Report, error) {
	r := Report{APIs: map[string]int{}}
	versions := kmsg.NewPtrApiVersionsRequest()
	versions.SetVersion(3)
	versions.ClientSoftwareName, versions.ClientSoftwareVersion = "leak", "1"
	msg, _, err := ask(ctx, t.Bootstrap, versions)
	if err != nil {
		return r, err
	}
	offered := msg.(*kmsg.ApiVersionsResponse).ApiKeys
	for last := range 5 {
		for _, k := range offered {
			if destructive[kmsg.Key(k.ApiKey)] != last {
				continue
			}
			api, _ := kafka.Lookup(kmsg.Key(k.ApiKey))
			for v := k.MinVersion; v <= k.MaxVersion; v++ {
				for _, req := range t.requests(kmsg.Key(k.ApiKey), v) {
					began := time.Now()
					resp, raw, err := ask(ctx, t.Bootstrap, req)
					if took := time.Since(began); took > time.Second {
						r.Slow = append(r.Slow, fmt.Sprintf("%s v%d %s", api.Name, v, took.Round(time.Millisecond)))
					}
					where := fmt.Sprintf("%s v%d", api.Name, v)
					if err != nil {
						r.Errors = append(r.Errors, fmt.Sprintf("%s: %v", where, err))
						continue
					}
					r.Asked++
					r.APIs[api.Name]++
					for _, l := range p.find(resp, raw) {
						r.Leaks = append(r.Leaks, where+": "+l)
					}
				}
			}
		}
	}
	return r, nil
}

// ask opens a connection of its own, so that one refused request does not disturb the next.
func ask(ctx context.Context, addr string, req kmsg.Request) (kmsg.Response, []byte, error) {
	d := net.Dialer{}
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(eventually.Limit)); err != nil {
		return nil, nil, err
	}
	key, version := kmsg.Key(req.Key()), req.GetVersion()
	b := kafka.AppendRequestHeader(make([]byte, 4), kafka.Header{Key: key, Version: version, CorrelationID: 1, ClientID: "leak", HasClientID: true})
	b = req.AppendTo(b)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	if _, err := conn.Write(b); err != nil {
		return nil, nil, err
	}
	frame, err := kafka.ReadFrame(conn, 10<<20, nil)
	if err != nil {
		return nil, nil, err
	}
	_, body, err := kafka.ParseResponse(key, version, frame)
	if err != nil {
		return nil, nil, err
	}
	msg, err := kafka.NewResponseBody(key, version, body).Peek()
	return msg, frame, err
}

// find looks for physical things in one answer.
func (p Physical) find(resp kmsg.Response, raw []byte) (out []string) {
	for _, s := range p.Texts {
		if strings.Contains(string(raw), s) {
			out = append(out, fmt.Sprintf("%q", s))
		}
	}
	for _, id := range p.TopicIDs {
		if strings.Contains(string(raw), string(id[:])) {
			out = append(out, fmt.Sprintf("topic id %x", id))
		}
	}
	p.walk(reflect.ValueOf(resp).Elem(), "", &out)
	return out
}

// nodeFields are the fields of answers that hold node ids.
var nodeFields = map[string]bool{
	"NodeID": true, "Leader": true, "LeaderID": true, "ControllerID": true, "Replicas": true, "ISR": true, "OfflineReplicas": true,
	"EligibleLeaderReplicas": true, "LastKnownELR": true, "AddingReplicas": true, "RemovingReplicas": true, "Broker": true, "BrokerID": true,
}

func (p Physical) walk(v reflect.Value, path string, out *[]string) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() && v.Elem().Kind() == reflect.Struct {
			p.walk(v.Elem(), path, out)
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Struct {
			nodes := map[int64]bool{}
			for i := range v.Len() {
				if strings.HasSuffix(path, ".Brokers") { // the Java client refuses a node that is listed twice
					id := v.Index(i).FieldByName("NodeID").Int()
					if nodes[id] {
						*out = append(*out, fmt.Sprintf("%s: node %d twice", path, id))
					}
					nodes[id] = true
				}
				p.walk(v.Index(i), path, out)
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			f, name := v.Field(i), v.Type().Field(i).Name
			if !v.Type().Field(i).IsExported() || name == "UnknownTags" {
				continue
			}
			at := path + "." + name
			switch {
			case at == ".NodeID" && v.FieldByName("Coordinators").IsValid() && v.FieldByName("Version").Int() >= 4:
				// Not in these versions' bytes: FindCoordinator lists coordinators.
			case nodeFields[name] && f.Kind() == reflect.Int32:
				p.node(int32(f.Int()), at, out)
			case nodeFields[name] && f.Kind() == reflect.Slice && f.Type().Elem().Kind() == reflect.Int32:
				for j := range f.Len() {
					p.node(int32(f.Index(j).Int()), at, out)
				}
			case name == "Port" && f.Kind() == reflect.Int32:
				for _, port := range p.Ports {
					if int32(f.Int()) == port {
						*out = append(*out, fmt.Sprintf("%s: port %d", at, port))
					}
				}
			default:
				p.walk(f, at, out)
			}
		}
	}
}

func (p Physical) node(id int32, at string, out *[]string) {
	if id >= 0 && id < physicalNodes {
		*out = append(*out, fmt.Sprintf("%s: node %d", at, id))
	}
}

// requests are what a scan sends: about the target and, where an API can, about everything there
// is.
func (t Target) requests(key kmsg.Key, version int16) (out []kmsg.Request) {
	if r := t.request(key, version); r != nil {
		out = append(out, r)
	}
	if key == kmsg.Metadata {
		all := kmsg.NewPtrMetadataRequest()
		all.SetVersion(version)
		if version == 0 {
			all.Topics = []kmsg.MetadataRequestTopic{}
		}
		out = append(out, all)
	}
	return out
}

// request makes a request about the target; nil for what a scan does not send.
func (t Target) request(key kmsg.Key, version int16) kmsg.Request {
	r := kmsg.RequestForKey(int16(key))
	r.SetVersion(version)
	t.fill(reflect.ValueOf(r).Elem(), 0)
	switch m := r.(type) {
	case *kmsg.MetadataRequest:
		if version < 10 {
			for i := range m.Topics {
				m.Topics[i].TopicID = [16]byte{}
			}
		}
		m.AllowAutoTopicCreation = false
	case *kmsg.FindCoordinatorRequest:
		m.CoordinatorType, m.CoordinatorKey, m.CoordinatorKeys = 0, t.Group, []string{t.Group}
	case *kmsg.DescribeConfigsRequest:
		m.Resources = nil
		for kind, name := range map[kmsg.ConfigResourceType]string{kmsg.ConfigResourceTypeTopic: t.Topic, kmsg.ConfigResourceTypeBroker: strconv.Itoa(int(t.VirtualNode))} {
			x := kmsg.NewDescribeConfigsRequestResource()
			x.ResourceType, x.ResourceName = kind, name
			m.Resources = append(m.Resources, x)
		}
		m.IncludeSynonyms, m.IncludeDocumentation = true, false
	case *kmsg.ListConfigResourcesRequest:
		m.ResourceTypes = nil
	case *kmsg.FetchRequest:
		m.ReplicaID, m.ReplicaState.ID, m.MaxWaitMillis, m.MinBytes, m.MaxBytes, m.SessionEpoch = -1, -1, 10, 0, 1<<20, -1
		m.ForgottenTopics = nil
	case *kmsg.ProduceRequest:
		if version < 3 {
			return nil // listed for old librdkafka, refused
		}
		m.Acks, m.TransactionID, m.TimeoutMillis = 1, nil, 1000
		m.Topics[0].Partitions[0].Records = kafkatest.Batch(100)
	case *kmsg.ListOffsetsRequest:
		m.ReplicaID = -1
	case *kmsg.DescribeTopicPartitionsRequest:
		m.Cursor = nil
	case *kmsg.CreateTopicsRequest:
		for i := range m.Topics {
			m.Topics[i].Topic = fmt.Sprintf("leak-%d", version)
			m.Topics[i].ReplicationFactor, m.Topics[i].NumPartitions, m.Topics[i].ReplicaAssignment, m.Topics[i].Configs = -1, -1, nil, nil
			if version < 4 {
				m.Topics[i].ReplicationFactor, m.Topics[i].NumPartitions = 1, 1
			}
		}
	case *kmsg.JoinGroupRequest:
		return nil // waits for others; its answer has no node and no topic but what members wrote
	case *kmsg.InitProducerIDRequest:
		m.TransactionalID, m.ProducerID, m.ProducerEpoch = nil, -1, -1
	case *kmsg.OffsetCommitRequest:
		m.Generation, m.MemberID, m.InstanceID = -1, "", nil
	case *kmsg.AlterPartitionAssignmentsRequest:
		for i := range m.Topics {
			for j := range m.Topics[i].Partitions {
				m.Topics[i].Partitions[j].Replicas = nil // cancel a reassignment: there is none
			}
		}
	case *kmsg.AlterConfigsRequest, *kmsg.IncrementalAlterConfigsRequest, *kmsg.AlterUserSCRAMCredentialsRequest, *kmsg.AlterClientQuotasRequest,
		*kmsg.CreateACLsRequest, *kmsg.DeleteACLsRequest:
		clearLists(reflect.ValueOf(r).Elem())
	}
	return r
}

func clearLists(v reflect.Value) {
	for i := range v.NumField() {
		if f := v.Field(i); f.Kind() == reflect.Slice {
			f.Set(reflect.Zero(f.Type()))
		}
	}
}

// fill puts the target's names into the fields that Kafka's schemas name alike.
func (t Target) fill(v reflect.Value, depth int) {
	for i := range v.NumField() {
		f, name := v.Field(i), v.Type().Field(i).Name
		if !v.Type().Field(i).IsExported() || name == "UnknownTags" || name == "Version" {
			continue
		}
		switch f.Kind() {
		case reflect.String:
			f.SetString(t.text(name))
		case reflect.Pointer:
			if f.Type().Elem().Kind() == reflect.String && (name == "Topic" || name == "TransactionalID") {
				s := t.text(name)
				f.Set(reflect.ValueOf(&s))
			}
		case reflect.Array:
			if id, ok := f.Addr().Interface().(*[16]byte); ok && name == "TopicID" {
				*id = t.TopicID
			}
		case reflect.Int32:
			if name == "SessionTimeoutMillis" || name == "TimeoutMillis" || strings.HasSuffix(name, "MaxBytes") || name == "ResponsePartitionLimit" {
				f.SetInt(10_000)
			}
			if strings.HasSuffix(name, "LeaderEpoch") {
				f.SetInt(-1)
			}
		case reflect.Int64:
			if name == "Timestamp" {
				f.SetInt(-1)
			}
		case reflect.Slice:
			switch f.Type().Elem().Kind() {
			case reflect.Struct:
				if depth < 4 {
					s := reflect.MakeSlice(f.Type(), 1, 1)
					t.fill(s.Index(0), depth+1)
					f.Set(s)
				}
			case reflect.String:
				f.Set(reflect.ValueOf([]string{t.text(strings.TrimSuffix(name, "s"))}))
			case reflect.Int32:
				f.Set(reflect.ValueOf([]int32{0}))
			}
		case reflect.Struct:
			t.fill(f, depth+1)
		}
	}
}

func (t Target) text(name string) string {
	switch name {
	case "Topic", "TopicName":
		return t.Topic
	case "Group", "GroupID":
		return t.Group
	case "TransactionalID":
		return "leak-txn"
	}
	return ""
}

// Err sums the report up: nil if enough was asked and nothing leaked.
func (r Report) Err(atLeast int) error {
	var errs []error
	for _, l := range r.Leaks {
		errs = append(errs, errors.New("leak: "+l))
	}
	if r.Asked < atLeast {
		errs = append(errs, fmt.Errorf("only %d answers, want %d; without an answer: %v", r.Asked, atLeast, r.Errors))
	}
	return errors.Join(errs...)
}
