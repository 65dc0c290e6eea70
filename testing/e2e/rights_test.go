package e2e

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/doctor"
	"github.com/sluice-gateway/sluice/testing/eventually"
	"github.com/sluice-gateway/sluice/testing/gatewaytest"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// TestTheDoctorUnderAnAuthorizer: Kafka's own authorizer refuses this machine a group, a
// transactional id and a topic that another principal may use; the doctor finds all three, and
// disturbs none.
func TestTheDoctorUnderAnAuthorizer(t *testing.T) {
	kafkatest.Require(t, "java", "mvn", "javac")
	ctx := eventually.Context(t)
	c, err := kafkatest.Real(ctx, "prod", "4.3.1", t.TempDir(), 1,
		"authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer", "allow.everyone.if.no.acl.found=true")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	for _, topic := range []string{"orders", "secret"} {
		if err := kafkatest.Create(ctx, c, topic, 1); err != nil {
			t.Fatal(err)
		}
	}
	port, err := kafkatest.FreePorts(12)
	if err != nil {
		t.Fatal(err)
	}
	file, err := gatewaytest.Config(t.TempDir(), port, nil, "", map[string][]string{"prod": c.Bootstrap()}, "prod")
	if err != nil {
		t.Fatal(err)
	}
	snap, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	examine := func() map[string]doctor.Finding {
		t.Helper()
		found := map[string]doctor.Finding{}
		if err := doctor.Examine(ctx, snap, nil, func(f doctor.Finding) { found[f.Check] = f }); err != nil {
			t.Fatal(err)
		}
		return found
	}

	// A member of a group, and a transaction that is open while the doctor looks.
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.Bootstrap()...), kgo.TransactionalID("till-1"), kgo.DefaultProduceTopic("orders"))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := cl.ProduceSync(ctx, kgo.StringRecord("sold")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	adm := kadm.NewClient(cl)
	if err := adm.CommitAllOffsets(ctx, "billing", kadm.OffsetsFromRecords(kgo.Record{Topic: "orders"})); err != nil {
		t.Fatal(err)
	}
	found := examine()
	if f := found["rights"]; f.Level != doctor.OK || !strings.Contains(f.Message, "transactional ids") {
		t.Errorf("without ACLs: %+v", f)
	}
	if f := found["clock"]; f.Level != doctor.OK || !strings.Contains(f.Message, "this machine's") {
		t.Errorf("%+v", f)
	}
	if err := cl.EndTransaction(ctx, kgo.TryCommit); err != nil {
		t.Errorf("the doctor has disturbed a transaction: %v", err)
	}

	alice := func() *kadm.ACLBuilder {
		return kadm.NewACLs().Allow("User:alice").AllowHosts("*").ResourcePatternType(kadm.ACLPatternLiteral)
	}
	for _, b := range []*kadm.ACLBuilder{
		alice().Groups("billing").Operations(kadm.OpRead),
		alice().TransactionalIDs("till-1").Operations(kadm.OpWrite),
		alice().Topics("secret").Operations(kadm.OpAll),
		alice().Groups("reports-").ResourcePatternType(kadm.ACLPatternPrefixed).Operations(kadm.OpRead),
	} {
		if _, err := adm.CreateACLs(ctx, b); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(check string, level doctor.Level, says ...string) bool {
		f := found[check]
		ok := f.Level == level && f.Fix != ""
		for _, s := range says {
			ok = ok && strings.Contains(f.Message, s)
		}
		return ok
	}
	for !expect("rights", doctor.Fail, "Read on group billing") ||
		!expect("rights of clients", doctor.Warn, "Write on transactional id till-1 (User:alice)", "Describe on topic secret (User:alice)", "Read on group reports-* (User:alice)") {
		if ctx.Err() != nil {
			t.Fatalf("with ACLs: %+v, %+v", found["rights"], found["rights of clients"])
		}
		found = examine() // ACLs reach the broker a little after the controller has them
	}
}
