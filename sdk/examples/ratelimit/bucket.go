package main

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/sluice-gateway/sluice/sdk"
)

// bucket is the budget of one client, shared by all instances. It is kept as two times at which
// what was sent so far is paid for, one for records and one for bytes. They may lie up to burst in
// the future; then the client must wait. So a request that is larger than the burst passes too,
// once what came before is paid, and the rate holds in the long run.
type bucket struct {
	key   string
	now   time.Time
	burst time.Duration
}

// tries is how often instances may come between before an update is given up.
const tries = 16

// take pays for a request, or returns how long the client must wait before it may.
func (b bucket) take(gw *sdk.Gateway, records, bytes time.Duration) (wait time.Duration, err error) {
	for range tries {
		old, err := gw.Get(b.key)
		if err != nil {
			return 0, err
		}
		now := b.now.UnixNano()
		paid := [2]int64{now, now}
		if len(old) == 16 {
			paid = [2]int64{max(now, int64(binary.LittleEndian.Uint64(old))), max(now, int64(binary.LittleEndian.Uint64(old[8:])))}
		}
		if wait := time.Duration(max(paid[0], paid[1])-now) - b.burst; wait > 0 {
			return wait, nil
		}
		paid[0] += int64(records)
		paid[1] += int64(bytes)
		fresh := binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, uint64(paid[0])), uint64(paid[1]))
		ttl := time.Duration(max(paid[0], paid[1])-now) + time.Second
		if err = gw.CompareAndSet(b.key, old, fresh, ttl); !errors.Is(err, sdk.ErrChanged) {
			return 0, err
		}
	}
	return 0, errors.New("too many instances at once")
}
