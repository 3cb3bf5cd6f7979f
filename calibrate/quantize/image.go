package quantize

import (
	"math"
	"slices"

	"edgeclassify/int8"
	"edgeclassify/models"
	"edgeclassify/preprocess"
	"edgeclassify/tensor"
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

// FoldImage rewrites the weights and biases of an operation that reads the image for
// raw pixels: channel order, mean and standard deviation move into them. Its input's
// real value is then the pixel minus the mean as ImageTensor rounds it. The channels
// of a pixel stand next to each other in a row of weights.
func FoldImage(weight []float32, bias []float64, channels int, p preprocess.Spec) ([]float32, []float64) {
	folded := make([]float32, len(weight))
	bias = slices.Clone(bias)
	depth := len(weight) / len(bias)
	for i, w := range weight {
		c := i % channels
		scaled := float64(w) / float64(p.Std[c])
		folded[i-c+pixelChannel(p, c, channels)] = float32(scaled)
		mean := float64(p.Mean[c])
		bias[i/depth] += float64(scaled * (max(0, min(255, math.Round(mean))) - mean))
	}
	return folded, bias
}

// int8Image is the image as an activation, for what cannot take its channels' different
// scales: the output of a convolution that changes nothing.
func (l *lowerer) int8Image() tensor.ID {
	if l.image == tensor.Input {
		shape := l.Input()
		op := &models.Conv{Window: tensor.Square(1, 1, 0), Groups: 1, InC: shape.C, OutC: shape.C, Weight: make([]float32, shape.C*shape.C)}
		for c := range shape.C {
			op.Weight[c*shape.C+c] = 1
		}
		l.units = append(l.units, Unit{
			Name: int8.InputName + "/int8", Op: op, Inputs: []tensor.ID{tensor.Input}, Output: tensor.Input,
			Clip: models.Unlimited(), Shape: shape, ranges: []string{},
		})
		l.image = tensor.Output(len(l.units) - 1)
	}
	return l.image
}

// imageRange is the span of normalized pixels.
func imageRange(p preprocess.Spec) (r Range) {
	for c := range p.Channels() {
		for _, pixel := range []float64{0, 255} {
			v := (pixel - float64(p.Mean[c])) / float64(p.Std[c])
			r = Range{min(r.Min, v), max(r.Max, v)}
		}
	}
	return r
}

// ungrouped is the convolution with one group, in which zeros stand for what the
// groups leave out. Those of the image's channels cannot change places with them.
func ungrouped(op *models.Conv) *models.Conv {
	whole := *op
	whole.Groups, whole.Weight = 1, make([]float32, len(op.Weight)*op.Groups)
	op.Parameters().Each(op.InC, func(i, in, _ int, w float32) {
		whole.Weight[i/(op.InC/op.Groups)*op.InC+in] = w
	})
	return &whole
}

// pixelChannel is the index in a pixel of the float network's channel c, of so many.
func pixelChannel(p preprocess.Spec, c, channels int) int {
	if channels == 1 {
		return 0
	}
	return p.Channel(c)
}
