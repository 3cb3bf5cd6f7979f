package fp32

import (
	"edgeclassify/models"
	"edgeclassify/tensor"
)

// newDense makes it a convolution of one pixel.
func newDense(op *models.Dense, _, _ tensor.Shape, clip models.Clip) (Operation, error) {
	in, out := tensor.Shape{H: 1, W: 1, C: op.In}, tensor.Shape{H: 1, W: 1, C: op.Out}
	return newConv(&models.Conv{
		Window: tensor.Square(1, 1, 0), Groups: 1, InC: op.In, OutC: op.Out, Weight: op.Weight, Bias: op.Bias,
	}, in, out, clip)
}
