package diagnose

import (
	"slices"

	"edgeclassify/models"
	"edgeclassify/tensor"
)

// writeGlobalAveragePool writes the sum of each channel over the plane: a window
// of ones.
func writeGlobalAveragePool(s *simulator, l *layer) {
	in := l.in[0].Shape
	s.add(l.out.node, &models.Conv{
		Window: tensor.Window{KH: in.H, KW: in.W, StrideH: 1, StrideW: 1},
		Groups: in.C, InC: in.C, OutC: in.C, Weight: slices.Repeat([]float32{1}, in.Elements()),
	}, l.in[0].node)
}
