package wire

// Queue is a first-in first-out list that reuses its memory.
type Queue[T any] struct {
	items []T
	head  int
}

// Len is the number of items.
func (q *Queue[T]) Len() int { return len(q.items) - q.head }

// Push adds an item at the end.
func (q *Queue[T]) Push(item T) {
	if q.head > 0 && len(q.items) == cap(q.items) {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.items = append(q.items, item)
}

// At is the item at a place, 0 for the front.
func (q *Queue[T]) At(i int) T { return q.items[q.head+i] }

// First is the item at the front; the queue must not be empty.
func (q *Queue[T]) First() T { return q.items[q.head] }

// Pop takes the item at the front; the queue must not be empty.
func (q *Queue[T]) Pop() T {
	var none T
	item := q.items[q.head]
	q.items[q.head] = none
	if q.head++; q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
		if cap(q.items) > 1024 {
			q.items = nil
		}
	}
	return item
}

// Drain takes all items.
func (q *Queue[T]) Drain() []T {
	items := q.items[q.head:]
	*q = Queue[T]{}
	return items
}
