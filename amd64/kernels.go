//go:build amd64 && !purego

package amd64

import (
	"unsafe"

	"golang.org/x/sys/cpu"

	"edgeclassify/int8"
	"edgeclassify/int8/tile"
)

// Kernels lists the kernels that this CPU can run, the fastest first.
func Kernels() []int8.Kernel {
	var kernels []int8.Kernel
	if cpu.X86.HasAVX512VNNI && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512VL && cpu.X86.HasAVX2 {
		kernels = append(kernels, avx512().Kernel())
	}
	if cpu.X86.HasAVX2 {
		kernels = append(kernels, avx2().Kernel())
	}
	return kernels
}

func avx512() *tile.Micro {
	return &tile.Micro{
		Name: "avx512vnni", NR: 32, KR: 4, Group: 16 << 10, Block: 16 << 10, Cache: 1 << 20, Unsigned: true, Order: order(32),
		Shapes: []tile.Shape{{MR: 14, Run: conv14AVX512}, {MR: 7, Run: conv7AVX512}},
		Sums:   tile.Shape{MR: 14, Run: sums14AVX512}, Requantize: requantizeAVX2,
		Dense: denseAVX512, DenseInt8: denseInt8AVX2, Max: maxAVX2, Depthwise: depthwise(), Elementwise: elementwise(),
	}
}

func avx2() *tile.Micro {
	return &tile.Micro{
		Name: "avx2", NR: 16, KR: 4, Group: 16 << 10, Block: 32 << 10, Cache: 512 << 10, Unsigned: true, Order: wordsOrder(16), Fit: fitAVX2,
		Shapes: []tile.Shape{{MR: 4, Run: conv4AVX2}, {MR: 3, Run: conv3AVX2}},
		Sums:   tile.Shape{MR: 4, Run: sums4AVX2}, Requantize: requantizeAVX2,
		Dense: denseAVX2, DenseInt8: denseInt8AVX2, Max: maxAVX2, Depthwise: depthwise(), Elementwise: elementwise(),
		Words: &tile.Words{
			Shapes: []tile.Shape{{MR: 4, Run: words4AVX2, Half: wordsHalf4AVX2}, {MR: 3, Run: words3AVX2, Half: wordsHalf3AVX2}},
			Order:  wordsOrder(16), HalfOrder: wordsOrder(8), Widen: widenAVX2,
		},
		Winograd: &tile.Winograd{
			WinogradShape: tile.WinogradShape{
				Group: 4, Depth: 16, Pair: 2, Channels: 16, Outputs: 8, Pad: 64, Block: 28, MinTiles: 16, MinChannels: 16, MinUse: 62, ByChannels: true,
			},
			Input: winogradInputAVX2, Multiply: winogradMultiplyAVX2, Output: winogradOutputAVX2,
		},
	}
}

func elementwise() tile.Elementwise {
	return tile.Elementwise{Lookup: lookupAVX2, LookupChannels: lookupChannels, Mul: mulAVX2, Add: addAVX2, Sum: sumAVX2, Mean: meanAVX2}
}

// order is the channels of a panel's places: the first half of the places
// takes four channels of every eight, the second half the other four.
func order(channels int) []int {
	var order []int
	for i := range channels / 2 {
		order = append(order, i/4*8+i%4)
	}
	for _, c := range order {
		order = append(order, c+4)
	}
	return order
}

// wordsOrder is that of words_amd64.s: vectors of eight, in whose lanes a shuffle moves the
// odd places behind the even ones.
func wordsOrder(channels int) []int {
	order := make([]int, channels)
	for i := range order {
		vector, lane := i/8, i/4%2
		order[i] = lane*channels/2 + vector*4 + i%2*2 + i%4/2
	}
	return order
}

func depthwise() *tile.Depthwise {
	return &tile.Depthwise{NR: 16, Run: depthwiseAVX2, Sums: depthwiseSumsAVX2, Order: order(16), Step: 2, Wide: true, Shift: 8, Taps: taps, Block: 16 << 10}
}

// taps are pairs below each other, in the last of an odd number of rows side by side.
func taps(kh, kw int) (taps []int) {
	for y := 0; y+1 < kh; y += 2 {
		for x := range kw {
			taps = append(taps, y*kw+x, (y+1)*kw+x)
		}
	}
	if kh%2 == 0 {
		return taps
	}
	if kw%2 == 1 {
		taps = append(taps, -1)
	}
	for x := range kw {
		taps = append(taps, (kh-1)*kw+x)
	}
	return taps
}

//go:noescape
func conv14AVX512(a tile.Args)

//go:noescape
func conv7AVX512(a tile.Args)

//go:noescape
func sums14AVX512(a tile.Args)

//go:noescape
func denseAVX512(a tile.DenseArgs)

//go:noescape
func conv4AVX2(a tile.Args)

//go:noescape
func conv3AVX2(a tile.Args)

//go:noescape
func sums4AVX2(a tile.Args)

//go:noescape
func words4AVX2(a tile.Args)

//go:noescape
func words3AVX2(a tile.Args)

//go:noescape
func wordsHalf4AVX2(a tile.Args)

//go:noescape
func wordsHalf3AVX2(a tile.Args)

//go:noescape
func widenAVX2(a tile.WidenArgs)

//go:noescape
func fitAVX2(step, rooms unsafe.Pointer, open int) (bin, sum int)

//go:noescape
func requantizeAVX2(a tile.RequantizeArgs)

//go:noescape
func denseAVX2(a tile.DenseArgs)

//go:noescape
func denseInt8AVX2(a tile.DenseArgs)

//go:noescape
func maxAVX2(a tile.MaxArgs)

//go:noescape
func winogradInputAVX2(a tile.WinogradInput)

//go:noescape
func winogradMultiplyAVX2(a tile.WinogradMultiply)

//go:noescape
func winogradOutputAVX2(a tile.WinogradOutput)

//go:noescape
func lookupAVX2(a tile.LookupArgs)

//go:noescape
func lookupChannels(a tile.LookupArgs)

//go:noescape
func mulAVX2(a tile.MulArgs)

//go:noescape
func addAVX2(a tile.AddArgs)

//go:noescape
func sumAVX2(a tile.SumArgs)

//go:noescape
func meanAVX2(a tile.MeanArgs)

//go:noescape
func depthwiseAVX2(a tile.DepthwiseArgs)

//go:noescape
func depthwiseSumsAVX2(a tile.DepthwiseArgs)
