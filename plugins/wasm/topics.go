package wasm

import "github.com/sluice-gateway/sluice/core/plugin"

// covers reports whether the guest sees the records of a topic. It does not allocate for one that
// was asked for before.
func (w *Wasm) covers(name []byte) bool {
	if len(w.cfg.Topics) == 0 {
		return true
	}
	known := w.covered.Load()
	if known != nil {
		if yes, ok := (*known)[string(name)]; ok {
			return yes
		}
	}
	yes := w.cfg.covers(string(name))
	next := map[string]bool{string(name): yes}
	if known != nil && len(*known) < 10_000 {
		for k, v := range *known {
			next[k] = v
		}
	}
	w.covered.Store(&next)
	return yes
}

// coversID is covers for a topic that is named by its id.
func (w *Wasm) coversID(id [16]byte, cluster string) bool {
	if len(w.cfg.Topics) == 0 {
		return true
	}
	if t := w.env.Catalog.ByID(id); t != nil {
		return w.covers([]byte(t.Name))
	}
	if c := w.env.Cluster(cluster); c != nil {
		if t := c.Topology().IDs[id]; t != nil {
			return w.covers([]byte(t.Name))
		}
	}
	return w.coversName("")
}

// coversName is covers where "" is a topic whose name nobody knows yet: one that must not pass a
// guest by is shown to it.
func (w *Wasm) coversName(name string) bool {
	if name == "" {
		return len(w.cfg.Topics) == 0 || w.Guest().Manifest.FailClosedOnly
	}
	return w.covers([]byte(name))
}

// nameOf is the topic's name above or below the interceptor that turns names; "" if nobody knows
// the id.
func (w *Wasm) nameOf(name string, id [16]byte, cluster string) string {
	if name != "" {
		return name
	}
	if t := w.env.Catalog.ByID(id); t != nil {
		return t.Name
	}
	if c := w.env.Cluster(cluster); c != nil {
		if t := c.Topology().IDs[id]; t != nil {
			return t.Name
		}
	}
	return ""
}

// TopicName finds the name of a topic id on any cluster.
func (w *Wasm) TopicName(id [16]byte) string {
	for _, c := range append([]string{""}, clusterNames(w.env)...) {
		if n := w.nameOf("", id, c); n != "" {
			return n
		}
	}
	return ""
}

func clusterNames(env plugin.Env) (out []string) {
	for _, c := range env.Clusters {
		out = append(out, c.Name())
	}
	return out
}
