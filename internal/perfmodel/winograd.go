package main

import "edgeclassify/int8/tile"

// winogradKind is what the time of a routine of tile.Winograd depends on. Groups are
// tiles, or groups of tiles that are multiplied.
type winogradKind struct {
	function        string
	steps           int
	residual, shift bool
}

// noteWinograd are routines that note their calls.
func (r *recorder) noteWinograd() tile.Winograd {
	return tile.Winograd{
		Input: func(a tile.WinogradInput) {
			r.add(call{kind: winogradKind{function: r.winograd.Input, steps: a.Blocks}, args: a, groups: a.Tiles})
		},
		Multiply: func(a tile.WinogradMultiply) {
			r.add(call{kind: winogradKind{function: r.winograd.Multiply, steps: a.Steps}, args: a, groups: a.Groups})
		},
		Output: func(a tile.WinogradOutput) {
			r.add(call{kind: winogradKind{r.winograd.Output, 1, a.Res != nil, a.Shift != 0}, args: a, groups: a.Tiles})
		},
	}
}

// winogradRoutine is that of such a call.
func (p *predictor) winogradRoutine(kind winogradKind, args any) (routine, int, error) {
	f, err := p.function(kind.function)
	return routine{function: f, period: 1, arguments: func(groups, steps int) []uint64 {
		switch a := args.(type) {
		case tile.WinogradInput:
			a.Tiles, a.Blocks = groups, steps
			return words(a)
		case tile.WinogradMultiply:
			a.Groups, a.Steps = groups, steps
			return words(a)
		case tile.WinogradOutput:
			a.Tiles = groups
			return words(a)
		}
		return nil
	}}, kind.steps, err
}
