package routing

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/testing/plugintest"
)

// changes are two-part changes that every cluster must make.
func changes() []kmsg.Request {
	acl, filter := kmsg.NewCreateACLsRequestCreation(), kmsg.NewDeleteACLsRequestFilter()
	a, b := "a", "b"
	quota := func(name *string) kmsg.AlterClientQuotasRequestEntry {
		return kmsg.AlterClientQuotasRequestEntry{
			Entity: []kmsg.AlterClientQuotasRequestEntryEntity{{Type: "user", Name: name}},
			Ops:    []kmsg.AlterClientQuotasRequestEntryOp{{Key: "producer_byte_rate", Value: 1}},
		}
	}
	return []kmsg.Request{
		&kmsg.CreateACLsRequest{Version: 3, Creations: []kmsg.CreateACLsRequestCreation{acl, acl}},
		&kmsg.DeleteACLsRequest{Version: 3, Filters: []kmsg.DeleteACLsRequestFilter{filter, filter}},
		&kmsg.AlterClientQuotasRequest{Version: 1, Entries: []kmsg.AlterClientQuotasRequestEntry{quota(&a), quota(nil)}},
		&kmsg.AlterUserSCRAMCredentialsRequest{
			Deletions:  []kmsg.AlterUserSCRAMCredentialsRequestDeletion{{Name: a, Mechanism: 1}},
			Upsertions: []kmsg.AlterUserSCRAMCredentialsRequestUpsertion{{Name: b, Mechanism: 1, Iterations: 4096}},
		},
	}
}

// answerTo answers a change with a code for each of its parts, in the order of the request or the
// other way round.
func answerTo(req kmsg.Request, turned bool, message string, codes ...int16) kmsg.Response {
	body, _ := kafka.ErrorResponse(kafka.RequestBodyOf(req), 0, "")
	resp, _ := body.Peek()
	if m, ok := resp.(*kmsg.AlterClientQuotasResponse); ok {
		m.Entries = nil
		for _, e := range req.(*kmsg.AlterClientQuotasRequest).Entries {
			m.Entries = append(m.Entries, kmsg.AlterClientQuotasResponseEntry{Entity: []kmsg.AlterClientQuotasResponseEntryEntity{{Type: e.Entity[0].Type, Name: e.Entity[0].Name}}})
		}
	}
	i := 0
	set := func(code *int16, text **string) {
		if *code = codes[i]; *code != 0 && message != "" {
			*text = &message
		}
		i++
	}
	switch m := resp.(type) {
	case *kmsg.CreateACLsResponse:
		for i := range m.Results {
			set(&m.Results[i].ErrorCode, &m.Results[i].ErrorMessage)
		}
	case *kmsg.DeleteACLsResponse:
		for i := range m.Results {
			set(&m.Results[i].ErrorCode, &m.Results[i].ErrorMessage)
		}
	case *kmsg.AlterClientQuotasResponse:
		for i := range m.Entries {
			set(&m.Entries[i].ErrorCode, &m.Entries[i].ErrorMessage)
		}
		if turned {
			slices.Reverse(m.Entries)
		}
	case *kmsg.AlterUserSCRAMCredentialsResponse:
		for i := range m.Results {
			set(&m.Results[i].ErrorCode, &m.Results[i].ErrorMessage)
		}
		if turned {
			slices.Reverse(m.Results)
		}
	}
	return resp
}

// parts lists code and message of each part.
func parts(msg kmsg.Response) (out []string) {
	eachPart(msg, func(code int16, message **string) {
		said := ""
		if *message != nil {
			said = " " + **message
		}
		out = append(out, fmt.Sprintf("%d%s", code, said))
	})
	return out
}

// TestEveryClusterIsJudged: what one has refused is no success, whichever it is, and the answer
// names it.
func TestEveryClusterIsJudged(t *testing.T) {
	for _, req := range changes() {
		for _, c := range []struct {
			name     string
			prod, dr []int16
			message  string
			fails    string
			want     []string
		}{
			{name: "all do", prod: []int16{0, 0}, dr: []int16{0, 0}, want: []string{"0", "0"}},
			{name: "the first refuses a part", prod: []int16{31, 0}, dr: []int16{0, 0}, message: "not you", want: []string{"31 cluster prod: not you", "0"}},
			{name: "the last refuses a part", prod: []int16{0, 0}, dr: []int16{0, 54}, message: "off", want: []string{"0", "54 cluster dr: off"}},
			{name: "both refuse", prod: []int16{31, 0}, dr: []int16{54, 54}, want: []string{"31 cluster prod: CLUSTER_AUTHORIZATION_FAILED", "54 cluster dr: SECURITY_DISABLED"}},
			{name: "one is not there", prod: []int16{0, 0}, fails: "dr", want: []string{
				"-1 cluster dr: it did not answer, and may or may not have made the change", "-1 cluster dr: it did not answer, and may or may not have made the change"}},
		} {
			t.Run(kmsg.NameForKey(req.Key())+", "+c.name, func(t *testing.T) {
				r, _ := build(t, rulesYAML)
				resp, err := r.Intercept(t.Context(), plugintest.Request(t, req, ""), plugin.HandlerFunc(func(_ context.Context, f *plugin.Request) (*plugin.Response, error) {
					switch f.Target.Cluster {
					case c.fails:
						return nil, plugin.ErrUnreachable
					case "prod":
						return plugintest.Encode(answerTo(req, false, c.message, c.prod...)), nil
					}
					return plugintest.Encode(answerTo(req, true, c.message, c.dr...)), nil
				}))
				if err != nil {
					t.Fatal(err)
				}
				if got := parts(plugintest.Decode[kmsg.Response](t, resp)); !slices.Equal(got, c.want) {
					t.Errorf("answered %q, want %q", got, c.want)
				}
			})
		}
	}
}

// TestDeletedACLsAreThoseOfEveryCluster.
func TestDeletedACLsAreThoseOfEveryCluster(t *testing.T) {
	r, _ := build(t, rulesYAML)
	req := changes()[1].(*kmsg.DeleteACLsRequest)
	resp, err := r.Intercept(t.Context(), plugintest.Request(t, req, ""), plugin.HandlerFunc(func(_ context.Context, f *plugin.Request) (*plugin.Response, error) {
		out := answerTo(req, false, "", 0, 0).(*kmsg.DeleteACLsResponse)
		for _, name := range []string{"both", f.Target.Cluster} {
			m := kmsg.NewDeleteACLsResponseResultMatchingACL()
			m.ResourceName = name
			out.Results[0].MatchingACLs = append(out.Results[0].MatchingACLs, m)
		}
		return plugintest.Encode(out), nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range plugintest.Decode[*kmsg.DeleteACLsResponse](t, resp).Results[0].MatchingACLs {
		names = append(names, m.ResourceName)
	}
	if want := []string{"both", "prod", "dr"}; !slices.Equal(names, want) {
		t.Errorf("deleted %v, want %v", names, want)
	}
}
