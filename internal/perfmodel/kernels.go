package main

import (
	"unsafe"

	"edgeclassify/arm64"
	"edgeclassify/int8/tile"
)

// count is an argument that says how often a routine does something, in units. The zero
// count stands for once.
type count struct{ word, unit int }

// in is the argument at an offset.
func in(offset uintptr, unit int) count { return count{int(offset / 8), unit} }

func (c count) of(args []uint64) float64 {
	if c.unit == 0 {
		return 1
	}
	return float64(args[c.word]) / float64(c.unit)
}

func (c count) set(args []uint64, n int) {
	if c.unit > 0 {
		args[c.word] = uint64(n * c.unit)
	}
}

// kernel is a routine and how its time follows from its arguments: it does all groups so
// often, one group after the other, each of some steps.
type kernel struct {
	function               string
	repeats, groups, steps count
	period                 int     // of the unrolling of the steps' loop at most, in steps
	around                 float64 // Go code around a call, of that around a row of tiles
}

// period is the unrolling of the kernels' inner loops at most, in values.
const period = 128

// little is the Go code around calls of kernels that need less of it: an assumption.
const little = 0.25

// tileCall is that of a row of tiles.
func tileCall(t arm64.Tile, nr, kr int, a tile.Args) *call {
	var f tile.Args
	c := newCall(kernel{
		t.Function, in(unsafe.Offsetof(f.Panels), 1), in(unsafe.Offsetof(f.Tiles), 1), in(unsafe.Offsetof(f.Steps), 1), period / kr, 1,
	}, a)
	c.products = t.MR * nr * a.Runs * a.Steps * kr
	return c
}

// denseRows is the rows that a classifier takes together.
const denseRows = 4

func denseKernel(function string) kernel {
	var a tile.DenseArgs
	return kernel{function, count{}, in(unsafe.Offsetof(a.Rows), denseRows), in(unsafe.Offsetof(a.Length), tile.Vector), period / tile.Vector, 1}
}

// sumBlock is the channels that sums take together.
const sumBlock = 64

// functions are routines that note their calls instead of doing anything.
func (r *recorder) functions(d arm64.Description) arm64.Functions {
	var (
		outputs  tile.RequantizeArgs
		maxima   tile.MaxArgs
		input    tile.WinogradInput
		multiply tile.WinogradMultiply
		output   tile.WinogradOutput
		channels tile.DepthwiseArgs
		table    tile.LookupArgs
		product  tile.MulArgs
		sum      tile.AddArgs
		plane    tile.SumArgs
	)
	values := func(groups, steps uintptr, function string) kernel {
		return kernel{function, count{}, in(groups, 1), in(steps, tile.Vector), period / tile.Vector, little}
	}
	f := arm64.Functions{
		Tiles:      map[string]func(tile.Args){},
		Requantize: note[tile.RequantizeArgs](r, kernel{d.Requantize, count{}, in(unsafe.Offsetof(outputs.Length), tile.RequantizeVector), count{}, 1, little}),
		Dense:      note[tile.DenseArgs](r, denseKernel(d.Dense)),
		Max:        note[tile.MaxArgs](r, values(unsafe.Offsetof(maxima.Count), unsafe.Offsetof(maxima.Length), d.Max)),
		Depthwise:  note[tile.DepthwiseArgs](r, kernel{d.Depthwise.Function, count{}, in(unsafe.Offsetof(channels.Rows), 1), in(unsafe.Offsetof(channels.Pixels), 1), tile.Vector, little}),
		Elementwise: tile.Elementwise{
			Lookup: note[tile.LookupArgs](r, values(unsafe.Offsetof(table.Count), unsafe.Offsetof(table.Length), "lookupNEON")),
			Mul:    note[tile.MulArgs](r, values(unsafe.Offsetof(product.Count), unsafe.Offsetof(product.Length), "mulNEON")),
			Add:    note[tile.AddArgs](r, values(unsafe.Offsetof(sum.Count), unsafe.Offsetof(sum.Length), "addNEON")),
			Sum:    note[tile.SumArgs](r, kernel{"sumNEON", count{}, in(unsafe.Offsetof(plane.Length), sumBlock), in(unsafe.Offsetof(plane.Count), 1), tile.Vector, little}),
		},
		Winograd: tile.Winograd{
			Input:    note[tile.WinogradInput](r, kernel{d.Winograd.Input, count{}, in(unsafe.Offsetof(input.Tiles), 1), in(unsafe.Offsetof(input.Blocks), 1), 1, 1}),
			Multiply: note[tile.WinogradMultiply](r, kernel{d.Winograd.Multiply, count{}, in(unsafe.Offsetof(multiply.Groups), 1), in(unsafe.Offsetof(multiply.Steps), 1), 1, 1}),
			Output:   note[tile.WinogradOutput](r, kernel{d.Winograd.Output, count{}, in(unsafe.Offsetof(output.Tiles), 1), count{}, 1, 1}),
		},
	}
	for _, t := range d.Tiles {
		f.Tiles[t.Function] = func(a tile.Args) { r.noteTiles(t, a) }
	}
	f.Tiles[d.Sums.Function] = func(a tile.Args) { r.noteSums(d.Sums, a) }
	return f
}

func note[T any](r *recorder, k kernel) func(T) {
	return func(a T) { r.add(newCall(k, a)) }
}
