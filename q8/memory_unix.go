//go:build unix

package q8

import (
	"os"

	"golang.org/x/sys/unix"

	"edgeclassify/internal/hugepages"
)

// allocate is memory whose pages release can give back one by one, which those of
// Go's heap cannot.
func allocate(size int) (b []byte, free func() error, err error) {
	if size == 0 { // no system maps nothing
		return nil, func() error { return nil }, nil
	}
	b, err = unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, nil, os.NewSyscallError("mmap", err)
	}
	hugepages.Use(b)
	return b, func() error { return unix.Munmap(b) }, nil
}

// release gives the whole pages of b[lo:hi] back. They would read as zeros, which
// would be wrong answers; so reading them is a fault. It is no harm if the system
// refuses.
func release(b []byte, lo, hi int) {
	page := os.Getpagesize()
	lo, hi = (lo+page-1)/page*page, hi/page*page
	if lo < hi {
		_ = unix.Madvise(b[lo:hi], unix.MADV_DONTNEED)
		_ = unix.Mprotect(b[lo:hi], unix.PROT_NONE)
	}
}
