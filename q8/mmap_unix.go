//go:build unix

package q8

import (
	"os"

	"golang.org/x/sys/unix"
)

func mmap(f *os.File, size int) (b []byte, unmap func() error, err error) {
	// A private mapping costs nothing more while nobody writes, and some
	// network file systems offer no other.
	b, err = unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ, unix.MAP_PRIVATE)
	if err != nil {
		return nil, nil, &os.PathError{Op: "mmap", Path: f.Name(), Err: err}
	}
	return b, func() error { return unix.Munmap(b) }, nil
}

// release drops the whole pages of b[lo:hi] from memory. They hold what the
// file holds, so that nothing is lost; it is no harm if the system refuses.
func release(b []byte, lo, hi int) {
	page := os.Getpagesize()
	lo, hi = (lo+page-1)/page*page, hi/page*page
	if lo < hi {
		_ = unix.Madvise(b[lo:hi], unix.MADV_DONTNEED)
	}
}
