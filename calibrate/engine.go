package calibrate

import (
	"context"

	"edgeclassify/calibrate/dataset"
	"edgeclassify/int8"
	"edgeclassify/runtime"
)

// int8Logits are the real logits that the integer runtime gives for each image,
// preprocessed, of which it runs as many at a time as there are threads.
func int8Logits(ctx context.Context, n *int8.Network, images [][]uint8, threads int) ([][]float32, error) {
	plan, err := runtime.Compile(n, runtime.Options{Threads: 1})
	if err != nil {
		return nil, err
	}
	logits := make([][]float32, len(images))
	return logits, eachSession(ctx, plan, len(images), threads, func(s *runtime.Session, i int) error {
		quantized, err := s.Run(images[i])
		if err != nil {
			return err
		}
		logits[i] = make([]float32, len(quantized))
		n.Classifier().Scaled(logits[i], quantized)
		return nil
	})
}

// eachSession calls do for 0 to images-1, each goroutine with a session of its own.
func eachSession(ctx context.Context, plan *runtime.Plan, images, threads int, do func(s *runtime.Session, i int) error) error {
	sessions := make([]*runtime.Session, max(1, min(threads, images)))
	for i := range sessions {
		sessions[i] = plan.NewSession()
		defer sessions[i].Close()
	}
	return dataset.Each(ctx, len(sessions), images, nil, func(worker, i int) error { return do(sessions[worker], i) })
}
