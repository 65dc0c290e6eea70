package blocks

import "fmt"

// Partition is the records of one partition, before and after a guest.
type Partition struct {
	Topic   string
	ID      [16]byte
	Number  int32
	Records []byte
	// Out has the records after the guest, nil if it changed none.
	Out []byte
	// Refused is not nil if the guest refused a record: the partition is answered with it. Rejected
	// are all of them.
	Refused  *RefusalError
	Rejected []RefusalError
	// Dropped are the records left out, counted from the first of the partition that was shown.
	Dropped []int
	// Failed is why the guest was not shown them, or could not be: see Serve.
	Failed error

	// Index is where it stands in its request or answer; it is the caller's.
	Index int

	shown  int     // records so far
	buffer *[]byte // what Out is in, nil for memory of its own
}

// Reject refuses the partition, with the first of all that is rejected.
func (p *Partition) Reject(r RefusalError) {
	if p.Rejected = append(p.Rejected, r); p.Refused == nil {
		p.Refused = &p.Rejected[0]
	}
}

// Again makes the partition what it was before it was shown. With an error it was not, and Failed
// is why.
func (p *Partition) Again(err error) {
	*p = Partition{Topic: p.Topic, ID: p.ID, Number: p.Number, Records: p.Records, Index: p.Index, Failed: err}
}

// RefusalError is an answer with a Kafka error code.
type RefusalError struct {
	Code    int16
	Message string
	Index   int // of the record in its batch, -1: all of it
	Close   bool
}

func (r *RefusalError) Error() string {
	return fmt.Sprintf("refused by a guest: %s (%d)", r.Message, r.Code)
}
