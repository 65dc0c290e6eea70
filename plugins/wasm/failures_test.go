package wasm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-gateway/sluice/core/kafka"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/plugins/wasm/blocks"
	"github.com/sluice-gateway/sluice/plugins/wasm/breaker"
	"github.com/sluice-gateway/sluice/plugins/wasm/host"
	probed "github.com/sluice-gateway/sluice/plugins/wasm/testdata/probe/probe"
	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/testing/eventually"
	"github.com/sluice-gateway/sluice/testing/fact"
	"github.com/sluice-gateway/sluice/testing/plugintest"
)

// several is a request with records for several partitions, one value each.
func several(t testing.TB, values ...string) *kmsg.ProduceRequest {
	t.Helper()
	m := produce("orders")
	m.Topics[0].Partitions = nil
	for i, v := range values {
		p := kmsg.NewProduceRequestTopicPartition()
		p.Partition, p.Records = int32(i), records(t, shape{}, v)
		m.Topics[0].Partitions = append(m.Topics[0].Partitions, p)
	}
	return m
}

// codes are the answers of partitions.
func codes(resp *kmsg.ProduceResponse) map[int32]int16 {
	out := map[int32]int16{}
	for _, p := range resp.Topics[0].Partitions {
		out[p.Partition] = p.ErrorCode
	}
	return out
}

// message is what the answer of a partition says.
func message(resp *kmsg.ProduceResponse, partition int32) string {
	for _, p := range resp.Topics[0].Partitions {
		if p.Partition == partition && p.ErrorMessage != nil {
			return *p.ErrorMessage
		}
	}
	return ""
}

// TestAPoisonRecordCostsItsPartitionAlone: for good, with the reason in the guest's words.
func TestAPoisonRecordCostsItsPartitionAlone(t *testing.T) {
	resp, sent, err := whole(t, compiled(t, ""), several(t, "upper", "poison", "fine"))
	if err != nil || len(sent.Topics[0].Partitions) != 2 {
		t.Fatalf("%v, sent %+v", err, sent)
	}
	{
		got := codes(resp)
		about := fact.Of(t, "codes %v", got)
		if fact.Equal(about, "len(got)", len(got), 3) {
			fact.Equal(about, "got[0]", got[0], 0)
			fact.Equal(about, "kafka.Code(got[1])", kafka.Code(got[1]), kafka.InvalidRecord)
			fact.Equal(about, "got[2]", got[2], 0)
		}
	}
	if got := message(resp, 1); !strings.HasPrefix(got, "guest probe: panic: a poison record") || strings.Contains(got, "\n") {
		t.Errorf("it says %q", got)
	}
	if _, list := first(t, sent); string(list[0].Value) != "UPPER" {
		t.Errorf("the first became %q", list[0].Value)
	}
}

// TestARecordThatIsTooSlowCostsItsPartitionAlone, which is tried again by its client.
func TestARecordThatIsTooSlowCostsItsPartitionAlone(t *testing.T) {
	w := probing(t, ", limits: {timeout: 500ms}")
	if !eventually.True(func() bool {
		resp, sent, err := whole(t, w, several(t, "fine", "slow poison", "fine"))
		return err == nil && sent != nil && fmt.Sprint(codes(resp)) == "map[0:0 1:7 2:0]" && strings.Contains(message(resp, 1), host.ErrDeadline.Error())
	}) {
		t.Error("the others are not served")
	}
}

// TestAFailureOfChanceIsTriedAgain, on another instance, and nobody sees it.
func TestAFailureOfChanceIsTriedAgain(t *testing.T) {
	once := false
	w := compiledFrom(t, "moody", func() *sdk.Guest { return sdk.New("moody", moody{&once}) }, "{limits: {timeout: 5m}}")
	sent, answer, err := run(t, w, produce("orders", records(t, shape{}, "x")))
	if err != nil || answer.ErrorCode != 0 || sent == nil {
		t.Errorf("code %d, %v", answer.ErrorCode, err)
	}
	replaced(t, w, 1)
}

// moody panics once.
type moody struct{ once *bool }

func (m moody) OnProduce(*sdk.Records) error {
	if !*m.once {
		*m.once = true
		panic("not today")
	}
	return nil
}

// from sends a request of a client.
func from(t testing.TB, w *Wasm, client, topic string, value string) (code int16, err error) {
	t.Helper()
	req := plugintest.Request(t, produce(topic, records(t, shape{}, value)), "prod")
	req.ClientID, req.Session.Remote = client, &net.TCPAddr{IP: net.ParseIP("192.0.2.1"), Port: 4000}
	resp, err := w.Intercept(t.Context(), req, plugin.HandlerFunc(func(_ context.Context, req *plugin.Request) (*plugin.Response, error) {
		return plugin.Fail(req, 0, "")
	}))
	if err != nil {
		return 0, err
	}
	return plugintest.Decode[*kmsg.ProduceResponse](t, resp).Topics[0].Partitions[0].ErrorCode, nil
}

