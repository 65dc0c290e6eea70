package main

import (
	"fmt"
	"math/rand/v2"
)

// turns is how often each process has its slice of a workload.
const turns = 45

// overhead runs slices of a workload on every process, in an order that changes, and prints what
// each costs more than the first: the median of the ratios within a round, in which little else
// changes.
func overhead(what, unit string, units float64, list []*middle, work func(addr string) error) error {
	cost, ratio := map[*middle][]float64{}, map[*middle][]float64{}
	for round := range turns + 1 {
		now := map[*middle]float64{}
		for _, i := range rand.Perm(len(list)) {
			m := list[i]
			before := m.cpu()
			if err := work(m.addr); err != nil {
				return fmt.Errorf("%s: %w", m.name, err)
			}
			now[m] = float64(m.cpu()-before) / units
		}
		for _, m := range list {
			if round > 0 { // the first warms up
				cost[m] = append(cost[m], now[m])
				ratio[m] = append(ratio[m], now[m]/now[list[0]])
			}
		}
	}
	fmt.Printf("\n%s\n", what)
	for _, m := range list {
		fmt.Printf("  %-34s %8.2f %s   %.3fx\n", m.name, median(cost[m])/1e3, unit, median(ratio[m]))
	}
	return nil
}
