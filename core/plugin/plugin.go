// Package plugin is the contract between Sluice and its interceptors.
//
// A session reads requests; each runs down the chain of its virtual cluster to a target and its
// response runs back up. Above the Routing stage an interceptor sees one virtual cluster, exactly
// as the client does; below it one physical cluster, named by Request.Target.
package plugin

import (
	"context"
	"io"

	"github.com/twmb/franz-go/pkg/kmsg"
	"go.opentelemetry.io/otel/attribute"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/telemetry"
)

// Handler answers a request: the rest of a chain, or its end.
type Handler interface {
	Handle(ctx context.Context, req *Request) (*Response, error)
}

// HandlerFunc makes a function a Handler.
type HandlerFunc func(ctx context.Context, req *Request) (*Response, error)

// Handle calls f.
func (f HandlerFunc) Handle(ctx context.Context, req *Request) (*Response, error) { return f(ctx, req) }

// Interceptor stands in some rows of a chain. It must be safe for concurrent use.
type Interceptor interface {
	// Keys says in which rows the interceptor stands. It is asked once, after configuration.
	Keys() kafka.KeySet
	// Intercept answers req, by calling next no, one or several times (concurrently only with
	// forks, see Request.Fork) or by itself. An error becomes the answer that the api table's
	// OnFailure names; the session goes on.
	Intercept(ctx context.Context, req *Request, next Handler) (*Response, error)
}

// Stage orders interceptors: it never decreases along a chain.
type Stage uint8

// The stages of a chain, top to bottom.
const (
	// Any adapts to the place where the interceptor is named.
	Any Stage = iota
	// Logical interceptors see the virtual cluster.
	Logical
	// Routing picks the cluster; at most one per chain.
	Routing
	// Physical interceptors see the cluster named by Request.Target.
	Physical
)

// String names the stage.
func (s Stage) String() string {
	return [...]string{"any", "logical", "routing", "physical"}[s]
}

// Spec describes a type of interceptor that a chain in the YAML may name.
type Spec struct {
	Type  string
	Stage Stage
	// New builds an interceptor from its section. It must not block on a cluster: an unreachable
	// cluster is never an error of start or reload.
	New func(ctx context.Context, env Env, cfg config.Section) (Interceptor, error)
	// Settings is what a section is decoded into, a struct with its defaults: of it the schema of
	// the file is made. Without it the schema allows any section.
	Settings any
	// Metrics are the metrics that interceptors of the type have, if they are Metered.
	Metrics []*telemetry.Metric
	// Prepare, if there is one, does beforehand what takes long in New, while other edits of the
	// file go on. For a section that is in force already there is nothing to do, unless it is to be
	// made again: of what it is made from, something has changed.
	Prepare func(ctx context.Context, env Env, cfg config.Section, again bool) (Prepared, error)
}

// Prepared is what New finds ready until it is closed.
type Prepared struct {
	io.Closer
	// News says that New will build something else than what is in force.
	News bool
	// Broken says why that which was to be made again could not be; what is in force stays.
	Broken error
}

// VersionLimiter is implemented by interceptors that understand an API only up to some version.
type VersionLimiter interface {
	// MaxVersion returns the highest version understood, or -1 to hide the API from clients.
	MaxVersion(key int16, offered int16) int16
}

// Home says where the rules put a topic.
type Home struct {
	// Cluster is the home, or "" for a topic that belongs to none (cluster: none).
	Cluster string
	// Names holds the physical name per cluster where it differs from the virtual one.
	Names map[string]string
	// Unplanned is the policy for moves whose old home is gone: "if-unreachable", "never",
	// "always".
	Unplanned string
	// Copy is what tells where copies have the records of the home: "align", "identity" or "mm2".
	Copy string
	// Shown is false for a topic that no rule shows.
	Shown bool
}

// Placement is implemented by exactly one interceptor of a chain with several clusters (routing).
// Failover and admin know routing only through it.
type Placement interface {
	// Home says where the rules put topic.
	Home(topic string) Home
	// GroupHome says where the rules put a group.
	GroupHome(group string) string
	// SetGroupHome returns the edits of the file that put group on cluster.
	SetGroupHome(group, cluster string) []config.Edit
	// Follows reports that a group has no rule of its own, and goes where its topics go.
	Follows(group string) bool
	// SetHome returns the edits of the file that put topic on cluster ("none" for no cluster),
	// under the physical name there ("" keeps it).
	SetHome(topic, cluster, name string) []config.Edit
	// Topics lists the exact names and the patterns of the rules, in file order.
	Topics() []string
}

