package arm64

import (
	"edgeclassify/int8"
	"edgeclassify/int8/tile"
)

// Description is a kernel without its code, which other machines do not have:
// functions are named. See tile.Micro.
type Description struct {
	Name                   string
	NR, KR                 int
	Tiles                  []Tile // that requantize, the fastest first
	Sums                   Tile   // for int16 tensors; none if those of another kernel do
	Requantize, Dense, Max string
	DenseInt8              string
	Winograd               Winograd // none on cores whose dot product is faster
	Depthwise              Depthwise
	WideSteps              int
	Group, Block, Cache    int
	Wide                   func(weights []int8.Value) bool
}

// Tile is a tile of so many pixels and the function that computes it.
type Tile struct {
	MR       int
	Function string
}

// Winograd is tile.Winograd, its functions by their names.
type Winograd struct {
	tile.WinogradShape
	Input, Multiply, Output string
}

// Depthwise is tile.Depthwise, its function by its name.
type Depthwise struct {
	tile.Depthwise
	Function string
}

// Functions is the code of a kernel, tiles by their names.
type Functions struct {
	Tiles      map[string]func(tile.Args)
	Requantize func(tile.RequantizeArgs)
	Dense      func(tile.DenseArgs)
	DenseInt8  map[string]func(tile.DenseArgs) // by their names
	Max        func(tile.MaxArgs)
	Winograd   tile.Winograd
	tile.Elementwise
	Depthwise func(tile.DepthwiseArgs)
}

// Micro is the kernel with its code.
func (d Description) Micro(f Functions) *tile.Micro {
	m := &tile.Micro{
		Name: d.Name, NR: d.NR, KR: d.KR,
		Sums: tile.Shape{MR: d.Sums.MR, Run: f.Tiles[d.Sums.Function]}, Requantize: f.Requantize,
		WideSteps: d.WideSteps, Wide: d.Wide, Panels: true, Group: d.Group, Block: d.Block, Cache: d.Cache,
		Dense: f.Dense, DenseInt8: f.DenseInt8[d.DenseInt8], Max: f.Max, Elementwise: f.Elementwise,
	}
	if d.Depthwise.Function != "" {
		m.Depthwise = &d.Depthwise.Depthwise
		m.Depthwise.Run = f.Depthwise
	}
	if d.Winograd.Multiply != "" {
		f.Winograd.WinogradShape = d.Winograd.WinogradShape
		m.Winograd = &f.Winograd
	}
	for _, t := range d.Tiles {
		m.Shapes = append(m.Shapes, tile.Shape{MR: t.MR, Run: f.Tiles[t.Function]})
	}
	return m
}

// I8MM is for cores with matrix products, such as the Neoverse-N2 and Apple's
// M2. It has no sums for int16 tensors: NeonDot's do.
func I8MM() Description {
	return Description{
		Name: "i8mm", NR: 16, KR: 8, Group: 36 << 10, Block: 16 << 10, Cache: 1 << 20,
		Tiles:     []Tile{{4, "conv4I8MM"}, {2, "conv2I8MM"}},
		Depthwise: dotDepthwise(),
		Dense:     "denseNEON", DenseInt8: "denseInt8NeonDot", Max: "maxNEON",
	}
}

// NeonDot is for cores with dot product, such as the Cortex-A76.
func NeonDot() Description {
	return Description{
		Name: "neondot", NR: 8, KR: 4, Group: 36 << 10, Block: 16 << 10, Cache: 512 << 10,
		Tiles:     []Tile{{7, "conv7NeonDot"}, {8, "conv8NeonDot"}},
		Depthwise: dotDepthwise(),
		Sums:      Tile{7, "sums7NeonDot"}, Requantize: "requantizeNEON",
		Dense: "denseNEON", DenseInt8: "denseInt8NeonDot", Max: "maxNEON",
	}
}

// dotDepthwise has the taps of four rows of a column side by side, for dot products.
func dotDepthwise() Depthwise {
	const rows = 4
	taps := func(kh, kw int) (taps []int) {
		for y := 0; y < kh; y += rows {
			for i := range kw * rows {
				tap := (y+i%rows)*kw + i/rows
				if tap >= kh*kw {
					tap = -1
				}
				taps = append(taps, tap)
			}
		}
		return taps
	}
	return Depthwise{tile.Depthwise{NR: 8, Step: rows, Taps: taps, Block: 32 << 10}, "depthwiseDot"}
}

// Neon is for out-of-order cores without dot product, such as the Cortex-A72.
func Neon() Description {
	return Description{
		Name: "neon", NR: 4, KR: 16, Group: 12 << 10, Block: 4 << 10, Cache: 256 << 10,
		Tiles: []Tile{{4, "conv4NEON"}, {3, "conv3NEON"}},
		Sums:  Tile{4, "sums4NEON"}, Requantize: "requantizeNEON",
		Dense: "denseNEON", DenseInt8: "denseInt8NEON", Max: "maxNEON", Winograd: winograd("winogradMultiply"),
		Depthwise: Depthwise{tile.Depthwise{NR: 16, Step: 1, Block: 16 << 10}, "depthwiseNEON"},
	}
}

// winograd has blocks such that the elements of four threads are half of the A53's
// second cache.
func winograd(multiply string) Winograd {
	return Winograd{
		tile.WinogradShape{Group: 7, Depth: 8, Pair: 1, Channels: 8, Outputs: 4, Block: 7, MinTiles: 32, MinChannels: 32, MinUse: 75},
		"winogradInput", multiply, "winogradOutput",
	}
}

// NeonA53 is for in-order cores without dot product, such as the Cortex-A53. It
// has Neon's way with int16 tensors.
func NeonA53() Description {
	return Description{
		Name: "neon_a53", NR: a53Channels, KR: a53Depth, Group: 12 << 10, Block: 4 << 10, Cache: 128 << 10,
		Tiles: []Tile{{3, "conv3A53"}, {2, "conv2A53"}},
		Sums:  Tile{4, "sums4NEON"}, Requantize: "requantizeNEON",
		WideSteps: wideSteps, Wide: wideA53,
		Dense: "denseNEON", DenseInt8: "denseInt8NEON", Max: "maxNEON", Winograd: winograd("winogradMultiplyA53"),
		Depthwise: Depthwise{tile.Depthwise{NR: 16, Step: 1, Block: 16 << 10}, "depthwiseA53"},
	}
}
