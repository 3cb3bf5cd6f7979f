package live

import "sync"

// fanout hands values to many receivers and waits for none: each has a box for
// a few, and a value that comes to a full one throws out the oldest.
type fanout[T any] struct {
	depth, most int
	mu          sync.Mutex
	boxes       map[chan T]struct{}
}

func newFanout[T any](depth, most int) *fanout[T] {
	return &fanout[T]{depth: depth, most: most, boxes: make(map[chan T]struct{})}
}

// join returns a receiver's box, or false if there are as many as may be.
func (f *fanout[T]) join() (chan T, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.boxes) >= f.most {
		return nil, false
	}
	box := make(chan T, f.depth)
	f.boxes[box] = struct{}{}
	return box, true
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
