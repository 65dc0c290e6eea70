package config

import "testing"

func TestTopicsThatReplicatorsKeepForThemselves(t *testing.T) {
	f := Failover{ReplicatorTopics: []string{"acme-*", "!heartbeats"}}
	for topic, want := range map[string]bool{
		"__consumer_offsets": true, "__transaction_state": true, "mm2-offset-syncs.dr.internal": true, "prod.heartbeats": true,
		"prod.checkpoints.internal": true, "acme-position": true, "heartbeats": false, "orders": false, "__orders": false, "internal": false,
	} {
		if f.Own(topic) != want {
			t.Errorf("%s: %t", topic, !want)
		}
	}
	if !(Failover{}).Own("heartbeats") {
		t.Error("heartbeats, without a setting")
	}
}
