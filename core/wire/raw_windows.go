package wire

import "errors"

// canReadRaw says that sockets can't be read without waiting here: a reader keeps its buffer while
// it waits.
const canReadRaw = false

var errLater = errors.New("later")

func readRaw(uintptr, []byte) (int, error) { return 0, errLater }
