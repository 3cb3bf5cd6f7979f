package main

import (
	"maps"
	"slices"

	"edgeclassify/calibrate"
	"edgeclassify/int8"
	"edgeclassify/report"
)

// What one Cortex-A76 takes, by 'make perf-model': cycles for the outputs of a
// layer with an int16 tensor, which are requantized apart from its products, and
// for those that Go code pools.
const (
	int8Products  = 29.0 // a cycle, of the whole network
	int16Products = 15.5 // each is two products of bytes
	outputCycles  = 1.0
	poolCycles    = 2.5 // for each value of a window
	cyclesPerUs   = 2400
)

// promotions are what it gives and costs to store a layer's output as int16
// instead of int8, for each layer whose sensitivity is known. The others are as
// in n, where some may be int16 already.
func promotions(sensitivities []calibrate.Sensitivity, n *int8.Network) map[string]report.Promotion {
	wide := wideTensors(n)
	promotions := map[string]report.Promotion{}
	for _, s := range sensitivities {
		at := slices.IndexFunc(n.Layers, func(l int8.Layer) bool { return l.Name == s.Layer })
		if at < 0 {
			continue
		}
		with, without := maps.Clone(wide), maps.Clone(wide)
		with[s.Layer], without[s.Layer] = true, false
		promotions[s.Layer] = report.Promotion{
			SQNR:         s.Gain(),
			Bytes:        n.Layers[at].Out.Shape.Elements(),
			Microseconds: microseconds(n, with) - microseconds(n, without),
			Chosen:       wide[s.Layer],
		}
	}
	return promotions
}

// wideTensors are the convolutions of n with int16 outputs.
func wideTensors(n *int8.Network) map[string]bool {
	wide := map[string]bool{}
	for i := range n.Layers {
		l := &n.Layers[i]
		if _, conv := l.Op.(*int8.Conv); conv && l.Out.Type == int8.Int16 {
			wide[l.Name] = true
		}
	}
	return wide
}

// microseconds is the predicted time of one Cortex-A76 core at 2.4 GHz for the
// layers that int16 tensors slow down, if the outputs of these convolutions
// were int16.
func microseconds(n *int8.Network, wide map[string]bool) float64 {
	wide = maps.Clone(wide)
	cycles := 0.0
	for i := range n.Layers {
		l := &n.Layers[i]
		outputs := float64(l.Out.Shape.Elements())
		switch op := l.Op.(type) {
		case *int8.Conv:
			rate := int8Products
			if wide[l.Inputs[0]] {
				rate = int16Products
			}
			cycles += float64(l.MACs()) / rate
			if wide[l.Name] || slices.ContainsFunc(l.Inputs, func(in string) bool { return wide[in] }) {
				cycles += outputs * outputCycles
			}
		case *int8.MaxPool:
			wide[l.Name] = wide[l.Inputs[0]]
			if wide[l.Name] {
				cycles += outputs * float64(op.KH*op.KW) * poolCycles
			}
		case *int8.AvgPool: // in Go, whatever the type
			wide[l.Name] = wide[l.Inputs[0]]
		}
	}
	return cycles / cyclesPerUs
}
