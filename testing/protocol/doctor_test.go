package protocol

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/doctor"
	"github.com/sluice-gateway/sluice/core/gateway"
	"github.com/sluice-gateway/sluice/plugins"
	"github.com/sluice-gateway/sluice/testing/gatewaytest"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// consult has the doctor look at one cluster, and returns the worst finding of each check.
func consult(t *testing.T, c *kafkatest.FakeCluster) map[string]doctor.Finding {
	t.Helper()
	port, err := kafkatest.FreePorts(12)
	if err != nil {
		t.Fatal(err)
	}
	file, err := gatewaytest.Config(t.TempDir(), port, nil, "", map[string][]string{c.Name(): c.Bootstrap()}, c.Name())
	if err != nil {
		t.Fatal(err)
	}
	checked, err := gateway.Check(t.Context(), file, plugins.Builtin())
	if err != nil {
		t.Fatal(err)
	}
	var chains []doctor.Chain
	for _, k := range checked {
		chains = append(chains, doctor.Chain(k))
	}
	worst := map[doctor.Level]int{doctor.OK: 0, doctor.Warn: 1, doctor.Fail: 2}
	found := map[string]doctor.Finding{}
	err = doctor.Examine(t.Context(), must(config.Load(file)), chains, func(f doctor.Finding) {
		if old, ok := found[f.Check]; !ok || worst[old.Level] < worst[f.Level] {
			found[f.Check] = f
		}
		if f.Level != doctor.OK && f.Fix == "" {
			t.Errorf("it does not say what to fix: %+v", f)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// acl is what a user may do.
func acl(kind kmsg.ACLResourceType, name string, op kmsg.ACLOperation) kfake.ACL {
	a := kfake.ACL{Resource: kind, Name: strings.TrimSuffix(name, "+"), Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: op, Allow: true}
	if a.Name != name {
		a.Pattern = kmsg.ACLResourcePatternTypePrefixed
	}
	return a
}

// TestTheDoctorKnowsRights of the cluster, its topics, its groups and its transactional ids, and
// those that only others have.
func TestTheDoctorKnowsRights(t *testing.T) {
	const (
		all           = kmsg.ACLOperationAll
		topic         = kmsg.ACLResourceTypeTopic
		group         = kmsg.ACLResourceTypeGroup
		transactional = kmsg.ACLResourceTypeTransactionalId
		whole         = kmsg.ACLResourceTypeCluster
	)
	alice := []kfake.ACL{
		acl(whole, "kafka-cluster", all), acl(topic, "*", all), acl(group, "*", all), acl(transactional, "*", all), // so that she can make them
		acl(group, "billing", kmsg.ACLOperationRead), acl(group, "reports-+", all), acl(transactional, "till-+", kmsg.ACLOperationWrite),
		acl(topic, "secret", kmsg.ACLOperationRead), acl(group, "billing", kmsg.ACLOperationDescribe),
	}
	for name, c := range map[string]struct {
		mine         []kfake.ACL
		level        doctor.Level
		says, silent []string
		more         doctor.Level
		others       []string
	}{
		"everything": {
			[]kfake.ACL{acl(whole, "kafka-cluster", all), acl(topic, "*", all), acl(group, "*", all), acl(transactional, "*", all)},
			doctor.OK, []string{"groups and transactional ids"}, nil, doctor.OK, []string{"no ACL allows others"},
		},
		"only to look": {
			[]kfake.ACL{acl(whole, "kafka-cluster", kmsg.ACLOperationDescribe), acl(topic, "*", kmsg.ACLOperationDescribe), acl(group, "*", kmsg.ACLOperationDescribe), acl(transactional, "*", kmsg.ACLOperationDescribe)},
			doctor.Fail,
			[]string{"Create on the cluster", "DescribeConfigs, Read, Write on topic orders", "Read on group billing", "Write on transactional id till-1"},
			[]string{"Describe on the cluster"}, doctor.Warn,
			[]string{"Read on group reports-* (User:alice)", "Write on transactional id till-* (User:alice)", "Read on topic secret (User:alice)"},
		},
		"its own topic alone": {
			[]kfake.ACL{acl(whole, "kafka-cluster", all), acl(topic, "orders", all), acl(group, "bill+", all), acl(transactional, "*", all)},
			doctor.OK, nil, nil, doctor.Warn, []string{"Describe on topic secret (User:alice)", "Read on group reports-* (User:alice)"},
		},
		"nothing on the cluster": {
			[]kfake.ACL{acl(topic, "*", all), acl(group, "*", all), acl(transactional, "*", all)},
			doctor.Fail, []string{"Create on the cluster", "Describe on the cluster"}, nil, "", nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			// A client that does not log in is ANONYMOUS.
			cluster, err := kafkatest.Fake("prod", 2, map[string]int32{"orders": 1, "secret": 1}, kfake.EnableACLs(),
				kfake.User("PLAIN", "ANONYMOUS", "-", c.mine...), kfake.User("PLAIN", "alice", "-", alice...))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = cluster.Close() })
			inUse(cluster, c.mine)
			found := consult(t, cluster)
			f := found["rights"]
			if f.Level != c.level {
				t.Errorf("%+v", f)
			}
			for _, s := range c.says {
				if !strings.Contains(f.Message, s) {
					t.Errorf("no %q in %+v", s, f)
				}
			}
			for _, s := range c.silent {
				if strings.Contains(f.Message, s) {
					t.Errorf("%q in %+v", s, f)
				}
			}
			more := found["rights of clients"]
			if more.Level != c.more {
				t.Errorf("%+v", more)
			}
			for _, s := range c.others {
				if !strings.Contains(more.Message, s) {
					t.Errorf("no %q in %+v", s, more)
				}
			}
		})
	}
}

// TestTheDoctorSaysThatItCouldNotLook: a question that is not answered is no right.
func TestTheDoctorSaysThatItCouldNotLook(t *testing.T) {
	c, err := kafkatest.Fake("prod", 1, map[string]int32{"orders": 1}, kfake.EnableACLs(), kfake.User("PLAIN", "ANONYMOUS", "-",
		acl(kmsg.ACLResourceTypeCluster, "kafka-cluster", kmsg.ACLOperationAll), acl(kmsg.ACLResourceTypeTopic, "*", kmsg.ACLOperationAll)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	c.ControlKey(int16(kmsg.DescribeCluster), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		return nil, errors.New("the connection ends"), true
	})
	if f := consult(t, c)["rights"]; f.Level != doctor.Warn || !strings.Contains(f.Message, "not all of them could be looked at") {
		t.Errorf("%+v", f)
	}
}

// inUse lets a group and a transactional id exist, whatever the ACLs say of who asks here. A broker
// looks at the rights of a heartbeat before it looks for its group; the fake does so the other way
// round.
func inUse(c *kafkatest.FakeCluster, mine []kfake.ACL) {
	c.ControlKey(int16(kmsg.Heartbeat), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		name := r.(*kmsg.HeartbeatRequest).Group
		resp := r.ResponseKind().(*kmsg.HeartbeatResponse)
		resp.ErrorCode = kerr.GroupAuthorizationFailed.Code
		for _, a := range mine {
			named := a.Name == "*" || a.Name == name || a.Pattern == kmsg.ACLResourcePatternTypePrefixed && strings.HasPrefix(name, a.Name)
			if a.Resource == kmsg.ACLResourceTypeGroup && named && (a.Operation == kmsg.ACLOperationRead || a.Operation == kmsg.ACLOperationAll) {
				resp.ErrorCode = kerr.UnknownMemberID.Code
			}
		}
		return resp, nil, true
	})
	c.ControlKey(int16(kmsg.ListGroups), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		resp := r.ResponseKind().(*kmsg.ListGroupsResponse)
		for name, kind := range map[string]string{"billing": "consumer", "workers": "connect"} {
			g := kmsg.NewListGroupsResponseGroup()
			g.Group, g.ProtocolType = name, kind
			resp.Groups = append(resp.Groups, g)
		}
		return resp, nil, true
	})
	c.ControlKey(int16(kmsg.ListTransactions), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		resp := r.ResponseKind().(*kmsg.ListTransactionsResponse)
		s := kmsg.NewListTransactionsResponseTransactionState()
		s.TransactionalID = "till-1"
		resp.TransactionStates = append(resp.TransactionStates, s)
		return resp, nil, true
	})
}

