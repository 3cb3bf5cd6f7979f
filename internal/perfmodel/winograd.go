package main

import "edgeclassify/int8/tile"

// winogradKind is what the time of a routine of tile.Winograd depends on.
type winogradKind struct {
	function        string
	steps           int
	residual, shift bool
}

// winogradCount is how often routines of one kind are called, and with how many groups:
// tiles, or groups of tiles that are multiplied.
type winogradCount struct {
	calls, groups int
	arguments     func(groups, steps int) []uint64
}

// noteWinograd are routines that note their calls.
func (r *recorder) noteWinograd() tile.Winograd {
	note := func(kind winogradKind, groups int, arguments func(groups, steps int) []uint64) {
		c := entry(r.last().winograd, kind)
		c.calls++
		c.groups += groups
		c.arguments = arguments
	}
	return tile.Winograd{
		Input: func(a tile.WinogradInput) {
			note(winogradKind{function: r.winograd.Input, steps: a.Blocks}, a.Tiles, func(groups, steps int) []uint64 {
				a.Tiles, a.Blocks = groups, steps
				return words(a)
			})
		},
		Multiply: func(a tile.WinogradMultiply) {
			note(winogradKind{function: r.winograd.Multiply, steps: a.Steps}, a.Groups, func(groups, steps int) []uint64 {
				a.Groups, a.Steps = groups, steps
				return words(a)
			})
		},
		Output: func(a tile.WinogradOutput) {
			note(winogradKind{r.winograd.Output, 1, a.Res != nil, a.Shift != 0}, a.Tiles, func(groups, _ int) []uint64 {
				a.Tiles = groups
				return words(a)
			})
		},
	}
}

func (p *predictor) ofWinograd(chunk *chunk) (sum float64, err error) {
	for kind, n := range chunk.winograd {
		f, err := p.function(kind.function)
		if err != nil {
			return 0, err
		}
		c, err := p.cost(kind, routine{function: f, arguments: n.arguments, period: 1}, kind.steps)
		if err != nil {
			return 0, err
		}
		sum += float64(n.calls)*(c.call+p.Call) + float64(n.groups)*c.group
	}
	return sum, nil
}
