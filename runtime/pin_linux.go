package runtime

import (
	"runtime"
	"slices"

	"golang.org/x/sys/unix"
)

// pin keeps the calling goroutine on a system thread of its own, and that on
// the fast cores (nil: all cores). A session's threads that are as many as the
// cores stay on one each, which leaves the first core to the session's caller:
// a scheduler that lets two share a core makes all wait at every barrier. Where
// the system refuses, threads go where it puts them: results do not depend on
// it.
func pin(thread, threads int, fast []int) {
	runtime.LockOSThread()
	var allowed, set unix.CPUSet
	if unix.SchedGetaffinity(0, &allowed) != nil {
		return
	}
	var cores []int
	for core := range 64 * len(allowed) {
		if allowed.IsSet(core) && (fast == nil || slices.Contains(fast, core)) {
			cores = append(cores, core)
		}
	}
	if len(cores) == threads {
		cores = cores[thread : thread+1]
	}
	for _, core := range cores {
		set.Set(core)
	}
	_ = unix.SchedSetaffinity(0, &set)
}
