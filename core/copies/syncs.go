package copies

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/sluice-gateway/sluice/core/kafka"
)

// syncBytes and syncRecords bound what is read of a topic of offset syncs: its end.
const (
	syncBytes   = 16 << 20
	syncRecords = 200_000
)

// Syncs are what a MirrorMaker 2 says of where it has written which record of a topic. They are
// read when somebody asks. They are hints: there are few of them, those of before a crash may say
// something else, and what is found by them is compared.
type Syncs struct {
	pair Pair
	mu   sync.Mutex
	of   map[int32][]offsetSync // by partition, nil before somebody has asked
}

// offsetSync says that the record at an offset of the home was written to an offset of the copy.
type offsetSync struct{ home, copied int64 }

// near is an offset of the copy that is not behind the record at an offset of the home, -1 if there
// is no hint.
func (s *Syncs) near(ctx context.Context, partition int32, home int64) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of == nil {
		of := map[int32][]offsetSync{}
		for _, side := range []*Side{s.pair.Home, s.pair.Copy} { // it may keep them on either
			for name := range side.Cluster.Topology().Topics {
				if !strings.HasPrefix(name, "mm2-offset-syncs") || !strings.HasSuffix(name, "internal") {
					continue
				}
				if err := s.read(ctx, side, name, of); err != nil {
					return -1, err
				}
			}
		}
		for _, list := range of {
			slices.SortFunc(list, func(a, b offsetSync) int { return cmp.Or(cmp.Compare(a.home, b.home), cmp.Compare(a.copied, b.copied)) })
		}
		s.of = of
	}
	list := s.of[partition]
	i, _ := slices.BinarySearchFunc(list, home, func(x offsetSync, at int64) int {
		if x.home <= at {
			return -1
		}
		return 1
	})
	if i == 0 {
		return -1, nil
	}
	return list[i-1].copied, nil
}

// read reads the end of a topic of syncs.
func (s *Syncs) read(ctx context.Context, on *Side, topic string, of map[int32][]offsetSync) error {
	side, err := NewSide(on.Cluster, topic)
	if err != nil {
		return nil // it has no leader now
	}
	starts, err := side.Starts(ctx)
	if err != nil {
		return err
	}
	ends, err := side.Ends(ctx)
	if err != nil {
		return err
	}
	for p, end := range ends {
		total := int64(0)
		_, err := side.Read(ctx, int32(p), max(starts[p], end-syncRecords), end, func(b kafka.Batch) error {
			if total += int64(len(b)); total > syncBytes {
				return errEnough
			}
			records, err := s.pair.Prints.Within.Records(b)
			for _, r := range records {
				if name, partition, at, ok := parseSync(r.Key, r.Value); ok && name == s.pair.Home.Name {
					of[partition] = append(of[partition], at)
				}
			}
			return err
		})
		if err != nil && !errors.Is(err, errEnough) {
			return err
		}
	}
	return nil
}

var errEnough = errors.New("enough was read")

// parseSync reads a record of offset syncs: the key is the topic, as a length of two bytes and
// text, and the partition, of four; the value both offsets, of eight.
func parseSync(key, value []byte) (topic string, partition int32, at offsetSync, ok bool) {
	if len(key) < 2 || len(value) != 16 {
		return "", 0, at, false
	}
	n := int(binary.BigEndian.Uint16(key))
	if len(key) != 2+n+4 {
		return "", 0, at, false
	}
	p, home, copied := binary.BigEndian.Uint32(key[2+n:]), binary.BigEndian.Uint64(value), binary.BigEndian.Uint64(value[8:])
	if p > math.MaxInt32 || home > math.MaxInt64 || copied > math.MaxInt64 {
		return "", 0, at, false
	}
	return string(key[2 : 2+n]), int32(p), offsetSync{int64(home), int64(copied)}, true
}
