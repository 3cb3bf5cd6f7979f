package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/calibrate"
	"edgeclassify/int8"
	"edgeclassify/tensor"
)

func TestPromotionsCountWhoReadsATensor(t *testing.T) {
	shape := tensor.Shape{H: 10, W: 10, C: 24}
	conv := func(k, in int) *int8.Conv {
		return &int8.Conv{Window: tensor.Square(k, 1, k/2), Groups: 1, InC: in, OutC: 24}
	}
	layer := func(name string, op int8.Op, inputs ...string) int8.Layer {
		return int8.Layer{Name: name, Inputs: inputs, Op: op, Out: int8.Tensor{Shape: shape, Type: int8.Int8}}
	}
	n := &int8.Network{Layers: []int8.Layer{
		layer("a", conv(1, 3), int8.InputName),
		layer("max", &int8.MaxPool{Window: tensor.Square(3, 1, 1)}, "a"),
		layer("b", conv(3, 24), "max"),
		layer("c", conv(1, 24), "max", "b"),
	}}
	s := []calibrate.Sensitivity{{Layer: "a", Share: 0.5}, {Layer: "b", Share: 0.1}, {Layer: "gone"}}
	got := promotions(s, n)
	require.Len(t, got, 2)
	const values, once, twice = 2400.0, 1/mixedProducts - 1/int8Products, 2/mixedProducts - 1/int8Products
	a := values * (9*poolCycles + 3*mixedCycles + (3*once + (9+1)*24*twice)) // the pool, all three convolutions, b and c with int16 inputs
	b := values * (2*mixedCycles + (9+1)*24*once)                            // b itself, c which adds it
	require.InDelta(t, a*cacheMisses/cyclesPerUs, got["a"].Microseconds, 1e-9)
	require.InDelta(t, b*cacheMisses/cyclesPerUs, got["b"].Microseconds, 1e-9)
	require.InDelta(t, 3.0103, got["a"].SQNR, 1e-4)
	require.Equal(t, 2400, got["a"].Bytes)
	require.False(t, got["a"].Chosen)

	n.Layers[0].Out.Type, n.Layers[1].Out.Type = int8.Int16, int8.Int16
	then := promotions(s, n)
	want := got["a"]
	want.Chosen = true
	require.Equal(t, want, then["a"])
	require.Zero(t, then["b"].Microseconds, "its readers have int16 tensors already")
}
