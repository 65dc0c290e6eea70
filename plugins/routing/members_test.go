package routing

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/groups"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/testing/plugintest"
)

// moved is a group with two members, that has moved from prod to dr, which is asked by the gateway
// itself too.
func moved(t *testing.T, dr func(node int32, m kmsg.Request) (kmsg.Response, error)) (*Routing, *groups.Group) {
	t.Helper()
	r, g, move := moves(t, dr)
	move()
	return r, g
}

// moves is such a group that still has to move.
func moves(t *testing.T, dr func(node int32, m kmsg.Request) (kmsg.Response, error)) (*Routing, *groups.Group, func()) {
	t.Helper()
	home := plugintest.NewCluster("dr", 1, 4, "orders")
	home.Answer = dr
	env := plugintest.Env(t, plugintest.NewCluster("prod", 0, 4, "orders"), home)
	env.Groups = groups.New(env.Catalog)
	env.Groups.SetRules(groups.Rules{Home: func(string) string { return "prod" }, Clusters: []string{"prod", "dr"}, Limit: 15 * time.Second})
	r, err := New(t.Context(), env, plugintest.Section(t, rulesYAML))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	g := env.Groups.Group("g")
	for _, id := range []string{"one", "two"} {
		g.Joined(groups.Member{ID: id, Client: id, Host: "h"})
	}
	if err := env.Groups.See(t.Context(), "g"); err != nil {
		t.Fatal(err)
	}
	return r, g, func() {
		g.Hold("move")
		if err := env.Catalog.UpdateGroups(t.Context(), []string{"g"}, func(_ string, x *catalog.Group) *catalog.Group {
			return x.Moved("dr", time.Now(), false)
		}); err != nil {
			t.Error(err)
		}
		g.Moved()
		g.Release()
	}
}

// TestAMemberOfBeforeSyncs: it has its generation, and not its partitions yet, when its group
// moves. It is to join again by the id that it has, which others wait for; then it gets its
// partitions.
func TestAMemberOfBeforeSyncs(t *testing.T) {
	r, g := moved(t, nil)
	syncs := func(id string) (code kafka.Code, asked bool) {
		m := kmsg.NewPtrSyncGroupRequest()
		m.SetVersion(5)
		m.Group, m.MemberID = "g", id
		code = kafka.Code(exchange(t, r, m, func(_ string, sent *kmsg.SyncGroupRequest) *kmsg.SyncGroupResponse {
			asked = true
			return sent.ResponseKind().(*kmsg.SyncGroupResponse)
		}).ErrorCode)
		return code, asked
	}
	if code, asked := syncs("one"); code != kafka.RebalanceInProgress || asked {
		t.Errorf("answered %s, by the new home: %t", code.Name(), asked)
	}
	g.Joins("one", groups.Member{ID: "eins", Client: "one", Host: "h"})
	if code, asked := syncs("eins"); code != 0 || !asked {
		t.Errorf("once it has joined answered %s, by the new home: %t", code.Name(), asked)
	}
}

// TestAMemberOfBeforeJoinsBehindAStart of the gateway, which does not know it: it joins the new
// home as a new member, a static one too. Somebody whom nobody can know is told so.
func TestAMemberOfBeforeJoinsBehindAStart(t *testing.T) {
	for name, instance := range map[string]*string{"dynamic": nil, "static": kmsg.StringPtr("first")} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, _ := moved(t, nil)
				joins := func() (code kafka.Code, ids []string) {
					m := kmsg.NewPtrJoinGroupRequest()
					m.SetVersion(9)
					m.Group, m.MemberID, m.InstanceID = "g", "one", instance
					a := exchange(t, r, m, func(_ string, sent *kmsg.JoinGroupRequest) *kmsg.JoinGroupResponse {
						ids = append(ids, sent.MemberID)
						a := sent.ResponseKind().(*kmsg.JoinGroupResponse)
						switch {
						case sent.MemberID == "one":
							a.ErrorCode = int16(kafka.UnknownMemberID)
						case sent.MemberID == "" && instance == nil:
							a.ErrorCode, a.MemberID = int16(kafka.MemberIDRequired), "eins"
						default:
							a.MemberID = "eins"
						}
						return a
					})
					return kafka.Code(a.ErrorCode), ids
				}
				r.env.Groups = groups.New(r.env.Catalog)
				r.env.Groups.SetRules(groups.Rules{Home: func(string) string { return "prod" }, Clusters: []string{"prod", "dr"}, Limit: 15 * time.Second})
				want := []string{"one", "", "eins"}
				if instance != nil {
					want = want[:2]
				}
				if code, ids := joins(); code != 0 || !slices.Equal(ids, want) {
					t.Errorf("answered %s, joined as %q, want %q", code.Name(), ids, want)
				}
				time.Sleep(time.Minute)
				if code, ids := joins(); code != kafka.UnknownMemberID || len(ids) != 1 {
					t.Errorf("whose session has ended is answered %s, joined as %q", code.Name(), ids)
				}
			})
		})
	}
}

