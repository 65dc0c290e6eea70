package catalog

import (
	"context"
	"encoding/json"
	"strings"
	"time"
)

// transactionalLives is for how long a transactional id is remembered after a producer has used it:
// the default transactional.id.expiration.ms of brokers.
const transactionalLives = 7 * 24 * time.Hour

// transactional is where the transactions of an id have their state.
type transactional struct {
	Home string    `json:"home"`
	Used time.Time `json:"used"`
}

// NoteTransactional stores where the transactions of an id have their state, once a day.
func (v *Virtual) NoteTransactional(ctx context.Context, id, home string) error {
	key := v.name + "\x00" + id
	var known transactional
	ok, err := v.catalog.Value(KindTransactional, key, &known)
	if err != nil || ok && known.Home == home && time.Since(known.Used) < 24*time.Hour {
		return err
	}
	gone := map[string]any{}
	v.eachTransactional(func(id string, t transactional) {
		if time.Since(t.Used) > transactionalLives {
			gone[v.name+"\x00"+id] = nil
		}
	})
	gone[key] = transactional{home, time.Now()}
	return v.catalog.SetValues(ctx, KindTransactional, gone)
}

// Transactional are the homes of the transactional ids that are in use.
func (v *Virtual) Transactional() map[string]string {
	out := map[string]string{}
	v.eachTransactional(func(id string, t transactional) {
		if time.Since(t.Used) <= transactionalLives {
			out[id] = t.Home
		}
	})
	return out
}

func (v *Virtual) eachTransactional(visit func(id string, t transactional)) {
	v.catalog.mu.RLock()
	defer v.catalog.mu.RUnlock()
	for k, b := range v.catalog.values {
		if k.Kind != KindTransactional {
			continue
		}
		var t transactional
		if id, ok := strings.CutPrefix(k.Key, v.name+"\x00"); ok && json.Unmarshal(b, &t) == nil {
			visit(id, t)
		}
	}
}
