package calibrate

import (
	"maps"
	"slices"

	"edgeclassify/calibrate/diagnose"
	"edgeclassify/int8"
	"edgeclassify/internal/cores"
	"edgeclassify/tensor"
)

const cyclesPerMicrosecond = 2400

// Int16Output is what it gives and costs to store a layer's output as int16
// instead of int8, all others as they are.
type Int16Output struct {
	Gain         float64 `json:"logit_sqnr_gain_db"`
	Bytes        int     `json:"bytes"`        // of memory for the output
	Microseconds float64 `json:"microseconds"` // predicted, one Cortex-A76 core at 2.4 GHz
	Chosen       bool    `json:"chosen"`       // it is int16
}

// Int16Outputs are those of the layers of n whose sensitivity is known.
func Int16Outputs(n *int8.Network, sensitivities []diagnose.Sensitivity) map[string]Int16Output {
	chosen := map[string]bool{}
	for i := range n.Layers {
		l := &n.Layers[i]
		chosen[l.Name] = l.Activation() && l.Out.Type == int8.Int16
	}
	outputs := map[string]Int16Output{}
	for _, s := range sensitivities {
		id, err := n.Topology().ID(s.Layer)
		if err != nil {
			continue
		}
		with, without := maps.Clone(chosen), maps.Clone(chosen)
		with[s.Layer], without[s.Layer] = true, false
		outputs[s.Layer] = Int16Output{
			Gain:         s.Gain(),
			Bytes:        n.Tensor(id).Shape.Elements(),
			Microseconds: microseconds(n, with) - microseconds(n, without),
			Chosen:       chosen[s.Layer],
		}
	}
	return outputs
}

// microseconds is the predicted time of one Cortex-A76 core at 2.4 GHz for
// convolutions and what int16 tensors slow down beside them, if the outputs of
// these layers were int16.
func microseconds(n *int8.Network, outputs map[string]bool) float64 {
	int16 := make([]bool, n.Topology().Len())
	core, convolutions, cycles := cores.CortexA76(), cores.ConvolutionsA76(), 0.0
	for i := range n.Layers {
		l, out := &n.Layers[i], tensor.Output(i)
		values, source := float64(l.Out.Shape.Elements()), int16[l.Inputs[0]]
		if pool, ok := l.Op.(*int8.MaxPool); ok && source {
			cycles += values * float64(pool.KH*pool.KW) * core.Byte
		}
		if l.Op.Parameters().Multiplier == nil { // as pools leave it
			int16[out] = l.Activation() && source
			continue
		}
		int16[out] = outputs[l.Name]
		products := float64(l.MACs())
		switch {
		case source:
			cycles += 2*products/convolutions.Int16 + values*convolutions.Output
		case int16[out] || slices.ContainsFunc(l.Inputs, func(in tensor.ID) bool { return int16[in] }):
			cycles += products/convolutions.Int16 + values*convolutions.Output
		default:
			cycles += products / convolutions.Int8
		}
	}
	return cycles * core.Caches / cyclesPerMicrosecond
}
