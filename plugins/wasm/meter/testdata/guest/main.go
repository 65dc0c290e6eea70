// Command guest does what guests do: it sorts, formats, parses, runs goroutines and recovers from
// panics. What it prints is the same in every run.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
)

func main() {}

type record struct {
	Key   string
	Value []int
	Next  *record `json:",omitempty"`
}

// random is a generator of numbers that needs no seed from outside.
type random uint64

func (r *random) next(n int) int {
	*r = *r*6364136223846793005 + 1442695040888963407
	return int(uint64(*r)>>33) % n
}

// sorted sorts n numbers and returns a sum of them by place.
//
//go:wasmexport sorted
func sorted(n int32) int64 {
	r := random(n)
	list := make([]int, n)
	for i := range list {
		list[i] = r.next(1 << 30)
	}
	slices.Sort(list)
	var sum int64
	for i, v := range list {
		sum += int64(i) * int64(v)
	}
	return sum
}

// parsed formats and parses n records and returns the length of what was formatted.
//
//go:wasmexport parsed
func parsed(n int32) int64 {
	r := random(n)
	total := 0
	for range n {
		in := record{Key: strconv.Itoa(r.next(1000)), Value: []int{r.next(10), r.next(1 << 20), 3}, Next: &record{Key: "x"}}
		text, err := json.Marshal(in)
		if err != nil {
			panic(err)
		}
		var out record
		if err := json.Unmarshal(text, &out); err != nil || out.Next.Key != "x" {
			panic(err)
		}
		total += len(text)
	}
	return int64(total)
}

// copied moves n small slices and returns the last byte.
//
//go:wasmexport copied
func copied(n int32) int64 {
	a, b := make([]byte, 256), make([]byte, 256)
	for i := range n {
		a[i%256] = byte(i)
		copy(b[i%64:], a[:i%190])
	}
	return int64(b[100])
}

//go:wasmexport run
func run() int64 {
	fmt.Println("sorted", sorted(5000), "parsed", parsed(200), "copied", copied(1000))
	words := map[string]int{}
	for i, w := range strings.Fields(strings.Repeat("the quick brown fox jumps over the lazy dog ", 50)) {
		words[w] += i
	}
	fmt.Println(slices.Sorted(maps.Keys(words)), words)
	fmt.Println(together(8), recovered(0), recovered(3), fibonacci(22))
	var deep *record
	for range 300 {
		deep = &record{Key: "k", Next: deep}
	}
	text, err := json.Marshal(deep)
	fmt.Println(len(text), err)
	return int64(len(text))
}

// together adds in goroutines that wait for each other.
func together(n int) (sum int) {
	var wg sync.WaitGroup
	results := make(chan int)
	for i := range n {
		wg.Go(func() { results <- fibonacci(i + 5) })
	}
	go func() { wg.Wait(); close(results) }()
	for r := range results {
		sum += r
	}
	return sum
}

func fibonacci(n int) int {
	if n < 2 {
		return n
	}
	return fibonacci(n-1) + fibonacci(n-2)
}

func recovered(i int) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errors.Join(err, fmt.Errorf("recovered: %v", r))
		}
	}()
	fmt.Println([]int{1, 2, 3}[i:][0])
	return nil
}

//go:wasmexport crash
func crash() { deepest(nil) }

//go:noinline
func deepest(m map[string]int) { m["x"] = 1 }

// endless never returns.
//
//go:wasmexport endless
func endless() int64 {
	sum := 0
	for {
		sum += fibonacci(10)
		if sum < 0 {
			sum = 0
		}
	}
}