// TestAMemberOfBeforeLeaves: by the id that the new home has given it, if it has one already: else
// this waits for it. To its client it has left in either case.
func TestAMemberOfBeforeLeaves(t *testing.T) {
	for name, c := range map[string]struct {
		version   int16
		next      string
		wantsSent string
	}{
		"without another id":      {5, "", "one"},
		"by its other id":         {5, "eins", "eins"},
		"without, as one of old":  {2, "", "one"},
		"by its other, as of old": {2, "eins", "eins"},
	} {
		t.Run(name, func(t *testing.T) {
			r, g := moved(t, nil)
			if c.next != "" && !g.Came("one", c.next) {
				t.Fatal("no member of before")
			}
			m := kmsg.NewPtrLeaveGroupRequest()
			m.SetVersion(c.version)
			m.Group = "g"
			if c.version < 3 {
				m.MemberID = "one"
			} else {
				x := kmsg.NewLeaveGroupRequestMember()
				x.MemberID = "one"
				m.Members = append(m.Members, x)
			}
			a := exchange(t, r, m, func(cluster string, sent *kmsg.LeaveGroupRequest) *kmsg.LeaveGroupResponse {
				out := sent.ResponseKind().(*kmsg.LeaveGroupResponse)
				ids := []string{sent.MemberID}
				if c.version >= 3 {
					ids = nil
				}
				for _, x := range sent.Members {
					ids = append(ids, x.MemberID)
					out.Members = append(out.Members, kmsg.LeaveGroupResponseMember{MemberID: x.MemberID, ErrorCode: int16(kafka.UnknownMemberID)})
				}
				if c.version < 3 {
					out.ErrorCode = int16(kafka.UnknownMemberID)
				}
				if cluster != "dr" || !slices.Equal(ids, []string{c.wantsSent}) {
					t.Errorf("%s is told that %q leave", cluster, ids)
				}
				return out
			})
			if a.ErrorCode != 0 {
				t.Errorf("answered %s", kafka.Code(a.ErrorCode).Name())
			}
			for _, x := range a.Members {
				if x.ErrorCode != 0 || x.MemberID != "one" {
					t.Errorf("answered %+v", x)
				}
			}
			if _, stale := g.Stale("one"); stale {
				t.Error("it is a member still")
			}
		})
	}
}

// TestAMemberOfBeforeLeavesAsItComes: before the new home has said which id it has there. The home
// is told, and the member does not join.
func TestAMemberOfBeforeLeavesAsItComes(t *testing.T) {
	var left []string
	r, g := moved(t, func(_ int32, m kmsg.Request) (kmsg.Response, error) {
		for _, x := range m.(*kmsg.LeaveGroupRequest).Members {
			left = append(left, x.MemberID)
		}
		return m.ResponseKind(), nil
	})
	m := kmsg.NewPtrJoinGroupRequest()
	m.SetVersion(9)
	m.Group, m.MemberID = "g", "one"
	a := exchange(t, r, m, func(_ string, sent *kmsg.JoinGroupRequest) *kmsg.JoinGroupResponse {
		if sent.MemberID != "" {
			t.Errorf("it joins as %q", sent.MemberID)
		}
		g.Left("one")
		out := sent.ResponseKind().(*kmsg.JoinGroupResponse)
		out.ErrorCode, out.MemberID = int16(kafka.MemberIDRequired), "eins"
		return out
	})
	if code := kafka.Code(a.ErrorCode); code != kafka.UnknownMemberID {
		t.Errorf("answered %s", code.Name())
	}
	if !slices.Equal(left, []string{"eins"}) {
		t.Errorf("the new home is told that %q leave", left)
	}
}

// TestPositionsOfAMemberOfBefore: the new home is asked for them by nobody, since it does not know
// the member.
func TestPositionsOfAMemberOfBefore(t *testing.T) {
	r, _ := moved(t, nil)
	for id, known := range map[string]bool{"one": false, "three": true} {
		m := kmsg.NewPtrOffsetFetchRequest()
		m.SetVersion(9)
		own := kmsg.NewOffsetFetchRequestGroup()
		own.Group, own.MemberID, own.MemberEpoch = "g", &id, 3
		m.Groups = append(m.Groups, own)
		exchange(t, r, m, func(cluster string, sent *kmsg.OffsetFetchRequest) *kmsg.OffsetFetchResponse {
			if of := sent.Groups[0]; cluster != "dr" || (of.MemberID != nil) != known || (of.MemberEpoch == 3) != known {
				t.Errorf("%s: %s is asked for %+v", id, cluster, of)
			}
			return sent.ResponseKind().(*kmsg.OffsetFetchResponse)
		})
	}
}

