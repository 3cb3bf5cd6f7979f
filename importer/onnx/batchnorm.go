package onnx

import (
	"errors"

	"edgeclassify/models"
)

func convertBatchNorm(c *call) ([]value, error) {
	x, err := c.x()
	if err != nil {
		return nil, err
	}
	if c.integer("training_mode", 0) != 0 {
		return nil, errors.New("computes statistics of each picture: export the network in evaluation mode (model.eval())")
	}
	if len(x.axes) < 2 || x.axes[1] != "C" && x.shape().C > 1 {
		return nil, errors.New("its channels are not dimension 1")
	}
	op := &models.BatchNorm{Epsilon: c.real("epsilon", 1e-5)}
	for i, v := range []*[]float32{&op.Gamma, &op.Beta, &op.Mean, &op.Variance} {
		if *v, err = c.vector(i+1, x.shape().C); err != nil {
			return nil, err
		}
	}
	return c.emit(op, x)
}