// TestAGuestIsLeftAloneWithOneClientsPartition alone, and that is told once when it begins and once
// when it ends.
func TestAGuestIsLeftAloneWithOneClientsPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := compiledFrom(t, "probe", probed.New, "{grant: [kv, http, send_request], limits: {timeout: 5m}}")
		lines := logged(w)
		for range breaker.After {
			if code, err := from(t, w, "strange", "orders", "poison"); err != nil || kafka.Code(code) != kafka.InvalidRecord {
				t.Errorf("code %d, %v", code, err)
			}
		}
		for range 3 {
			if _, err := from(t, w, "strange", "orders", "fine"); !errors.Is(err, breaker.ErrOpen) {
				t.Errorf("it is not left alone: %v", err)
			}
		}
		for _, x := range [][2]string{{"strange", "other"}, {"good", "orders"}} {
			if code, err := from(t, w, x[0], x[1], "fine"); err != nil || code != 0 {
				t.Errorf("%v suffers for it: %d, %v", x, code, err)
			}
		}
		if m := w.Measures(); m.LeftAlone != 1 || m.Opened != 1 || m.Closed != 0 {
			t.Errorf("%+v", m)
		}
		time.Sleep(breaker.First)
		if code, err := from(t, w, "strange", "orders", "fine"); err != nil || code != 0 {
			t.Errorf("the trial: %d, %v", code, err)
		}
		if m := w.Measures(); m.LeftAlone != 0 || m.Opened != 1 || m.Closed != 1 {
			t.Errorf("%+v", m)
		}
		for _, line := range []string{"fails again and again", "works again"} {
			if n := strings.Count(lines.String(), line); n != 1 || !strings.Contains(lines.String(), "client_id=strange address=192.0.2.1 topic=orders partition=0") {
				t.Errorf("%d lines: %s", n, lines)
			}
		}
	})
}

// TestFailuresAreOneLineOfTheLog, in the guest's words; stacks are for who looks for more.
func TestFailuresAreOneLineOfTheLog(t *testing.T) {
	bothWays(t, func(t *testing.T, probing starter) {
		w := probing(t, "")
		var info, debug strings.Builder
		for b, level := range map[*strings.Builder]slog.Level{&info: slog.LevelInfo, &debug: slog.LevelDebug} {
			w.Guest().Log = slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: level}))
			if code, err := from(t, w, "shop", "orders", "poison"); code == 0 || err != nil {
				t.Fatalf("code %d, %v", code, err)
			}
		}
		lines := strings.Split(strings.TrimSpace(info.String()), "\n")
		for _, line := range lines {
			about := fact.Of(t, "it says %s", line)
			fact.Has(about, line, "level=WARN")
			fact.Has(about, line, `reason="panic: a poison record`)
			fact.Has(about, line, "client_id=shop")
			fact.Has(about, line, "api=Produce")
			fact.HasNo(about, line, "goroutine")
		}
		if !strings.Contains(debug.String(), "level=DEBUG") || !strings.Contains(debug.String(), "goroutine") {
			t.Errorf("at debug: %s", &debug)
		}
	})
}

// TestFailuresWithMessages: clients that take an error for one are told why, for good.
func TestFailuresWithMessages(t *testing.T) {
	_, resp, err := create(t, compiled(t, ""), "panic")
	if err != nil || kafka.Code(resp.Topics[0].ErrorCode) != kafka.PolicyViolation || !strings.HasPrefix(*resp.Topics[0].ErrorMessage, "guest probe: panic: boom") {
		t.Errorf("%+v, %v", resp, err)
	}
}

// TestConsumersWaitForWhatFails, and get the other partitions.
func TestConsumersWaitForWhatFails(t *testing.T) {
	resp, err := fetched(t, compiled(t, ""), "orders", at(records(t, shape{}, "upper"), 7), at(records(t, shape{}, "poison"), 8))
	if err != nil {
		t.Fatal(err)
	}
	good, bad := resp.Topics[0].Partitions[0], resp.Topics[0].Partitions[1]
	if list := decoded(t, good.RecordBatches); len(list) != 1 || string(list[0].Value) != "UPPER" {
		t.Errorf("the good one: %+v", list)
	}
	if bad.ErrorCode != 0 || len(bad.RecordBatches) != 0 || bad.HighWatermark != 99 {
		t.Errorf("the bad one: %+v", bad)
	}
}

// TestConsumersDontAskAgainAtOnce when nothing can be shown.
func TestConsumersDontAskAgainAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := kmsg.NewPtrFetchRequest()
		for wait, want := range map[int32]time.Duration{200: 200 * time.Millisecond, 5000: mostPause, -1: 0} {
			m.MaxWaitMillis = wait
			began := time.Now()
			pause(t.Context(), plugintest.Request(t, m, "prod"))
			if took := time.Since(began); took != want {
				t.Errorf("%d ms: %s, want %s", wait, took, want)
			}
		}
	})
}