// TestTheDoctorWarnsOfAClock that is off, and of nothing else.
func TestTheDoctorWarnsOfAClock(t *testing.T) {
	for off, want := range map[time.Duration]doctor.Level{0: doctor.OK, 90 * time.Minute: doctor.Warn, -90 * time.Minute: doctor.Warn} {
		t.Run(fmt.Sprint(off), func(t *testing.T) {
			c := fake(t, "prod", map[string]int32{"orders": 1})
			tellsTheTime(t, c, func() time.Time { return time.Now().Add(off) })
			found := consult(t, c)
			if f := found["clock"]; f.Level != want || !strings.Contains(f.Message, "this machine's") {
				t.Errorf("%+v", f)
			}
			if f := found["clock"]; off != 0 && (!strings.Contains(f.Message, "1h30m") && !strings.Contains(f.Message, "1h29m59") || strings.Contains(f.Message, "ahead") != (off > 0)) {
				t.Errorf("by how much, and which way? %s", f.Message)
			}
			for check, f := range found {
				if f.Level == doctor.Fail {
					t.Errorf("%s: %+v", check, f)
				}
			}
		})
	}
}

// tellsTheTime has a fake answer DescribeQuorum, which it does not know, as a controller with that
// clock.
func tellsTheTime(t *testing.T, c *kafkatest.FakeCluster, now func() time.Time) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.Bootstrap()...))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ask := kmsg.NewPtrApiVersionsRequest()
	ask.ClientSoftwareName, ask.ClientSoftwareVersion = "test", "1"
	versions := must(ask.RequestWith(t.Context(), cl))
	key := kmsg.NewApiVersionsResponseApiKey()
	key.ApiKey, key.MaxVersion = int16(kmsg.DescribeQuorum), 1
	versions.ApiKeys = append(versions.ApiKeys, key)
	c.ControlKey(int16(kmsg.ApiVersions), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		resp := *versions
		resp.Version = min(r.GetVersion(), 4)
		return &resp, nil, true
	})
	c.ControlKey(int16(kmsg.DescribeQuorum), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		resp := r.ResponseKind().(*kmsg.DescribeQuorumResponse)
		topic := kmsg.NewDescribeQuorumResponseTopic()
		topic.Topic = "__cluster_metadata"
		p := kmsg.NewDescribeQuorumResponseTopicPartition()
		p.LeaderID = 7
		for id, at := range map[int32]time.Time{7: now(), 8: now().Add(-time.Minute)} { // 8 lags, which is no fault of its clock
			v := kmsg.NewDescribeQuorumResponseTopicPartitionReplicaState()
			v.ReplicaID, v.LastCaughtUpTimestamp = id, at.UnixMilli()
			p.CurrentVoters = append(p.CurrentVoters, v)
		}
		topic.Partitions = append(topic.Partitions, p)
		resp.Topics = append(resp.Topics, topic)
		return resp, nil, true
	})
}
