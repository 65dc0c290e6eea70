package state

import (
	"fmt"
	"runtime/debug"
)

// recovered makes a panic of the database an error, also that of reading behind the end of a file
// that is mapped.
func recovered(err *error) {
	if v := recover(); v != nil {
		*err = fmt.Errorf("the database gives up: %v", v)
	}
}

// faults makes such reads panic in this goroutine, until what it returns is called.
func faults() (undo func()) {
	before := debug.SetPanicOnFault(true)
	return func() { debug.SetPanicOnFault(before) }
}
