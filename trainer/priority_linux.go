package trainer

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// background keeps the calling goroutine on a system thread of its own, of the lowest
// priority, that ends with the goroutine. A system that refuses gives it its share.
func background() {
	runtime.LockOSThread()
	_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), 19)
}
