package trainer

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// background runs do on a system thread of its own, of the lowest priority, that ends
// with the calling goroutine. A system that refuses gives it its share.
func background(do func()) {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() { // the main thread, which does not end
		done := make(chan struct{})
		go func() {
			defer close(done)
			background(do)
		}()
		<-done
		runtime.UnlockOSThread()
		return
	}
	_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), 19)
	do()
}
