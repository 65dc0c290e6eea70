// Package catalog knows what each virtual cluster consists of: its topics, their homes, ids and
// lineage, and the nodes and versions last seen of each cluster. It is pure data and maps; every
// change is in the log before anybody sees it.
package catalog

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Entry is one record of the log; a nil Value deletes the key.
type Entry struct {
	Kind, Key string
	Value     []byte
}

// Kinds of entries.
const (
	KindTopic     = "topic"     // key virtual cluster NUL topic
	KindPartition = "partition" // key virtual cluster NUL topic NUL generation NUL number
	KindRuns      = "runs"      // key of the partition NUL cluster NUL number: see blocks.go
	KindCluster   = "cluster"   // key cluster
	KindProducer  = "producer"  // key "" : the producer id counter
	KindConfig    = "config"    // key "revision": the last file that was applied; others: see Keep
	KindMove      = "move"      // key move id: moves that were committed
	KindEdit      = "edit"      // key virtual cluster NUL kind NUL name: what asked for a move that has not ended
	KindMemory    = "memory"    // key virtual cluster NUL topic: remembered batches
	KindFence     = "fence"     // key virtual cluster NUL topic NUL cluster: writers that are kept away
	KindShare     = "share"     // key virtual cluster NUL share group NUL topic
	KindGroup     = "group"     // key virtual cluster NUL group
	// KindTransactional has the key virtual cluster NUL transactional id.
	KindTransactional = "transactional"
)

// Log is where entries become durable: all of one call or none, in order.
type Log interface {
	Append(ctx context.Context, entries ...Entry) error
}

// Catalog holds the virtual clusters' catalogs and what is known of clusters.
type Catalog struct {
	log     Log
	mu      sync.RWMutex
	virtual map[string]*Virtual
	values  map[Key][]byte
}

// New returns the catalog that the entries of a log describe, of which the last one with a key
// counts.
func New(log Log, entries []Entry) (*Catalog, error) {
	c := &Catalog{log: log, virtual: map[string]*Virtual{}, values: map[Key][]byte{}}
	topics, partitions := map[string][]byte{}, &storedEntries{map[string][]byte{}, map[string]map[int64][]byte{}}
	for _, e := range entries {
		switch e.Kind {
		case KindTopic:
			set(topics, e.Key, e.Value)
		case KindPartition:
			set(partitions.partitions, e.Key, e.Value)
		case KindGroup:
			if err := c.noteGroup(e); err != nil {
				return nil, err
			}
		case KindRuns:
			if err := partitions.addBlock(e); err != nil {
				return nil, err
			}
		default:
			set(c.values, Key{e.Kind, e.Key}, e.Value)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(topics)) {
		vc, _, _ := strings.Cut(key, "\x00")
		t, err := assemble(vc, topics[key], partitions)
		if err != nil {
			return nil, fmt.Errorf("state: topic %q: %w", key, err)
		}
		c.Virtual(vc).put(t)
		t.marks.inherit(t.Partitions)
	}
	return c, c.restore()
}

// set notes the value of a key, of which nil is none.
func set[K comparable](m map[K][]byte, key K, value []byte) {
	if value == nil {
		delete(m, key)
	} else {
		m[key] = value
	}
}

// restore gives topics the batches that were stored with their last move.
func (c *Catalog) restore() error {
	for vc, v := range c.virtual {
		for _, t := range v.Topics() {
			var m map[int32]map[int64]Producer
			if ok, err := c.Value(KindMemory, topicKey(vc, t.Name), &m); err != nil {
				return fmt.Errorf("state: producers of %q: %w", t.Name, err)
			} else if ok {
				t.Memory().Restore(m)
			}
		}
	}
	return nil
}

// Virtual returns the catalog of a virtual cluster, empty at first.
func (c *Catalog) Virtual(name string) *Virtual {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.virtual[name]
	if !ok {
		v = &Virtual{name: name, log: c.log, catalog: c, topics: map[string]*Topic{}, ids: map[[16]byte]*Topic{}, physical: map[[2]string]*Topic{}, groups: map[string]*Group{}}
		c.virtual[name] = v
	}
	return v
}

// Place says where the rules put a topic that the catalog has not seen: its home and its physical
// name on every cluster; ok is false for a topic that is not part of the virtual cluster.
type Place func(topic string) (home string, names map[string]string, ok bool)

// Virtual is the catalog of one virtual cluster. It outlives runtimes.
type Virtual struct {
	name    string
	log     Log
	catalog *Catalog

	write    sync.Mutex // one change at a time
	mu       sync.RWMutex
	place    Place
	hidden   *hides
	own      func(topic string) bool
	topics   map[string]*Topic
	sorted   []string // the names of topics without those of own; nil if the list has to be made
	ids      map[[16]byte]*Topic
	physical map[[2]string]*Topic
	groups   map[string]*Group
}

// SetPlace sets the rules for topics not yet seen.
func (v *Virtual) SetPlace(p Place) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.place = p
}

