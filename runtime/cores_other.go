//go:build !arm64

package runtime

import "runtime"

// fastCores is nil: all cores are alike.
func fastCores() []int { return nil }

// DefaultThreads is the number of cores that the program may use.
func DefaultThreads() int { return min(MaxThreads, runtime.NumCPU()) }
