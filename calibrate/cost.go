package calibrate

import (
	"maps"
	"slices"

	"edgeclassify/int8"
)

// What one Cortex-A76 does in a cycle or takes, by 'make perf-model' for models
// without and with int16 outputs.
const (
	int8Products  = 28.8 // of bytes a cycle, requantization included
	int16Products = 30.5 // of bytes a cycle where a tensor is int16; those of an int16 input are twice as many
	int16Cycles   = 2.5  // for each output of such a layer
	poolCycles    = 2.5  // for each value in a window of int16
	cacheMisses   = 1.08 // times all cycles
	cyclesPerUs   = 2400
)

// Int16Output is what it gives and costs to store a layer's output as int16
// instead of int8, all others as they are.
type Int16Output struct {
	Gain         float64 `json:"logit_sqnr_gain_db"`
	Bytes        int     `json:"bytes"`        // of memory for the output
	Microseconds float64 `json:"microseconds"` // predicted, one Cortex-A76 core at 2.4 GHz
	Chosen       bool    `json:"chosen"`       // it is int16
}

// Int16Outputs are those of the layers of n whose sensitivity is known.
func Int16Outputs(n *int8.Network, sensitivities []Sensitivity) map[string]Int16Output {
	chosen := map[string]bool{}
	for i := range n.Layers {
		l := &n.Layers[i]
		_, conv := l.Op.(*int8.Conv)
		chosen[l.Name] = conv && l.Out.Type == int8.Int16
	}
	outputs := map[string]Int16Output{}
	for _, s := range sensitivities {
		l := layerNamed(n, s.Layer)
		if l == nil {
			continue
		}
		with, without := maps.Clone(chosen), maps.Clone(chosen)
		with[l.Name], without[l.Name] = true, false
		outputs[l.Name] = Int16Output{
			Gain:         s.Gain(),
			Bytes:        l.Out.Shape.Elements(),
			Microseconds: microseconds(n, with) - microseconds(n, without),
			Chosen:       chosen[l.Name],
		}
	}
	return outputs
}

// layerNamed is the layer of that name, nil if there is none.
func layerNamed(n *int8.Network, name string) *int8.Layer {
	at := slices.IndexFunc(n.Layers, func(l int8.Layer) bool { return l.Name == name })
	if at < 0 {
		return nil
	}
	return &n.Layers[at]
}

// microseconds is the predicted time of one Cortex-A76 core at 2.4 GHz for
// convolutions and what int16 tensors slow down beside them, if the outputs of
// these layers were int16.
func microseconds(n *int8.Network, outputs map[string]bool) float64 {
	int16 := map[string]bool{} // of pools, too
	maps.Copy(int16, outputs)
	cycles := 0.0
	for i := range n.Layers {
		l := &n.Layers[i]
		values := float64(l.Out.Shape.Elements())
		switch op := l.Op.(type) {
		case *int8.Conv:
			products := float64(l.MACs())
			switch {
			case int16[l.Inputs[0]]:
				cycles += 2*products/int16Products + values*int16Cycles
			case int16[l.Name] || slices.ContainsFunc(l.Inputs, func(in string) bool { return int16[in] }):
				cycles += products/int16Products + values*int16Cycles
			default:
				cycles += products / int8Products
			}
		case *int8.MaxPool:
			int16[l.Name] = int16[l.Inputs[0]]
			if int16[l.Name] {
				cycles += values * float64(op.KH*op.KW) * poolCycles
			}
		case *int8.AveragePool: // in Go, whatever the type
			int16[l.Name] = int16[l.Inputs[0]]
		}
	}
	return cycles * cacheMisses / cyclesPerUs
}