// Creator is implemented by a Placement that creates topics at their homes.
type Creator interface {
	// Create creates a topic as CreateTopics does, with the brokers' defaults. One that exists is
	// no error.
	Create(ctx context.Context, topic string) error
}

// Sweeper is implemented by a Placement that can finish what was begun with topics while a cluster
// was unreachable.
type Sweeper interface {
	// Sweep does for a topic what clusters that could not be reached before still lack.
	Sweep(ctx context.Context, t *catalog.Topic)
}

// Stubber is implemented by a Placement that can make clusters take the positions of groups in
// topics that live elsewhere.
type Stubber interface {
	// Stub makes sure that a cluster has a topic, or a stub of it: brokers refuse positions in
	// topics that they don't have.
	Stub(ctx context.Context, cluster string, t *catalog.Topic)
}

// Leaver is implemented by a Placement that can move everything from a cluster.
type Leaver interface {
	// LeaveCluster returns the edits of the file that move all that lives on a cluster by its
	// rules.
	LeaveCluster(from, to string) []config.Edit
}

// Keeper is implemented by interceptors that keep decisions which later edits must not change.
type Keeper interface {
	// Lost says why the interceptor can't come into force: it would contradict what is stored. nil:
	// it can.
	Lost() error
	// Keep stores what is not stored yet. It is called once the interceptor is in force: an edit
	// that is refused keeps nothing.
	Keep(ctx context.Context) error
}

// Doubtful is implemented by interceptors whose section may say something that is probably not
// meant.
type Doubtful interface {
	// Warnings are positioned in the file; what they are about is in force all the same.
	Warnings() config.Errors
}

// Namer is implemented by an interceptor (topics) that gives topics another physical name.
type Namer interface {
	// PhysicalName is the name of a virtual topic on clusters without an explicit one.
	PhysicalName(topic string) string
	// VirtualName inverts PhysicalName; false for a physical topic outside the virtual cluster.
	VirtualName(physical string) (string, bool)
	// Hides reports a virtual topic that clients may not see.
	Hides(topic string) bool
}

// Sender is implemented by interceptors that send requests of their own. The chain gives it, once,
// the handler below it by API key.
type Sender interface {
	SetBelow(below func(key kmsg.Key) Handler)
}

// SessionObserver is implemented by interceptors that see clients connect and disconnect.
type SessionObserver interface {
	// Observes reports whether the others are to be called.
	Observes() bool
	// SessionOpened is called before the session's first request is read; an error closes it.
	SessionOpened(ctx context.Context, s *Session) error
	SessionClosed(ctx context.Context, s *Session)
}

// Titled is implemented by interceptors of which a chain may have several: the title tells them
// apart, in traces, in GET /plugins and in `gateway chain`.
type Titled interface {
	Title() string
}

// Reporter is implemented by interceptors that have something to say of themselves, as JSON.
type Reporter interface {
	Report() any
}

// Metered is implemented by interceptors that have metrics of their own.
type Metered interface {
	// Samples are what the metrics say now, each of a Metric and with Values for its labels but the
	// first, the virtual cluster, which the gateway puts in. Of a series that several interceptors
	// of a chain tell, the first counts.
	Samples() []telemetry.Sample
}

// Metric is a metric of interceptors: sluice.NAME, with the virtual cluster before its labels.
func Metric(kind telemetry.Kind, name, unit, help string, labels ...attribute.Key) *telemetry.Metric {
	return &telemetry.Metric{Name: "sluice." + name, Kind: kind, Unit: unit, Help: help, Labels: append([]attribute.Key{telemetry.ByVirtualCluster}, labels...)}
}

// Code is the code of a guest that is in force.
type Code struct {
	// Section is the same for all versions of it, and for no other guest.
	Section string
	Name    string
	Version string
	Digest  string // SHA-256 of its module
}

// Coded is implemented by interceptors whose code may be swapped while they run.
type Coded interface {
	Code() Code
}

// Watched is implemented by interceptors that are built from files: when one changes, they are
// built anew.
type Watched interface {
	// Files are the files, as they were when they were read; one that was not there has no stamp.
	Files() map[string]Stamp
}

// Breakable is implemented by interceptors that go on while what they are made from is broken or
// gone.
type Breakable interface {
	// Broken says what is wrong; nil is nothing.
	Broken() error
}

// KeySet is the set of API keys that interceptors return from Keys.
type KeySet = kafka.KeySet
