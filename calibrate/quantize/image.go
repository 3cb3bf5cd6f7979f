package quantize

import (
	"math"
	"slices"

	"edgeclassify/int8"
	"edgeclassify/models"
	"edgeclassify/preprocess"
)

// ImageTensor is the network's input: RGB or grey pixels minus 128, padded with
// the mean pixel.
func ImageTensor(g *models.Graph) int8.Tensor {
	shape := g.Input()
	zero := make([]int8.Value, shape.C)
	for c := range zero {
		mean := math.Round(float64(g.Preprocess.Mean[c]))
		zero[pixelChannel(g.Preprocess, c, len(zero))] = int8.Value(max(-128, min(127, mean-128)))
	}
	return int8.Tensor{Shape: shape, Type: int8.Int8, Zero: zero}
}

// FoldImage rewrites the first convolution for raw pixels: channel order, mean
// and standard deviation move into weights and bias. Its input's real value is
// then the pixel minus the mean as ImageTensor rounds it.
func FoldImage(op *models.Conv, bias []float64, p preprocess.Spec) ([]float32, []float64) {
	weight := make([]float32, len(op.Weight))
	bias = slices.Clone(bias)
	depth := len(op.Weight) / op.OutC
	for i, w := range op.Weight {
		c := i % op.InC
		scaled := float64(w) / float64(p.Std[c])
		weight[i-c+pixelChannel(p, c, op.InC)] = float32(scaled)
		mean := float64(p.Mean[c])
		bias[i/depth] += float64(scaled * (max(0, min(255, math.Round(mean))) - mean))
	}
	return weight, bias
}

// pixelChannel is the index in a pixel of the float network's channel c, of so many.
func pixelChannel(p preprocess.Spec, c, channels int) int {
	if channels == 1 {
		return 0
	}
	return p.Channel(c)
}
