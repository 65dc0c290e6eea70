package catalog

// Alignment is what is known of the log of a cluster that is not the home.
type Alignment struct {
	Distance Distance `json:"distance,omitzero"`
	// From and To bound the virtual offsets, To not among them, of which every record of the home
	// was found where the distance says. What is behind them was not looked at.
	// They are the same where all of the copy stands at one distance, as far as is known.
	From int64 `json:"from,omitempty"`
	To   int64 `json:"to,omitempty"`
	// Front is how far what is in front of From was looked at; nil once all of it was.
	Front *Front `json:"front,omitempty"`
	// Died says that the cluster was the home and died, and was not compared with the next home
	// since: what it has behind To may be a lost tail.
	Died bool `json:"died,omitempty"`
	// Lost is how many records of a lost tail were found there.
	Lost int64 `json:"lost,omitempty"`
}

// Front is how far a copy that has drifted was looked at from the beginning of the log on: of every
// record of the home between From and To, which are virtual offsets, it is known where the copy has
// it. Copy is the offset there up to which that was looked at, 0 at first. Behind To, up to where
// the Alignment begins, its distance is an assumption.
type Front struct {
	From int64 `json:"from,omitempty"`
	To   int64 `json:"to,omitempty"`
	Copy int64 `json:"copy,omitempty"`
}

// Drifted reports a copy whose records do not stand at one distance.
func (a Alignment) Drifted() bool { return a.To > a.From }

// Equal reports that the same is known.
func (a Alignment) Equal(o Alignment) bool {
	if (a.Front == nil) != (o.Front == nil) || a.Front != nil && *a.Front != *o.Front {
		return false
	}
	return a.From == o.From && a.To == o.To && a.Died == o.Died && a.Lost == o.Lost && a.Distance.Equal(o.Distance)
}

// Anew is what is known once the last records were looked at, in last, without what is between them
// and what was known before. start is where the log begins.
func (a Alignment) Anew(last Alignment, start int64) Alignment {
	last.Lost = a.Lost
	front := Front{From: start, To: start}
	switch {
	case a.Front != nil:
		front = *a.Front
	case a.Drifted():
		front = Front{a.From, a.To, a.Distance.ToPhysical(a.To)}
	}
	whole, err := a.Distance.Until(last.From, last.Distance)
	switch {
	case err != nil:
		return last.Alone(start)
	case front.To >= last.From: // nothing is between them
		return Alignment{Distance: whole, From: min(front.From, last.From), To: last.To, Lost: a.Lost}
	}
	last.Distance, last.Front = whole, &front
	return last
}

// Alone is what is known of the last records if nothing else is. start is where the log begins.
func (a Alignment) Alone(start int64) Alignment {
	if a.From > start {
		a.Front = &Front{From: start, To: start}
	}
	return a
}

// Advance is what is known once the front has got on: there is the distance behind its To. done
// says that it has come to where the last records are known; false if they don't fit.
func (a Alignment) Advance(next Front, there Distance, done bool) (Alignment, bool) {
	front, err := a.Distance.Until(a.Front.To, there)
	if err != nil {
		return a, false
	}
	whole, err := front.Until(max(a.From, next.To), a.Distance)
	switch {
	case err == nil && done:
		return Alignment{Distance: whole, From: next.From, To: max(a.To, next.To), Lost: a.Lost}, true
	case err == nil:
		a.Distance, a.Front = whole, &next
		return a, true
	case done && next.To > next.From: // the last ones were taken for others
		return Alignment{Distance: front, From: next.From, To: next.To, Lost: a.Lost}, true
	}
	return a, false
}

// cut is what is known if the records behind an offset, end, are none of the virtual log, which
// goes on at next.
func (a Alignment) cut(end, next int64) Alignment {
	a.To = min(a.To, end)
	if a.Front != nil && a.Front.To > end {
		a.Front = nil
	}
	if a.Died { // nothing is known of what is behind
		end = a.To
	}
	a.Distance = a.Distance.Cut(end, next)
	return a
}
