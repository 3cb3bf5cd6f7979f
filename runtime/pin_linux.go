package runtime

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// pin keeps the calling goroutine on a thread of its own and that thread on
// the given cores, if those are not all there are. Where the system refuses,
// threads go where it puts them: results do not depend on it.
func pin(cores []int) {
	runtime.LockOSThread()
	if len(cores) == 0 || len(cores) == runtime.NumCPU() {
		return
	}
	var set unix.CPUSet
	for _, c := range cores {
		set.Set(c)
	}
	_ = unix.SchedSetaffinity(0, &set)
}
