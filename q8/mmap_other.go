//go:build !unix

package q8

import (
	"io"
	"os"
)

// mmap reads the file: the systems left have no common memory map.
func mmap(f *os.File, size int) (b []byte, unmap func() error, err error) {
	b = make([]byte, size)
	if _, err := io.ReadFull(f, b); err != nil {
		return nil, nil, &os.PathError{Op: "read", Path: f.Name(), Err: err}
	}
	return b, func() error { return nil }, nil
}

// release has nothing to do: the bytes are the only ones.
func release(b []byte, lo, hi int) {}