// Place is what the rules say of a topic; ok is false for one outside the virtual cluster.
func (v *Virtual) Place(topic string) (home string, names map[string]string, ok bool) {
	v.mu.RLock()
	place := v.place
	v.mu.RUnlock()
	if place == nil {
		return "", nil, false
	}
	return place(topic)
}

// Topic returns a topic by its virtual name, or nil.
func (v *Virtual) Topic(name string) *Topic {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return live(v.topics[name])
}

// any returns a topic by its virtual name, or its tombstone, or nil.
func (v *Virtual) any(name string) *Topic {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.topics[name]
}

// Find is Topic or, without a name, ByID; it does not allocate.
func (v *Virtual) Find(name []byte, id [16]byte) *Topic {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if len(name) > 0 {
		return live(v.topics[string(name)])
	}
	return live(v.ids[id])
}

// FindPhysical is ByPhysical for a name in bytes; it does not allocate.
func (v *Virtual) FindPhysical(cluster string, name []byte) *Topic {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return live(v.physical[[2]string{cluster, string(name)}])
}

// ByID returns a topic by its virtual id, or nil.
func (v *Virtual) ByID(id [16]byte) *Topic {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return live(v.ids[id])
}

// ByPhysical returns the topic whose name on cluster is name, or nil.
func (v *Virtual) ByPhysical(cluster, name string) *Topic {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return live(v.physical[[2]string{cluster, name}])
}

func live(t *Topic) *Topic {
	if t == nil || t.Deleted != nil {
		return nil
	}
	return t
}

// SetOwn sets which topics clusters and replicators keep for themselves: nobody lists, moves or
// compares them.
func (v *Virtual) SetOwn(own func(topic string) bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.own, v.sorted = own, nil
}

// Topics lists the topics by name, without those that were deleted and those that clusters and
// replicators keep for themselves.
func (v *Virtual) Topics() []*Topic {
	v.mu.RLock()
	sorted := v.sorted
	v.mu.RUnlock()
	if sorted == nil {
		v.mu.Lock()
		sorted = make([]string, 0, len(v.topics))
		for n := range v.topics {
			if v.own == nil || !v.own(n) {
				sorted = append(sorted, n)
			}
		}
		slices.Sort(sorted)
		v.sorted = sorted
		v.mu.Unlock()
	}
	out := make([]*Topic, 0, len(sorted))
	v.mu.RLock()
	for _, n := range sorted {
		if t := live(v.topics[n]); t != nil {
			out = append(out, t)
		}
	}
	v.mu.RUnlock()
	return out
}

// Unfinished lists the topics of which clusters lack a copy and those that were deleted and may
// have copies left.
func (v *Virtual) Unfinished() []*Topic {
	v.mu.RLock()
	defer v.mu.RUnlock()
	var out []*Topic
	for _, t := range v.topics {
		if t.Deleted != nil || len(t.Missing) > 0 {
			out = append(out, t)
		}
	}
	return out
}

// put makes t visible; v.write is held or nobody else knows v.
func (v *Virtual) put(t *Topic) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if old := v.topics[t.Name]; old != nil {
		v.unlink(old)
		t.marks = old.marks
	} else {
		v.sorted = nil
	}
	if t.marks == nil || (v.topics[t.Name] != nil && v.topics[t.Name].ID != t.ID) {
		t.marks = &Marks{}
	}
	if t.Before != nil && t.Before.marks == nil { // read from the store
		t.Before.marks = t.marks
	}
	v.topics[t.Name] = t
	v.ids[t.ID] = t
	for c, n := range t.Names {
		v.physical[[2]string{c, n}] = t
	}
}

func (v *Virtual) unlink(t *Topic) {
	delete(v.ids, t.ID)
	for c, n := range t.Names {
		if k := [2]string{c, n}; v.physical[k] == t {
			delete(v.physical, k)
		}
	}
}

func (v *Virtual) persist(ctx context.Context, topics []*Topic, more []Entry) error {
	if len(topics) == 0 && len(more) == 0 {
		return nil
	}
	entries := make([]Entry, 0, len(topics)+len(more))
	for _, t := range topics {
		old := v.any(t.Name)
		now, err := changes(v.name, old, t)
		if err != nil {
			return err
		}
		entries = append(entries, now...)
		if old != nil && old.ID != t.ID { // another topic: its producers are unknown
			entries = append(entries, Entry{Kind: KindMemory, Key: topicKey(v.name, t.Name)})
		}
	}
	if entries = append(entries, more...); len(entries) > 0 {
		if err := v.log.Append(ctx, entries...); err != nil {
			return err
		}
	}
	for _, t := range topics {
		v.put(t)
	}
	for _, e := range more {
		if e.Kind == KindGroup {
			if err := v.catalog.noteGroup(e); err != nil {
				return err
			}
		}
	}
	return nil
}

