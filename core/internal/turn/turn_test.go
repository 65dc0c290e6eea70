package turn

import "testing"

func begun() (t *Turn, passed *int) {
	t, passed = &Turn{}, new(int)
	Begin(t, func() { *passed++ })
	return t, passed
}

func share(t *Turn, among ...*Turn) {
	pass := Share(t, len(among))
	for _, s := range among {
		Begin(s, pass)
	}
}

func TestATurnIsGivenOnOnce(t *testing.T) {
	turn, passed := begun()
	Give(turn)
	Give(turn)
	if *passed != 1 {
		t.Errorf("given on %d times", *passed)
	}
}

func TestNoTurnIsNotHeld(t *testing.T) {
	Give(nil)
	Give(&Turn{})
	if Held(nil) || Held(&Turn{}) {
		t.Error("held")
	}
	if Share(&Turn{}, 2) != nil {
		t.Error("shared")
	}
}

// TestSharesGiveTheTurnOnTogether, also shares of shares.
func TestSharesGiveTheTurnOnTogether(t *testing.T) {
	turn, passed := begun()
	var a, b, c, d Turn
	share(turn, &a, &b)
	share(&b, &c, &d)
	for _, s := range []*Turn{&a, &a, &c} {
		Give(s)
	}
	if *passed != 0 {
		t.Fatal("given on while a share is held")
	}
	Give(&d)
	if *passed != 1 {
		t.Errorf("given on %d times", *passed)
	}
}

// TestWhoReturnsGivesOnForItsShares that nobody has run.
func TestWhoReturnsGivesOnForItsShares(t *testing.T) {
	turn, passed := begun()
	var a, b Turn
	share(turn, &a, &b)
	Give(turn)
	Give(&a)
	Give(&b)
	if *passed != 1 {
		t.Errorf("given on %d times", *passed)
	}
}

// TestAShareCanBeginAgain with the turn of a gate: the turn that it was a share of is not given on
// by it again.
func TestAShareCanBeginAgain(t *testing.T) {
	turn, passed := begun()
	var a, b Turn
	share(turn, &a, &b)
	Give(&a)
	gate := 0
	Begin(&a, func() { gate++ })
	Give(&a)
	if gate != 1 || *passed != 0 {
		t.Errorf("the gate's %d times, the session's %d times", gate, *passed)
	}
	Give(&b)
	if *passed != 1 {
		t.Errorf("the session's %d times", *passed)
	}
}
