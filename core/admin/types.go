// Package admin is what operators see of a gateway and may do with it: the types, the versioned
// HTTP API over them, and who may use it. The gateway itself stands behind the interface Gateway.
package admin

import (
	"context"
	"time"

	"github.com/sluice-gateway/sluice/core/audit"
	"github.com/sluice-gateway/sluice/core/failover"
	"github.com/sluice-gateway/sluice/core/plan"
	"github.com/sluice-gateway/sluice/core/standing"
	"github.com/sluice-gateway/sluice/core/telemetry"
)

// Unknown stands for an offset, lag or node that can't be told now.
const Unknown = -1

// Gateway is what the API and the console work on. Errors that are an operator's to mend are
// *Error.
type Gateway interface {
	Status() Status
	Config() Config
	// Topics lists topics, with the lists of their partitions or without. pick, if not nil, chooses
	// those that clusters are asked about from all, of which each says then what the gateway knows
	// by itself: see TopicListing.
	Topics(ctx context.Context, virtualCluster string, partitions bool, pick func([]Topic) []Topic) ([]Topic, error)
	// Counts counts the records of all topics, as of the last time that clusters were asked, at
	// most 10 s ago unless nothing seems to happen to a topic.
	Counts(ctx context.Context, virtualCluster string) ([]Count, error)
	// Topic is one topic, with its partitions.
	Topic(ctx context.Context, virtualCluster, topic string) (Topic, error)
	Groups(ctx context.Context, virtualCluster string) (Groups, error)
	Clients() []Client
	Traffic() []Traffic
	Plugins() []Plugin
	// Moves lists running, pending and past moves, oldest first.
	Moves() []failover.Report
	// Capture waits for requests and their answers.
	Capture(ctx context.Context, virtualCluster string, c Capture) ([]Exchange, error)
	Plan(ctx context.Context, m Move) (plan.Plans, error)
	// Start edits the file. revision is the one that the edit is meant for; "" is whichever is in
	// force.
	Start(ctx context.Context, revision string, m Move) (Started, error)
	// Abort takes the edit behind a move back, and returns its report when it has ended.
	Abort(ctx context.Context, revision, id string) (failover.Report, error)
	// Acknowledge notes that possible losses are dealt with.
	Acknowledge(ctx context.Context, a Acknowledge) ([]failover.Report, error)
	LogLevels() LogState
	// SetLogLevels puts levels in the place of those in force, until the gateway ends or the file's
	// are others.
	SetLogLevels(ctx context.Context, l LogLevels) (LogState, error)
	// ResetLogLevels puts those of the file back.
	ResetLogLevels(ctx context.Context) LogState
}

// Acknowledge names moves, or with All every move, whose possible loss is dealt with.
type Acknowledge struct {
	Moves []string `json:"moves,omitempty"`
	All   bool     `json:"all,omitempty"`
}

// Count is how many offsets of a topic are in use, Unknown if that can't be told.
type Count struct {
	Topic      string
	Generation int32
	Records    int64
}

// Error is an error with the HTTP status that tells whose it is.
type Error struct {
	Status  int
	Message string
}

func (e *Error) Error() string { return e.Message }

// Status is the state of the gateway in short.
type Status struct {
	Started         time.Time        `json:"started"`
	Revision        string           `json:"revision"`
	Clusters        []Cluster        `json:"clusters"`
	VirtualClusters []VirtualCluster `json:"virtual_clusters"`
	OpenMoves       int              `json:"open_moves"`
	Losses          Losses           `json:"losses"`
	ConfigError     string           `json:"config_error,omitempty"`
	Broken          []Broken         `json:"broken"`
}

// Losses are the moves with a possible loss that nobody has acknowledged, and how many records that
// is at most.
type Losses struct {
	Moves   int   `json:"moves"`
	Records int64 `json:"records"`
}

// Broken is a part of a virtual cluster that goes on as it was, or is left out, while what it is
// made from (a module, an image, a certificate) is broken or gone; or a part of the file that
// concerns them all.
type Broken struct {
	VirtualCluster string `json:"virtual_cluster"` // "" for all
	Part           string `json:"part"`            // an interceptor, listen.tls, or a reference such as ${file:path}
	Error          string `json:"error"`
}

