//go:build !linux

package runtime

import "runtime"

// pin keeps the calling goroutine on a system thread of its own.
func pin(thread, threads int, fast []int) { runtime.LockOSThread() }
