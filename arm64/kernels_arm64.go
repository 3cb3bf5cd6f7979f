//go:build !purego

package arm64

import (
	"slices"

	"edgeclassify/int8"
	"edgeclassify/int8/tile"
)

// Kernels lists the kernels that this CPU can run, the fastest first.
func Kernels() []int8.Kernel { return kernels(Detect()) }

func kernels(cpu CPU) []int8.Kernel {
	var kernels []int8.Kernel
	if cpu.Int8Matrix && cpu.DotProduct {
		k := micro(I8MM()).Kernel()
		k.ConvolutionInt16 = micro(NeonDot()).ConvolutionInt16
		kernels = append(kernels, k)
	}
	if cpu.DotProduct {
		kernels = append(kernels, micro(NeonDot()).Kernel())
	}
	outOfOrder, inOrder := micro(Neon()).Kernel(), micro(NeonA53()).Kernel()
	if slices.ContainsFunc(cpu.Fast(), func(c Core) bool { return c.MIDR.InOrder() }) {
		return append(kernels, inOrder, outOfOrder)
	}
	return append(kernels, outOfOrder, inOrder)
}

// micro is a kernel with its assembly.
func micro(d Description) *tile.Micro {
	return d.Micro(Functions{
		Tiles: map[string]func(tile.Args){
			"conv4I8MM": conv4I8MM, "conv2I8MM": conv2I8MM,
			"conv7NeonDot": conv7NeonDot, "conv8NeonDot": conv8NeonDot, "sums7NeonDot": sums7NeonDot,
			"conv4NEON": conv4NEON, "conv3NEON": conv3NEON, "sums4NEON": sums4NEON,
			"conv3A53": conv3A53, "conv2A53": conv2A53,
		},
		Requantize: requantizeNEON, Dense: denseNEON, Max: maxNEON,
		DenseInt8:   map[string]func(tile.DenseArgs){"denseInt8NEON": denseInt8NEON, "denseInt8NeonDot": denseInt8NeonDot},
		Elementwise: tile.Elementwise{Lookup: lookupNEON, LookupChannels: lookupChannels, Mul: mulNEON, Add: addNEON, Sum: sumNEON, Mean: meanNEON},
		Winograd: tile.Winograd{
			Input: winogradInput, Output: winogradOutput,
			Multiply: map[string]func(tile.WinogradMultiply){
				"winogradMultiply": winogradMultiply, "winogradMultiplyA53": winogradMultiplyA53,
			}[d.Winograd.Multiply],
		},
		Depthwise: map[string]func(tile.DepthwiseArgs){
			"depthwiseDot": depthwiseDot, "depthwiseNEON": depthwiseNEON, "depthwiseA53": depthwiseA53,
		}[d.Depthwise.Function],
	})
}

//go:noescape
func conv4I8MM(a tile.Args)

//go:noescape
func conv2I8MM(a tile.Args)

//go:noescape
func conv7NeonDot(a tile.Args)

//go:noescape
func conv8NeonDot(a tile.Args)

//go:noescape
func sums7NeonDot(a tile.Args)

//go:noescape
func conv4NEON(a tile.Args)

//go:noescape
func conv3NEON(a tile.Args)

//go:noescape
func sums4NEON(a tile.Args)

//go:noescape
func conv3A53(a tile.Args)

//go:noescape
func conv2A53(a tile.Args)

//go:noescape
func denseNEON(a tile.DenseArgs)

//go:noescape
func denseInt8NEON(a tile.DenseArgs)

//go:noescape
func denseInt8NeonDot(a tile.DenseArgs)

//go:noescape
func requantizeNEON(a tile.RequantizeArgs)

//go:noescape
func maxNEON(a tile.MaxArgs)

//go:noescape
func winogradInput(a tile.WinogradInput)

//go:noescape
func winogradMultiply(a tile.WinogradMultiply)

//go:noescape
func winogradMultiplyA53(a tile.WinogradMultiply)

//go:noescape
func winogradOutput(a tile.WinogradOutput)

//go:noescape
func lookupNEON(a tile.LookupArgs)

//go:noescape
func lookupChannels(a tile.LookupArgs)

//go:noescape
func mulNEON(a tile.MulArgs)

//go:noescape
func addNEON(a tile.AddArgs)

//go:noescape
func sumNEON(a tile.SumArgs)

//go:noescape
func meanNEON(a tile.MeanArgs)

//go:noescape
func depthwiseDot(a tile.DepthwiseArgs)

//go:noescape
func depthwiseNEON(a tile.DepthwiseArgs)

//go:noescape
func depthwiseA53(a tile.DepthwiseArgs)
