//go:build !arm64 || purego

package arm64

import "edgeclassify/int8"

// Kernels lists the kernels that this CPU can run: none.
func Kernels() []int8.Kernel { return nil }
