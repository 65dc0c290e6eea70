package topics

import (
	"context"
	"regexp"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/testing/plugintest"
)

// TestPatternsMatchBehindThePrefix what they match without one, and nothing of others.
func TestPatternsMatchBehindThePrefix(t *testing.T) {
	n, _ := build(t)
	x := n.names(t.Context(), plugintest.Request(t, kmsg.NewPtrMetadataRequest(), "prod"))
	names := []string{"orders", "orders-1", "ORDERS", "or", "", "a", "b", "ab", "ba", "a.b", "other.orders", "vc.orders"}
	for _, expr := range []string{".*", "orders", "orders.*", "^orders", "^orders.*$", "orders$", "a|b", "^a|b", "a|^b", "^a|^b", "(^a|b)b?", "(?i)^orders", `\Aorders\z`, "^(?:a|b)$", "[ab]+", `a\.b`,
		"^", "^^a", "a^b", "^$", "(a)|(b)", "or(ders)?", "^.*"} {
		want := regexp.MustCompile("^(?:" + expr + ")$")
		sent := x.pattern(&expr)
		got, err := regexp.Compile("^(?:" + *sent + ")$")
		if err != nil {
			t.Errorf("%s became %s: %v", expr, *sent, err)
			continue
		}
		for _, name := range names {
			if got.MatchString("vc."+name) != want.MatchString(name) {
				t.Errorf("%s became %s: %q is matched %t, want %t", expr, *sent, name, !want.MatchString(name), want.MatchString(name))
			}
			if got.MatchString(name) && name != "vc.orders" || got.MatchString("vcx"+name) {
				t.Errorf("%s became %s, which matches %q of others", expr, *sent, name)
			}
		}
		back := x.patternBack(sent)
		if re, err := regexp.Compile("^(?:" + *back + ")$"); err != nil || re.MatchString("orders") != want.MatchString("orders") {
			t.Errorf("%s is shown as %s: %v", expr, *back, err)
		}
	}
	broken := "a("
	if got := x.pattern(&broken); *got != `vc\.(?:a()` {
		t.Errorf("one that does not compile became %s", *got)
	}
	if x.pattern(nil) != nil {
		t.Error("none became one")
	}
}

// TestPatternsAreTheBrokers in both APIs that have them, so that what is made later is matched too.
func TestPatternsAreTheBrokers(t *testing.T) {
	n, env := build(t)
	if err := env.Catalog.Ensure(t.Context(), seen("orders")); err != nil {
		t.Fatal(err)
	}
	expr := "o.*"
	beat := message(kmsg.ConsumerGroupHeartbeat).(*kmsg.ConsumerGroupHeartbeatRequest)
	beat.SubscribedTopicRegex = &expr
	groups(t, n, beat, func(in *kmsg.ConsumerGroupHeartbeatRequest) kmsg.Response {
		if *in.SubscribedTopicRegex != `vc\.(?:o.*)` || in.SubscribedTopicNames != nil {
			t.Errorf("subscribes to %s, and to %q", *in.SubscribedTopicRegex, in.SubscribedTopicNames)
		}
		return in.ResponseKind()
	})
	list := message(kmsg.ListTransactions).(*kmsg.ListTransactionsRequest)
	list.TransactionalIDPattern = &expr
	listed := groups(t, n, list, func(in *kmsg.ListTransactionsRequest) kmsg.Response {
		if *in.TransactionalIDPattern != `vc\.(?:o.*)` {
			t.Errorf("lists %s", *in.TransactionalIDPattern)
		}
		out := in.ResponseKind().(*kmsg.ListTransactionsResponse)
		for _, id := range []string{"vc.o1", "other.o1"} {
			out.TransactionStates = append(out.TransactionStates, kmsg.ListTransactionsResponseTransactionState{TransactionalID: id})
		}
		return out
	}).(*kmsg.ListTransactionsResponse)
	if len(listed.TransactionStates) != 1 || listed.TransactionStates[0].TransactionalID != "o1" {
		t.Errorf("listed %+v", listed.TransactionStates)
	}
	describe := message(kmsg.ConsumerGroupDescribe).(*kmsg.ConsumerGroupDescribeRequest)
	described := groups(t, n, describe, func(in *kmsg.ConsumerGroupDescribeRequest) kmsg.Response {
		out := in.ResponseKind().(*kmsg.ConsumerGroupDescribeResponse)
		sent := `vc\.(?:o.*)`
		m := kmsg.NewConsumerGroupDescribeResponseGroupMember()
		m.SubscribedTopicRegex, m.SubscribedTopics = &sent, []string{"vc.orders", "other.orders", "vc.secret"}
		out.Groups = []kmsg.ConsumerGroupDescribeResponseGroup{{Group: "vc.g", Members: []kmsg.ConsumerGroupDescribeResponseGroupMember{m}}}
		return out
	}).(*kmsg.ConsumerGroupDescribeResponse)
	m := described.Groups[0].Members[0]
	if *m.SubscribedTopicRegex != expr {
		t.Errorf("shown as %s", *m.SubscribedTopicRegex)
	}
	if len(m.SubscribedTopics) != 1 || m.SubscribedTopics[0] != "orders" {
		t.Errorf("subscribed to %q", m.SubscribedTopics)
	}
}

// TestAPatternReachesTopicsOfOtherNames: a topic may have a name of its own on a cluster, which no
// expression finds.
func TestAPatternReachesTopicsOfOtherNames(t *testing.T) {
	n, env, prod := world(t)
	prod.Late("elsewhere")
	env.Catalog.SetPlace(func(string) (string, map[string]string, bool) {
		return "prod", map[string]string{"prod": "elsewhere"}, true
	})
	if _, err := prod.Refresh(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Intercept(t.Context(), plugintest.Request(t, message(kmsg.Metadata), "prod"), plugin.HandlerFunc(func(_ context.Context, f *plugin.Request) (*plugin.Response, error) {
		return plugin.Fail(f, 0, "")
	})); err != nil {
		t.Fatal(err)
	}
	s := seen("renamed")
	s.ID = plugintest.ID("prod", "elsewhere")
	if err := env.Catalog.Ensure(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	expr := "re.*"
	beat := message(kmsg.ConsumerGroupHeartbeat).(*kmsg.ConsumerGroupHeartbeatRequest)
	beat.SubscribedTopicRegex = &expr
	groups(t, n, beat, func(in *kmsg.ConsumerGroupHeartbeatRequest) kmsg.Response {
		if len(in.SubscribedTopicNames) != 1 || in.SubscribedTopicNames[0] != "elsewhere" || *in.SubscribedTopicRegex != expr {
			t.Errorf("subscribes to %s, and to %q", *in.SubscribedTopicRegex, in.SubscribedTopicNames)
		}
		return in.ResponseKind()
	})
}
