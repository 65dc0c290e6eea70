package routing

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// allClusters applies a change (ACLs, quotas, SCRAM users) to every cluster: a failover must find
// the same rights. Each part of it is answered with the first refusal, and the name of the cluster
// that refused; only what all have done is a success.
func (r *Routing) allClusters(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	clusters := make([]string, len(r.env.Clusters))
	bodies := make([]*kafka.RequestBody, len(clusters))
	for i, c := range r.env.Clusters {
		clusters[i], bodies[i] = c.Name(), req.Body
	}
	_, results := r.fork(ctx, req, next, clusters, bodies)
	var all kmsg.Response
	for i, res := range results {
		if res.Err != nil {
			if plugin.Closes(res.Err) || ctx.Err() != nil {
				return nil, res.Err
			}
			api, _ := kafka.Lookup(req.Key)
			resp, err := plugin.Fail(req, api.OnFailure, "it did not answer, and may or may not have made the change")
			if err != nil {
				return nil, err
			}
			res.Response = resp
		}
		msg, err := res.Response.Body.Edit()
		if err != nil {
			return nil, err
		}
		if named(msg, clusters[i]); all == nil {
			all = msg
			continue
		}
		judge(all, msg)
	}
	return plugin.Respond(all), nil
}

// named says in every refusal which cluster it is of.
func named(msg kmsg.Response, cluster string) {
	eachPart(msg, func(code int16, message **string) {
		if code == 0 {
			return
		}
		said := kafka.Code(code).Name()
		if *message != nil && **message != "" {
			said = **message
		}
		text := fmt.Sprintf("cluster %s: %s", cluster, said)
		*message = &text
	})
}

func eachPart(msg kmsg.Response, visit func(code int16, message **string)) {
	switch m := msg.(type) {
	case *kmsg.CreateACLsResponse:
		for i := range m.Results {
			visit(m.Results[i].ErrorCode, &m.Results[i].ErrorMessage)
		}
	case *kmsg.DeleteACLsResponse:
		for i := range m.Results {
			visit(m.Results[i].ErrorCode, &m.Results[i].ErrorMessage)
			for j := range m.Results[i].MatchingACLs {
				visit(m.Results[i].MatchingACLs[j].ErrorCode, &m.Results[i].MatchingACLs[j].ErrorMessage)
			}
		}
	case *kmsg.AlterClientQuotasResponse:
		for i := range m.Entries {
			visit(m.Entries[i].ErrorCode, &m.Entries[i].ErrorMessage)
		}
	case *kmsg.AlterUserSCRAMCredentialsResponse:
		for i := range m.Results {
			visit(m.Results[i].ErrorCode, &m.Results[i].ErrorMessage)
		}
	}
}

// judge adds the answer of another cluster.
func judge(all, more kmsg.Response) {
	switch a := all.(type) {
	case *kmsg.CreateACLsResponse:
		b := more.(*kmsg.CreateACLsResponse)
		a.ThrottleMillis = max(a.ThrottleMillis, b.ThrottleMillis)
		for i := range min(len(a.Results), len(b.Results)) {
			if a.Results[i].ErrorCode == 0 {
				a.Results[i] = b.Results[i]
			}
		}
	case *kmsg.DeleteACLsResponse:
		b := more.(*kmsg.DeleteACLsResponse)
		a.ThrottleMillis = max(a.ThrottleMillis, b.ThrottleMillis)
		for i := range min(len(a.Results), len(b.Results)) {
			judgeDeleted(&a.Results[i], b.Results[i])
		}
	case *kmsg.AlterClientQuotasResponse:
		b := more.(*kmsg.AlterClientQuotasResponse)
		a.ThrottleMillis = max(a.ThrottleMillis, b.ThrottleMillis)
		a.Entries = judged(a.Entries, b.Entries,
			func(x, y kmsg.AlterClientQuotasResponseEntry) bool { return maps.Equal(entity(x), entity(y)) },
			func(x kmsg.AlterClientQuotasResponseEntry) int16 { return x.ErrorCode })
	case *kmsg.AlterUserSCRAMCredentialsResponse:
		b := more.(*kmsg.AlterUserSCRAMCredentialsResponse)
		a.ThrottleMillis = max(a.ThrottleMillis, b.ThrottleMillis)
		a.Results = judged(a.Results, b.Results,
			func(x, y kmsg.AlterUserSCRAMCredentialsResponseResult) bool { return x.User == y.User },
			func(x kmsg.AlterUserSCRAMCredentialsResponseResult) int16 { return x.ErrorCode })
	}
}

// judged puts refusals in the place of successes; clusters answer in an order of their own.
func judged[T any](all, more []T, same func(a, b T) bool, code func(T) int16) []T {
	for _, x := range more {
		at := slices.IndexFunc(all, func(a T) bool { return same(a, x) })
		switch {
		case at < 0:
			all = append(all, x)
		case code(all[at]) == 0:
			all[at] = x
		}
	}
	return all
}

// entity is what a quota is of: a user, a client id; "" is not the default, which has no name.
func entity(e kmsg.AlterClientQuotasResponseEntry) map[string]string {
	out := map[string]string{}
	for _, x := range e.Entity {
		if x.Name != nil {
			out[x.Type] = "=" + *x.Name
		} else {
			out[x.Type] = ""
		}
	}
	return out
}

// judgeDeleted lists what was deleted on any cluster.
func judgeDeleted(all *kmsg.DeleteACLsResponseResult, more kmsg.DeleteACLsResponseResult) {
	if all.ErrorCode == 0 && more.ErrorCode != 0 {
		all.ErrorCode, all.ErrorMessage = more.ErrorCode, more.ErrorMessage
	}
	plain := func(m kmsg.DeleteACLsResponseResultMatchingACL) kmsg.DeleteACLsResponseResultMatchingACL {
		m.ErrorCode, m.ErrorMessage = 0, nil
		return m
	}
	all.MatchingACLs = judged(all.MatchingACLs, more.MatchingACLs,
		func(x, y kmsg.DeleteACLsResponseResultMatchingACL) bool { return reflect.DeepEqual(plain(x), plain(y)) },
		func(x kmsg.DeleteACLsResponseResultMatchingACL) int16 { return x.ErrorCode })
}
