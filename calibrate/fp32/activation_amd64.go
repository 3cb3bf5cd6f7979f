//go:build !purego

package fp32

import "golang.org/x/sys/cpu"

// gated writes v / (1 + exp(factor * v)), or 1 in place of the first v, for the first
// values and returns for how many.
func gated(y, x []float32, factor float32, swish bool) int {
	eights := min(len(y), len(x)) / 8
	if !cpu.X86.HasAVX2 || eights == 0 {
		return 0
	}
	gatedAVX2(&y[0], &x[0], eights, &exponential, factor, swish)
	return 8 * eights
}

//go:noescape
func gatedAVX2(y, x *float32, eights int, k *[13]float32, factor float32, swish bool)
