package copies

// Stretch is the range of offsets from From up to, without, To; there are none if To is not above
// From.
type Stretch struct{ From, To int64 }

// Without are the parts of a stretch that are in front of and behind another one.
func (s Stretch) Without(o Stretch) []Stretch {
	if o.From >= o.To {
		return []Stretch{s}
	}
	return []Stretch{{s.From, min(s.To, o.From)}, {max(s.From, o.To), s.To}}
}