// TestOthersWaitForMembersOfBefore: who is no member, and describes, changes or deletes the group,
// finds it with its members, as at a coordinator that has always had them.
func TestOthersWaitForMembersOfBefore(t *testing.T) {
	describe, next, remove := kmsg.NewPtrDescribeGroupsRequest(), kmsg.NewPtrConsumerGroupDescribeRequest(), kmsg.NewPtrDeleteGroupsRequest()
	describe.Groups, next.Groups, remove.Groups = []string{"g"}, []string{"g"}, []string{"g"}
	forget, commit, late := kmsg.NewPtrOffsetDeleteRequest(), kmsg.NewPtrOffsetCommitRequest(), kmsg.NewPtrOffsetCommitRequest()
	forget.Group, commit.Group, late.Group, late.MemberID = "g", "g", "g", "two"
	describe.SetVersion(5)
	remove.SetVersion(2)
	commit.SetVersion(9)
	late.SetVersion(9)
	for _, c := range []struct {
		m     kmsg.Request
		waits bool
	}{{describe, true}, {next, true}, {remove, true}, {forget, true}, {commit, true}, {late, false}} {
		t.Run(kmsg.NameForKey(c.m.Key()), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, g := moved(t, nil)
				sent := make(chan struct{}, 1)
				req := plugintest.Request(t, c.m, "")
				go func() {
					_, err := r.Intercept(t.Context(), req, plugin.HandlerFunc(func(context.Context, *plugin.Request) (*plugin.Response, error) {
						sent <- struct{}{}
						return plugintest.Encode(c.m.ResponseKind()), nil
					}))
					if err != nil {
						t.Error(err)
					}
				}()
				synctest.Wait()
				if (len(sent) == 0) != c.waits {
					t.Error("waits for the members, or does not")
				}
				g.Joins("one", groups.Member{ID: "eins", Client: "one", Host: "h"})
				g.Joined(groups.Member{ID: "eins", Client: "one", Host: "h"})
				synctest.Wait()
				if (len(sent) == 0) != c.waits {
					t.Error("waits for one member alone")
				}
				g.Joined(groups.Member{ID: "two", Client: "two", Host: "h"})
				<-sent
			})
		})
	}
}

// TestMembersOfTheNewProtocolBeatFaster for a moment after a move: the new home hands out
// partitions with their heartbeats, several to each.
func TestMembersOfTheNewProtocolBeatFaster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, g := moved(t, nil)
		g.Left("two")
		for _, c := range []struct {
			group string
			after time.Duration
			want  int32
		}{{"g", 0, movedInterval}, {"other", 0, 5000}, {"g", time.Minute, 5000}} {
			time.Sleep(c.after)
			m := kmsg.NewPtrConsumerGroupHeartbeatRequest()
			m.Group, m.MemberID, m.Topics = c.group, "three", []kmsg.ConsumerGroupHeartbeatRequestTopic{}
			g.Left("one")
			a := exchange(t, r, m, func(_ string, sent *kmsg.ConsumerGroupHeartbeatRequest) *kmsg.ConsumerGroupHeartbeatResponse {
				out := sent.ResponseKind().(*kmsg.ConsumerGroupHeartbeatResponse)
				out.MemberID, out.MemberEpoch, out.HeartbeatIntervalMillis = &sent.MemberID, 1, 5000
				return out
			})
			if a.HeartbeatIntervalMillis != c.want {
				t.Errorf("%s, %s after: beats each %d ms, want %d", c.group, c.after, a.HeartbeatIntervalMillis, c.want)
			}
		}
	})
}

// TestAMemberWhoseHeartbeatWaits for a home that has died sends no other: it is a member all the
// same, and gives up its partitions, so that it commits, before it is told to join.
func TestAMemberWhoseHeartbeatWaits(t *testing.T) {
	for _, waits := range []time.Duration{15 * time.Second, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			r, g, move := moves(t, nil)
			g.Left("two")
			g.Alive(groups.Member{ID: "one", Client: "one", Host: "h", Consumer: true})
			m := kmsg.NewPtrConsumerGroupHeartbeatRequest()
			m.Group, m.MemberID, m.MemberEpoch = "g", "one", 4
			a := exchange(t, r, m, func(_ string, sent *kmsg.ConsumerGroupHeartbeatRequest) *kmsg.ConsumerGroupHeartbeatResponse {
				time.Sleep(waits)
				move()
				return sent.ResponseKind().(*kmsg.ConsumerGroupHeartbeatResponse)
			})
			if a.ErrorCode != 0 {
				t.Errorf("after %s it is told to join: %s", waits, kafka.Code(a.ErrorCode).Name())
			}
			if a.Assignment == nil {
				t.Errorf("after %s it keeps its partitions", waits)
			}
		})
	}
}