// TestClientsAreToldWhatAPanicSays, without its stack; the log says it once for each time that it
// was tried.
func TestClientsAreToldWhatAPanicSays(t *testing.T) {
	w := probing(t, "")
	lines := logged(w)
	_, answer, err := run(t, w, produce("orders", records(t, shape{}, "poison")))
	about := fact.Must(t, "%+v, %v", answer, err)
	fact.NoError(about, err)
	fact.Equal(about, "answer.ErrorCode", kafka.Code(answer.ErrorCode), kafka.InvalidRecord)
	fact.True(about, `strings.HasPrefix(*answer.ErrorMessage, "guest probe: panic: a poison record that kills")`, strings.HasPrefix(*answer.ErrorMessage, "guest probe: panic: a poison record that kills"))
	fact.HasNo(about, *answer.ErrorMessage, "goroutine")
	if all, failed := strings.Count(lines.String(), "\n"), strings.Count(lines.String(), `msg="the guest failed"`); all != 2 || failed != 2 {
		t.Errorf("%d lines: %s", all, lines)
	}
}

// TestWhatProtectsIsNeverPassedBy: not when it can't be had at start, since its section says
// on_error: pass; nor by records that it can't be shown.
func TestWhatProtectsIsNeverPassedBy(t *testing.T) {
	protecting := func() *sdk.Guest { return sdk.New("guard", refuser{}, sdk.FailClosedOnly()) }
	env := plugintest.Env(t, plugintest.NewCluster("prod", 0, 1, "orders"))
	env.Starting = true
	i, err := Compiled("guard", protecting).New(t.Context(), env, plugintest.Section(t, "{on_error: pass}"))
	if err != nil {
		t.Fatal(err)
	}
	if keys := i.Keys().Keys(); len(keys) == 0 {
		t.Error("it is left out")
	}
	if err := i.(*absent).Close(); err != nil {
		t.Error(err)
	}
	missing := filepath.Join(t.TempDir(), "missing.wasm")
	if i, err = Spec().New(t.Context(), env, plugintest.Section(t, fmt.Sprintf("{file: %q, on_error: pass}", missing))); err != nil {
		t.Fatal(err)
	}
	if keys := i.Keys().Keys(); len(keys) != 0 {
		t.Error("one of which nobody knows that it protects is not left out")
	}
	if err := i.(*absent).Close(); err != nil {
		t.Error(err)
	}

	w := compiledFrom(t, "guard", protecting, "{topics: [orders], limits: {timeout: 5m}}")
	old := make([]byte, 100)
	if _, answer, err := run(t, w, produce("orders", old)); err != nil || kafka.Code(answer.ErrorCode) != kafka.InvalidRecord || !strings.Contains(*answer.ErrorMessage, "formats before 2") {
		t.Errorf("records in an old format: %+v, %v", answer, err)
	}
	if _, err := fetched(t, w, "orders", old); !errors.Is(err, blocks.ErrOldFormat) {
		t.Errorf("records in an old format are given to consumers: %v", err)
	}
	m := produce("", records(t, shape{}, "x"))
	m.SetVersion(13)
	m.Topics[0].TopicID = [16]byte{1, 2, 3}
	if sent, _, err := run(t, w, m); err != nil || sent != nil {
		t.Errorf("records of a topic that nobody knows are not shown: %v", err)
	}
}

// TestWhatProtectsIsNotPassedByAfterAnEdit: what a section may not say is refused also where the
// guest runs already, for the section as it was.
func TestWhatProtectsIsNotPassedByAfterAnEdit(t *testing.T) {
	spec := Compiled("guard", func() *sdk.Guest { return sdk.New("guard", refuser{}, sdk.FailClosedOnly()) })
	env := plugintest.Env(t, plugintest.NewCluster("prod", 0, 1, "orders"))
	i, err := spec.New(t.Context(), env, plugintest.Section(t, "{limits: {timeout: 5m}}"))
	if err != nil {
		t.Fatal(err)
	}
	w := i.(*Wasm)
	edited := plugintest.Section(t, "{limits: {timeout: 5m}, on_error: pass}")
	if _, err := spec.Prepare(t.Context(), env, edited, false); err == nil || !strings.Contains(err.Error(), "must not be passed by") {
		t.Errorf("the edit: %v", err)
	}
	if sent, answer, err := run(t, w, produce("orders", records(t, shape{}, "x"))); err != nil || sent != nil || answer.ErrorCode == 0 {
		t.Errorf("what runs: code %d, %v", answer.ErrorCode, err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}

// refuser refuses everything.
type refuser struct{}

func (refuser) OnProduce(*sdk.Records) error { return errors.New("nothing goes by") }
func (refuser) OnFetch(*sdk.Records) error   { return errors.New("nothing goes by") }
