//go:build !linux

package runtime

import "edgeclassify/int8"

// useHugePages does nothing: other systems choose pages by themselves.
func useHugePages(memory []int8.Value) {}
