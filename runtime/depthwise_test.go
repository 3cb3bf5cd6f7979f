package runtime

import (
	"testing"

	"edgeclassify/int8"
	"edgeclassify/tensor"
)

// BenchmarkDepthwise is a depthwise convolution of 112x112x64, 3x3, on one thread.
func BenchmarkDepthwise(b *testing.B) {
	shape := tensor.Shape{H: 112, W: 112, C: 64}
	const taps = 9
	c := &int8.Conv{Window: tensor.Square(3, 1, 1), Groups: shape.C, InC: shape.C, OutC: shape.C,
		Weight: make([]int8.Value, taps*shape.C), Bias: make([]int32, shape.C), Multiplier: make([]int32, shape.C), Scale: make([]float32, shape.C)}
	for i := range c.Weight {
		c.Weight[i] = int8.Value(i*37%255 - 127)
	}
	for o := range shape.C {
		c.Multiplier[o] = 4 << 20
	}
	layer := &int8.Layer{Op: c, Out: int8.Tensor{Shape: shape, Type: int8.Int8, Scale: 1, Zero: []int8.Value{0}}}
	row := (shape.W + 2) * shape.C
	t := &int8.ConvTask{Conv: c, OH: shape.H, OW: shape.W, SrcRow: row, DstRow: shape.W * shape.C, SrcStep: shape.C, DstStep: shape.C,
		Src: make([]int8.Value, (shape.H+2)*row+int8.ReadAhead), Dst: make([]int8.Value, shape.Elements())}
	for _, kernel := range Kernels() {
		b.Run(kernel.Name, func(b *testing.B) {
			packed := kernel.Convolution(layer)
			packed.Pack(int8.Aligned(packed.Bytes()))
			scratch := make([]int64, packed.Scratch())
			for b.Loop() {
				packed.Run(t, int8.Part{Y1: shape.H, C1: shape.C}, scratch)
			}
		})
	}
}
