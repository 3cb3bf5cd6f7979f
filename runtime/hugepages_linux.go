package runtime

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"edgeclassify/int8"
)

// useHugePages asks for few large pages of memory that is not in use yet: the first
// touch of weights takes a fifth of the time, and each frame reads them faster. It is
// no harm if the system has none.
func useHugePages(memory []int8.Value) {
	const hugePage = 2 << 20
	if len(memory) < 2*hugePage { // it may hold none
		return
	}
	page := os.Getpagesize()
	skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(memory)))) & (page - 1)
	whole := (len(memory) - skip) / page * page
	_ = unix.Madvise(unsafe.Slice((*byte)(unsafe.Pointer(&memory[skip])), whole), unix.MADV_HUGEPAGE)
}
