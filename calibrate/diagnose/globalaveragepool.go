package diagnose

import (
	"slices"

	"edgeclassify/models"
	"edgeclassify/tensor"
)

// writeGlobalAveragePool writes the sums.
func writeGlobalAveragePool(s *simulator, l *layer) { s.addSums(l.out.node, l.in[0]) }

// addSums writes the sum of each channel over the plane: a window of ones.
func (s *simulator) addSums(name string, of signal) {
	in := of.Shape
	s.add(name, &models.Conv{
		Window: tensor.Window{KH: in.H, KW: in.W, StrideH: 1, StrideW: 1},
		Groups: in.C, InC: in.C, OutC: in.C, Weight: slices.Repeat([]float32{1}, in.Elements()),
	}, of.node)
}
