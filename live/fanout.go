package live

import (
	"fmt"
	"net/netip"
	"sync"
)

// fanout hands values to many receivers and waits for none: each has a box for
// a few, and a value that comes to a full one throws out the oldest.
type fanout[T any] struct {
	depth, most, each int // values in a box; receivers, and those of one address
	mu                sync.Mutex
	boxes             map[chan T]netip.Prefix
}

func newFanout[T any](depth, most, each int) *fanout[T] {
	return &fanout[T]{depth: depth, most: most, each: each, boxes: make(map[chan T]netip.Prefix)}
}

// join returns the box of a receiver at that address, unless there are as many as
// may be.
func (f *fanout[T]) join(from netip.Prefix) (chan T, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.boxes) >= f.most {
		return nil, fmt.Errorf("there are %d viewers already, which is the most", f.most)
	}
	same := 0
	for _, other := range f.boxes {
		if other == from {
			same++
		}
	}
	if same >= f.each {
		return nil, fmt.Errorf("there are %d viewers at your address already, which is the most", f.each)
	}
	box := make(chan T, f.depth)
	f.boxes[box] = from
	return box, nil
}

func (f *fanout[T]) leave(box chan T) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.boxes, box)
}

// offer puts a value into a receiver's box if that is empty.
func (f *fanout[T]) offer(box chan T, value T) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(box) == 0 {
		box <- value
	}
}

// count is the number of receivers.
func (f *fanout[T]) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.boxes)
}

func (f *fanout[T]) send(value T) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for box := range f.boxes {
		put(box, value)
	}
}

// put throws out the oldest value of a full box. The box has no other sender.
func put[T any](box chan T, value T) {
	if len(box) == cap(box) {
		select {
		case <-box:
		default: // its receiver has just made room
		}
	}
	box <- value
}
