package server

import "sync/atomic"

// Descriptors bounds the connections of clients in the whole process, so that their own and those
// to brokers leave enough file descriptors to the rest: the admin API, control links, the state. A
// nil one bounds nothing.
type Descriptors struct {
	most  int64
	taken atomic.Int64
}

// reserved is how many descriptors are not for clients, as long as that is no more than a quarter
// of them.
const reserved = 256

// NewDescriptors bounds the connections in a process that may open so many files; 0 is no bound.
func NewDescriptors(files uint64) *Descriptors {
	if files == 0 || files > 1<<31 {
		return nil
	}
	rest := files - min(reserved, files/4)
	return &Descriptors{most: int64(rest / 2)} // each client's connection has a link
}

// take counts a connection, unless there are too many.
func (d *Descriptors) take() bool {
	if d == nil {
		return true
	}
	if d.taken.Add(1) > d.most {
		d.taken.Add(-1)
		return false
	}
	return true
}

// Use is how many connections of clients there are, and may be; 0 is no bound.
func (d *Descriptors) Use() (now, most int64) {
	if d == nil {
		return 0, 0
	}
	return d.taken.Load(), d.most
}

func (d *Descriptors) give() {
	if d != nil {
		d.taken.Add(-1)
	}
}