// Cluster is a physical cluster as it was last seen.
type Cluster struct {
	Name       string    `json:"name"`
	Bootstrap  []string  `json:"bootstrap"`
	Reachable  bool      `json:"reachable"`
	LastAnswer time.Time `json:"last_answer,omitzero"`
	// Trouble says why it is not reachable: nobody answers, or somebody does who can't be used.
	Trouble    string `json:"trouble,omitempty"`
	ClusterID  string `json:"cluster_id"`
	Controller int32  `json:"controller"`
	Nodes      []Node `json:"nodes"`
	Topics     int    `json:"topics"`
}

// Node is a broker that the cluster has listed.
type Node struct {
	ID   int32  `json:"id"`
	Host string `json:"host"`
	Port int32  `json:"port"`
	Rack string `json:"rack,omitempty"`
}

// VirtualCluster is what clients see as one cluster.
type VirtualCluster struct {
	Name      string   `json:"name"`
	Bootstrap string   `json:"bootstrap"`
	Clusters  []string `json:"clusters"`
	Topics    int      `json:"topics"`
	Sessions  int      `json:"sessions"`
}

// Topic is a virtual topic.
type Topic struct {
	VirtualCluster string            `json:"virtual_cluster"`
	Name           string            `json:"name"`
	ID             string            `json:"id"`
	Home           string            `json:"home"`
	Wanted         string            `json:"wanted"` // where the file wants it
	Reachable      bool              `json:"reachable"`
	Names          map[string]string `json:"names"` // by cluster
	Generation     int32             `json:"generation"`
	PartitionCount int               `json:"partition_count"`
	// Records is the sum of the end offsets without those in holes; it grows by one with each
	// record. Unknown if one is.
	Records    int64       `json:"records"`
	Partitions []Partition `json:"partitions,omitzero"` // nil in a list without them
	Copies     []Copy      `json:"copies"`
	Missing    []string    `json:"missing,omitempty"` // clusters whose copy is still to be made
}

// Partition is the virtual log of a partition.
type Partition struct {
	Partition int   `json:"partition"`
	Start     int64 `json:"start"`
	End       int64 `json:"end"`
	// Holes is how many offsets before the end never had a record: unplanned moves leave them out.
	Holes int64 `json:"holes,omitempty"`
}

// Copy is what another cluster has of the topic.
type Copy struct {
	Cluster    string          `json:"cluster"`
	Lag        int64           `json:"lag"`
	Compared   time.Time       `json:"compared,omitzero"`
	Problem    string          `json:"problem,omitempty"`
	Partitions []CopyPartition `json:"partitions,omitzero"` // nil in a list without them
}

// CopyPartition is a partition of a copy. Start and End are offsets there, ComparedFrom and
// ComparedTo, without which the rest is unknown, virtual ones.
type CopyPartition struct {
	Partition    int    `json:"partition"`
	Start        int64  `json:"start"`
	End          int64  `json:"end"`
	Delta        *int64 `json:"delta"` // there minus home
	Lag          int64  `json:"lag"`
	ComparedFrom int64  `json:"compared_from"`
	ComparedTo   int64  `json:"compared_to"`
	standing.Aligned
}

// Groups are the groups of a virtual cluster; Problem says whose could not be listed.
type Groups struct {
	Groups  []Group `json:"groups"`
	Problem string  `json:"problem,omitempty"`
}

// Group is a consumer group at its home.
type Group struct {
	Name string `json:"name"`
	Home string `json:"home"`
	// Wanted is where the rules put it.
	Wanted string `json:"wanted"`
	// Generation is the number of its moves.
	Generation int32  `json:"generation"`
	State      string `json:"state"`
	Lag        int64  `json:"lag"`
	// Mirrored says, by cluster that may become its home, for how many milliseconds positions that
	// it has committed have not been there; -1: it has not been given all of them.
	Mirrored  map[string]int64 `json:"mirrored"`
	Positions []Position       `json:"positions"`
}

// Position is what a group has committed.
type Position struct {
	Topic     string          `json:"topic"`
	Partition int32           `json:"partition"`
	Offset    int64           `json:"offset"`
	End       int64           `json:"end"`
	Held      map[string]Held `json:"held"` // by cluster
}

// Held says whether a copy has what a group would read next.
type Held string

// Whether it has.
const (
	HeldYes     Held = "yes"
	HeldNo      Held = "no"
	HeldUnknown Held = "unknown"
)

