package catalog

// SetHidden sets which topics clients may not see, whatever the catalog knows of them.
func (v *Virtual) SetHidden(hidden func(topic string) bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.hidden = nil
	if hidden != nil {
		v.hidden = &hides{hidden}
	}
}

// hides says what is hidden, as long as it is in force.
type hides struct{ topic func(string) bool }

// hideable is what some hides say of a topic.
type hideable struct {
	by     *hides
	hidden bool
}

// Hidden reports a topic that clients may not see.
func (v *Virtual) Hidden(topic string) bool {
	v.mu.RLock()
	hidden := v.hidden
	v.mu.RUnlock()
	return hidden != nil && hidden.topic(topic)
}

// Hides is Hidden for a topic that it has; to ask again costs little.
func (v *Virtual) Hides(t *Topic) bool {
	v.mu.RLock()
	by := v.hidden
	v.mu.RUnlock()
	if by == nil || t.marks == nil {
		return by != nil && by.topic(t.Name)
	}
	if known := t.marks.hidden.Load(); known != nil && known.by == by {
		return known.hidden
	}
	found := &hideable{by, by.topic(t.Name)}
	t.marks.hidden.Store(found)
	return found.hidden
}
