package catalog

import (
	"maps"
	"slices"
	"sync/atomic"
)

// Topic is what a virtual cluster knows of one of its topics. It is immutable: a change makes a new
// one and is persisted before it is seen.
type Topic struct {
	Name string   `json:"name"`
	ID   [16]byte `json:"id"`
	// Home is the cluster the topic lives on, "" while it belongs to none.
	Home string `json:"home"`
	// Names holds the physical name on every cluster.
	Names map[string]string `json:"names"`
	// Generation counts the moves and recreations the topic has seen; Published is the newest one
	// that clients have been told of (it lags Generation between a move's commit and its publish).
	Generation int32 `json:"generation"`
	Published  int32 `json:"published"`
	// Before is the home of the published generation while it lags.
	Before     *Topic      `json:"before,omitempty"`
	Partitions []Partition `json:"partitions"`
	// HomeID is the physical topic id at the home when it was last seen; another one means that
	// the topic was recreated.
	HomeID [16]byte `json:"home_id"`
	// Copies holds the physical topic ids of the copies that the partitions' distances are of: one
	// that was made again since has another distance.
	Copies map[string][16]byte `json:"copies,omitempty"`
	// Stubs names the clusters where Sluice made a hidden topic so that groups can commit there.
	Stubs map[string]bool `json:"stubs,omitempty"`
	// Missing names the clusters that could not be reached when the topic was made, and lack its
	// copy.
	Missing []string `json:"missing,omitempty"`
	// Deleted marks a tombstone: the topic is gone for clients, copies may be left on these.
	Deleted []string `json:"deleted,omitempty"`

	marks *Marks
}

// Partition is the lineage of one partition of a virtual topic and its place on the current home.
type Partition struct {
	// Segments lists which cluster holds which range of the virtual log, by ascending generation.
	Segments []Segment `json:"segments"`
	// Distance is that of the home's log.
	Distance Distance `json:"distance,omitzero"`
	// Copies holds what is known of the logs of other clusters, as last verified while both lived.
	Copies map[string]Alignment `json:"copies,omitempty"`
	// Ceiling bounds what may be shown; the virtual start of an unplanned generation.
	Ceiling int64 `json:"ceiling,omitempty"`
	// LogStart is where the virtual log begins, at least: what stood before it is never shown
	// again, whatever a home has of it.
	LogStart int64 `json:"log_start,omitempty"`
	// Erased is the offset up to which clients have deleted records (DeleteRecords): no copy should
	// keep them.
	Erased int64 `json:"erased,omitempty"`
	// Shown says that clients have got to know records; see Reserve.
	Shown bool `json:"shown,omitempty"`
}

// Segment is one range of a partition's virtual log and the cluster that it was written to.
type Segment struct {
	Generation int32 `json:"generation"`
	// Start is the first virtual offset, PhysicalStart the same place on the cluster.
	Start         int64    `json:"start"`
	PhysicalStart int64    `json:"physical_start"`
	Cluster       string   `json:"cluster"`
	Topic         string   `json:"topic"`
	TopicID       [16]byte `json:"topic_id"`
	// EpochBase is the physical leader epoch that the generation began with.
	EpochBase int32 `json:"epoch_base"`
	// LastEpoch is the highest virtual epoch shown for the segment, set when the next one begins.
	LastEpoch int32 `json:"last_epoch"`
	// End is the virtual offset at which the records of this segment end: below the next one's
	// Start when an unplanned move left a hole.
	End int64 `json:"end"`
}

// Marks are the highest offsets shown to clients in this run of the process, per partition.
type Marks struct {
	partitions atomic.Pointer[[]*mark]
	memory     Memory
	hidden     atomic.Pointer[hideable]
}

type mark struct {
	high, stable, start atomic.Int64 // -1: none
	ceiling             atomic.Int64
	shown               atomic.Bool // Shown is stored
	seen                atomic.Int64
	answered            answered
	end                 atomic.Int64 // of the home's log when it was last asked
	noted               atomic.Bool  // end is known
	inherited           int64        // the ceiling that an earlier run of the process left, if clients knew records then
}

// Clone returns a copy whose maps and partitions may be changed.
func (t *Topic) Clone() *Topic {
	c := *t
	c.Names = maps.Clone(t.Names)
	c.Copies = maps.Clone(t.Copies)
	c.Stubs = maps.Clone(t.Stubs)
	c.Missing = slices.Clone(t.Missing)
	c.Deleted = slices.Clone(t.Deleted)
	c.Partitions = slices.Clone(t.Partitions)
	for i, p := range c.Partitions {
		c.Partitions[i].Segments = slices.Clone(p.Segments)
		c.Partitions[i].Copies = maps.Clone(p.Copies)
	}
	return &c
}

// Physical is the topic's name on a cluster.
func (t *Topic) Physical(cluster string) string {
	if n, ok := t.Names[cluster]; ok {
		return n
	}
	return t.Name
}

// View returns the topic as clients were last told: t itself, or between commit and publish the
// topic as it was before the move.
func (t *Topic) View() *Topic {
	if t.Before != nil {
		return t.Before
	}
	return t
}

// Grow gives the topic n partitions; new ones begin in the current generation at 0.
func (t *Topic) Grow(n int) {
	for len(t.Partitions) < n {
		t.Partitions = append(t.Partitions, Partition{
			Segments: []Segment{{Generation: t.Generation, Cluster: t.Home, Topic: t.Physical(t.Home), TopicID: t.HomeID}},
		})
	}
}

// Partition returns partition p; of an unknown one, the lineage that a new one would have.
func (t *Topic) Partition(p int32) *Partition {
	if p >= 0 && int(p) < len(t.Partitions) {
		return &t.Partitions[p]
	}
	c := Topic{Name: t.Name, Home: t.Home, Names: t.Names, Generation: t.Generation, HomeID: t.HomeID}
	c.Grow(1)
	return &c.Partitions[0]
}