// Client is a session.
type Client struct {
	ID              uint64    `json:"id"`
	VirtualCluster  string    `json:"virtual_cluster"`
	Address         string    `json:"address"`
	ClientID        string    `json:"client_id"`
	Software        string    `json:"software"`
	SoftwareVersion string    `json:"software_version"`
	Cluster         string    `json:"cluster"` // of the node whose address it dialled; "" on the bootstrap address
	Node            int32     `json:"node"`
	Since           time.Time `json:"since"`
	InFlight        int       `json:"in_flight"`
	Requests        int64     `json:"requests"`
	BytesIn         int64     `json:"bytes_in"`
	BytesOut        int64     `json:"bytes_out"`
}

// Traffic is what was answered in a virtual cluster since the gateway started.
type Traffic struct {
	VirtualCluster string       `json:"virtual_cluster"`
	APIs           []APITraffic `json:"apis"`
}

// APITraffic is the part of one API.
type APITraffic struct {
	API      string              `json:"api"`
	Requests int64               `json:"requests"`
	BytesIn  int64               `json:"bytes_in"`
	BytesOut int64               `json:"bytes_out"`
	Latency  telemetry.Histogram `json:"latency"`
}

// Plugin is an interceptor in its chain.
type Plugin struct {
	VirtualCluster string `json:"virtual_cluster"`
	Interceptor    string `json:"interceptor"`
	Status         any    `json:"status,omitempty"`
	// Broken says that another version of it can't be had, and why.
	Broken string `json:"broken,omitempty"`
}

// Config is the configuration in force.
type Config struct {
	Revision string        `json:"revision"`
	File     string        `json:"file"`
	Config   any           `json:"config"` // secrets masked
	Reloaded time.Time     `json:"reloaded,omitzero"`
	Errors   []ConfigError `json:"errors"`   // of the last reload, whose file is not in force
	Warnings []ConfigError `json:"warnings"` // about what is in force, but is probably not meant
	Changed  time.Time     `json:"changed,omitzero"`
	Changes  []Change      `json:"changes"` // the last ones since the gateway started
}

// ConfigError is one thing wrong with the file; Line is 0 for what is not at one place.
type ConfigError struct {
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Path    string `json:"path"`
	Message string `json:"message"`
}

// Change is a value that is another one than before; nil is none.
type Change = audit.Change

// LogLevels are from which level on the log is written: debug, info, warn or error.
type LogLevels struct {
	Level  string            `json:"level"`
	Levels map[string]string `json:"levels"` // by component
}

// LogState is the levels in force and where they come from, and what they come to for each
// component.
type LogState struct {
	LogLevels
	From       string            `json:"from"`
	Components map[string]string `json:"components"`
}

// Where levels come from.
const (
	FromFile = "file"
	FromAPI  = "api"
)

// Move asks for a plan, or a start, of moves: of the topics named, or of all that live on From.
type Move struct {
	VirtualCluster string   `json:"virtual_cluster"` // may be left out if there is one
	Topics         []string `json:"topics"`
	Groups         []string `json:"groups,omitempty"` // consumer groups, besides those that follow the topics
	From           string   `json:"from"`
	To             string   `json:"to"`
	Unplanned      bool     `json:"unplanned"` // the old home is gone for good
	Atomic         bool     `json:"atomic"`    // all topics commit together, or none
}

// Started says which topics were asked to move.
type Started struct {
	VirtualCluster string   `json:"virtual_cluster"`
	Topics         []string `json:"topics"`
	Groups         []string `json:"groups"`
	// Following are groups that go with the topics, once those have moved.
	Following []string `json:"following"`
	To        string   `json:"to"`
	// At is when they were: their moves have begun since.
	At time.Time `json:"at"`
}

// Capture asks for requests and their answers, as clients send and get them.
type Capture struct {
	APIs      []string `json:"apis"`      // by Kafka's names; none: all
	Exchanges int      `json:"exchanges"` // at most
	Seconds   int      `json:"seconds"`   // at most
}

// The most that a Capture may ask for.
const (
	MostExchanges = 10_000
	MostSeconds   = 60
)

// Exchange is a request and its answer: the bodies, without their headers.
type Exchange struct {
	API      string `json:"api"`
	Version  int16  `json:"version"`
	ClientID string `json:"client_id"`
	Request  []byte `json:"request"`
	Response []byte `json:"response"` // nil for none
	// Topics names the ids, in hex, that Produce and Fetch have in place of names.
	Topics map[string]string `json:"topics,omitempty"`
}
