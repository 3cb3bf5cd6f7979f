//go:build !purego

package amd64

import (
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/cpu"

	"edgeclassify/int8"
	"edgeclassify/internal/kerneltest"
	"edgeclassify/tensor"
)

func TestKernels(t *testing.T) { kerneltest.Run(t, both()) }

func FuzzKernels(f *testing.F) { kerneltest.Fuzz(f, both()) }

// both are the kernels of this CPU, and AVX2's with bins for all weights.
func both() []int8.Kernel {
	kernels := Kernels()
	if cpu.X86.HasAVX2 {
		m := avx2()
		m.Name, m.Words = "avx2-bins", nil
		kernels = append(kernels, m.Kernel())
	}
	return kernels
}

// Largest inputs, with weights that just fill a 16-bit lane in one step or in three,
// as they lie or crossed, and more.
func TestLanesAtTheirLimits(t *testing.T) {
	pair := func(a, b int8.Value) [4]int8.Value { return [4]int8.Value{a, b, a, b} }
	for _, steps := range [][3][4]int8.Value{
		{pair(64, 63)}, {pair(43, 42), pair(42, 0)}, {pair(42, 0), pair(0, 42), pair(1, 42)}, {pair(-64, -63), pair(64, 63), {}},
		{pair(64, 64)}, {pair(43, 43), pair(42, 0)}, {pair(42, 0), pair(0, 42), pair(2, 42)}, {pair(-64, -64), pair(-42, 0)},
		{pair(127, 127), pair(127, 127), pair(127, 127)}, {pair(-128, -128), pair(-128, -128), pair(127, 1)},
		{{100, 100, 27, 27}}, {{42, 42, 0, 0}, {85, 85, 0, 0}}, {{-100, -100, -27, -27}, {100, 100, 27, 27}},
		{{100, 100, 28, 27}}, {{42, 42, 43, 43}, {43, 43, 42, 42}, {85, 85, 0, 1}},
	} {
		const depth, channels, pixels, multiplier = 12, 16, 7, 40_000_000
		c := &int8.Conv{Window: tensor.Square(1, 1, 0), Groups: 1, InC: depth, OutC: channels}
		sum := int32(0)
		for range channels {
			for _, step := range steps {
				c.Weight = append(c.Weight, step[:]...)
			}
			c.Bias, c.Multiplier, c.Scale = append(c.Bias, 0), append(c.Multiplier, multiplier), append(c.Scale, 1)
		}
		for _, w := range c.Weight[:depth] {
			sum += 127 * int32(w)
		}
		src, dst := make([]int8.Value, pixels*depth), make([]int8.Value, pixels*channels)
		for i := range src {
			src[i] = 127 ^ -128
		}
		for _, k := range both() {
			conv := k.Convolution(&int8.Layer{Op: c, Out: int8.Tensor{Shape: tensor.Shape{H: 1, W: pixels, C: channels}}})
			conv.Pack(int8.Aligned(conv.Bytes()))
			conv.Run(&int8.ConvTask{Conv: c, OH: 1, OW: pixels, Src: src, SrcRow: len(src), Dst: dst, DstRow: len(dst), SrcStep: depth, DstStep: channels},
				int8.Part{Y1: 1, C1: channels}, make([]int64, conv.Scratch()))
			for _, got := range dst {
				require.Equal(t, int8.Requantize(sum, multiplier, 0, 0), got^-128, "%s, %v", k.Name, steps)
			}
		}
	}
}
