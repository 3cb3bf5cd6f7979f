//go:build !purego

package arm64

import (
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/int8"
	"edgeclassify/tensor"
)

// TestLanesOfTheA53AtTheirLimits has all 16-bit sums of the kernel at the ends
// of their range, and one weight beyond.
func TestLanesOfTheA53AtTheirLimits(t *testing.T) {
	for _, weights := range [][4]int8.Value{
		{127, 127, 2, 0}, {127, 127, 2, 1}, {-127, -127, -1, 0}, {-127, -127, -1, -1}, {127, 127, 127, 127},
	} {
		const depth, channels, pixels, multiplier = 2 * a53Depth, a53Channels, 5, 40_000_000
		c := &int8.Conv{Window: tensor.Window{KH: 1, KW: 1, StrideH: 1, StrideW: 1}, Groups: 1, InC: depth, OutC: channels}
		for range channels {
			for k := range depth {
				c.Weight = append(c.Weight, weights[k/8])
			}
			c.Bias, c.Multiplier, c.Scale = append(c.Bias, 0), append(c.Multiplier, multiplier), append(c.Scale, 1)
		}
		src := make([]int8.Value, pixels*depth)
		for i := range src {
			src[i] = -128
		}
		dst := make([]int8.Value, pixels*channels)
		out := tensor.Shape{H: 1, W: pixels, C: channels}
		conv := micro(NeonA53()).Convolution(&int8.Layer{Op: c, Out: int8.Tensor{Shape: out}})
		conv.Pack(int8.Aligned(conv.Bytes()))
		conv.Run(&int8.ConvTask{Conv: c, OH: 1, OW: pixels, Src: src, SrcRow: len(src), Dst: dst, DstRow: len(dst), SrcStep: depth, DstStep: channels},
			int8.Part{Y1: 1, C1: channels}, make([]int64, conv.Scratch()))
		sum := 0
		for _, w := range c.Weight[:depth] {
			sum -= 128 * int(w)
		}
		for _, got := range dst {
			require.Equal(t, int8.Requantize(int32(sum), multiplier, 0, 0), got, "%v", weights)
		}
	}
}
