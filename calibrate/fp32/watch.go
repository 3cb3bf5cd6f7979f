package fp32

import (
	"context"
	"errors"

	"edgeclassify/calibrate/dataset"
	"edgeclassify/models"
	"edgeclassify/tensor"
)

// Watch runs g on images and shows the tensors of those numbers to look: one image
// after another to each worker, but different workers at the same time. Behind an
// image it calls done, one call at a time in the order of the images, and before
// the worker looks at its next one. It returns the hashes of the images.
func Watch(ctx context.Context, g *models.Graph, images dataset.Images, p dataset.Pass, shown []tensor.ID,
	look func(worker int, t tensor.ID, values []float32) error, done func(worker int)) (dataset.Hashes, error) {
	if images.Len() == 0 {
		return nil, errors.New("fp32: no pictures to calibrate on")
	}
	first, err := NewExecutor(g, 1, shown...)
	if err != nil {
		return nil, err
	}
	executors := make([]*Executor, p.Workers(images))
	for i := range executors {
		executors[i] = first.Clone()
	}
	return p.Run(ctx, images, func(worker int, rgb []uint8) error {
		_, err := executors[worker].RunImage(rgb, func(t tensor.ID, values []float32) error { return look(worker, t, values) })
		return err
	}, done)
}
