package config

import (
	"math/rand/v2"
	"path"
	"strings"
	"testing"
)

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

// TestEndsHoldForEveryName that a glob stands for, whatever its special characters are: what they
// refuse is never asked of the glob.
func TestEndsHoldForEveryName(t *testing.T) {
	const characters = `ab*?[]^-\`
	random := rand.New(rand.NewPCG(1, 1))
	text := func(of string) string {
		var b strings.Builder
		for range random.IntN(6) {
			b.WriteByte(of[random.IntN(len(of))])
		}
		return b.String()
	}
	matched := 0
	for range 200_000 {
		glob, name := text(characters), text("ab]-")
		if ok, _ := path.Match(glob, name); ok {
			matched++
			if !ends(glob, name) {
				t.Fatalf("%q stands for %q", glob, name)
			}
		}
	}
	if matched < 1000 {
		t.Errorf("only %d names matched", matched)
	}
	if ends("mm2-*", "orders") || ends("*.heartbeats", "orders") || ends("heartbeats", "heartbeats2") {
		t.Error("a name with other ends is not refused")
	}
}