// Update changes one topic: change gets a copy. Concurrent updates don't overwrite each other.
func (v *Virtual) Update(ctx context.Context, name string, change func(*Topic) error) error {
	return v.UpdateAll(ctx, []string{name}, func(list []*Topic) ([]Entry, error) { return nil, change(list[0]) })
}

// UpdateAll is Update for several topics, and more entries, in one write.
func (v *Virtual) UpdateAll(ctx context.Context, names []string, change func([]*Topic) ([]Entry, error)) error {
	v.write.Lock()
	defer v.write.Unlock()
	var changed []*Topic
	for _, n := range names {
		t := v.Topic(n)
		if t == nil {
			return fmt.Errorf("topic %q is not in the catalog", n)
		}
		changed = append(changed, t.Clone())
	}
	more, err := change(changed)
	if err != nil {
		return err
	}
	return v.persist(ctx, changed, more)
}

// Forget removes a tombstone; a live topic stays.
func (v *Virtual) Forget(ctx context.Context, name string) error {
	v.write.Lock()
	defer v.write.Unlock()
	old := v.any(name)
	if old == nil || old.Deleted == nil { // it was made again
		return nil
	}
	entries, err := changes(v.name, old, nil)
	if err != nil {
		return err
	}
	if err := v.log.Append(ctx, append(entries, Entry{Kind: KindMemory, Key: topicKey(v.name, name)})...); err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if t := v.topics[name]; t != nil {
		v.unlink(t)
		delete(v.topics, name)
		v.sorted = nil
	}
	return nil
}

// Seen is a topic that a cluster showed.
type Seen struct {
	Name       string // virtual
	Cluster    string // where it was seen
	ID         [16]byte
	Partitions int
}

// Ensure makes the catalog know topics that a cluster showed, in one write: an unknown one gets an
// id and the home that the rules give, a known one grows. A topic recreated at its home (another
// physical id) gets a new id and the next generation.
func (v *Virtual) Ensure(ctx context.Context, seen ...Seen) error {
	if !v.news(seen) {
		return nil
	}
	v.write.Lock()
	defer v.write.Unlock()
	var changed []*Topic
	for _, s := range seen {
		if t := v.ensure(s); t != nil {
			changed = append(changed, t)
		}
	}
	return v.persist(ctx, changed, nil)
}

// news reports whether Ensure would change anything, without taking the write lock.
func (v *Virtual) news(seen []Seen) bool {
	for _, s := range seen {
		if v.ensure(s) != nil {
			return true
		}
	}
	return false
}

func (v *Virtual) ensure(s Seen) *Topic {
	v.mu.RLock()
	t, place := v.topics[s.Name], v.place
	v.mu.RUnlock()
	if t == nil || t.Deleted != nil {
		if place == nil {
			return nil
		}
		home, names, ok := place(s.Name)
		if !ok || home == "" || (home != s.Cluster && s.Cluster != "") {
			return nil
		}
		n := &Topic{Name: s.Name, ID: newID(), Home: home, Names: names, HomeID: s.ID}
		if t != nil {
			n.Generation = t.Generation + 1
			n.Published = n.Generation
		}
		n.Grow(s.Partitions)
		return n
	}
	if s.Cluster != t.Home || t.Stubs[t.Home] {
		return nil
	}
	none := [16]byte{}
	switch {
	case s.ID != none && t.HomeID != none && s.ID != t.HomeID:
		n := t.Clone()
		n.ID, n.HomeID, n.Generation, n.Before = newID(), s.ID, t.Generation+1, nil
		n.Published = n.Generation
		n.Partitions, n.Copies = nil, nil
		n.Grow(s.Partitions)
		return n
	case s.ID != none && t.HomeID == none, s.Partitions > len(t.Partitions):
		n := t.Clone()
		if s.ID != none {
			n.HomeID = s.ID
		}
		n.Grow(s.Partitions)
		return n
	}
	return nil
}

// newID is a random version 4 UUID, as Kafka's topic ids are.
func newID() (id [16]byte) {
	_, _ = rand.Read(id[:])
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return id
}

// Kept is what Keep has stored under key. It keeps decisions that a later edit must not change in
// passing.
func (v *Virtual) Kept(key string) (value string, ok bool, err error) {
	ok, err = v.catalog.Value(KindConfig, v.name+"\x00"+key, &value)
	return value, ok, err
}

// Keep stores a decision, if there is none yet.
func (v *Virtual) Keep(ctx context.Context, key, value string) error {
	if _, ok, err := v.Kept(key); ok || err != nil {
		return err
	}
	return v.catalog.SetValue(ctx, KindConfig, v.name+"\x00"+key, value)
}
