//go:build !linux

package runtime

import "runtime"

// pin keeps the calling goroutine on a thread of its own.
func pin([]int) { runtime.LockOSThread() }
