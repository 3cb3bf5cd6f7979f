//go:build !unix

package q8

// allocate is memory of Go's heap: the systems left have no common call for other.
func allocate(size int) (b []byte, free func() error, err error) {
	return make([]byte, size), func() error { return nil }, nil
}

// release has nothing to do: the heap gives back whole allocations only.
func release(b []byte, lo, hi int) {}
