package workbench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
)

// Difference is a case that two versions of a plugin treat differently.
type Difference struct {
	Case int    `json:"case"` // its number, from 1
	Name string `json:"name"`
	Diff string `json:"diff"`
}

// Replay runs cases, as those of a capture, on two versions of a plugin, each case by case on one
// guest of its own, and returns where the second differs from the first.
func Replay(ctx context.Context, before, after string, cases *Cases, log *slog.Logger) (out []Difference, err error) {
	out = []Difference{}
	var guests [2]*Bench
	for i, file := range []string{before, after} {
		if guests[i], err = Open(ctx, file, cases.Config, log); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, guests[i].Close()) }()
	}
	for i, c := range cases.Cases {
		for j, g := range guests { // the first says what is expected of the second
			diff := g.Play(ctx, &c, j == 0)
			switch {
			case diff != "" && j == 0:
				return out, fmt.Errorf("case %d, %s: %s", i+1, before, diff)
			case diff != "":
				out = append(out, Difference{i + 1, c.Name, diff})
			}
		}
	}
	return out, nil
}
