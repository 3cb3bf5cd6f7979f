package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
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

// smallCalibration is of a random network, with 24 pictures.
func smallCalibration(t *testing.T) (*calibration, *int8.Network, buildOptions) {
	o := buildOptions{images: filepath.Dir(smallPictures(t, 24).files[0]), method: string(calibrate.MinMax), threads: 2, correctBias: true}
	c, err := newCalibration(context.Background(), randomGraph(19), o, io.Discard)
	require.NoError(t, err)
	n, err := calibrate.Quantize(c.folded, c.table)
	require.NoError(t, err)
	return c, n, o
}

// wideLayers are those of n with int16 outputs.
func wideLayers(n *int8.Network) []string {
	return slices.Sorted(maps.Keys(wideTensors(n)))
}

func TestPromoteStopsWhenFewEnoughAnswersChange(t *testing.T) {
	c, n, o := smallCalibration(t)
	o.maxDrop = 100
	var out bytes.Buffer
	same, err := c.promote(context.Background(), n, o, &out, io.Discard)
	require.NoError(t, err)
	require.Same(t, n, same, "any drop is fine")
	require.Contains(t, out.String(), "int16 outputs: 0; measured on 24 pictures")

	before := measured(t, c, n, o)
	require.Positive(t, before)
	o.maxDrop = 100 * before * 0.8
	out.Reset()
	promoted, err := c.promote(context.Background(), n, o, &out, io.Discard)
	require.NoError(t, err)
	require.NoError(t, promoted.Validate())
	require.LessOrEqual(t, measured(t, c, promoted, o), before*0.8)
	wide := wideLayers(promoted)
	require.NotEmpty(t, wide)
	require.Less(t, len(wide), len(c.sensitivities), "not all layers")
	require.ElementsMatch(t, wide, c.table.Wide)
	for _, name := range wide {
		require.Contains(t, out.String(), name+" ")
	}
	require.Contains(t, c.provenance().Method, fmt.Sprintf("%d int16 outputs", len(wide)))
}

func TestPromoteTellsWhatItCannotReach(t *testing.T) {
	c, n, o := smallCalibration(t)
	o.maxDrop = 1e-9
	_, err := c.promote(context.Background(), n, o, io.Discard, io.Discard)
	require.ErrorContains(t, err, "-max-drop 1e-09 is out of reach")
	wide := c.table.Wide
	require.NotEmpty(t, wide)

	c, n, o = smallCalibration(t)
	o.maxDrop, o.force = 1e-9, true
	var errs bytes.Buffer
	promoted, err := c.promote(context.Background(), n, o, io.Discard, &errs)
	require.NoError(t, err)
	require.Contains(t, errs.String(), "out of reach")
	require.ElementsMatch(t, wide, wideLayers(promoted))
}

// measured is the expected drop, as the promoter finds it.
func measured(t *testing.T, c *calibration, n *int8.Network, o buildOptions) float64 {
	p := &promoter{calibration: c, o: o}
	require.NoError(t, p.prepare(context.Background(), newBars(io.Discard)))
	require.NoError(t, p.measure(context.Background(), n))
	return p.drop()
}
