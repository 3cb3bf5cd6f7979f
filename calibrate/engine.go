package calibrate

import (
	"context"
	"slices"

	"edgeclassify/calibrate/dataset"
	"edgeclassify/int8"
	"edgeclassify/runtime"
	"edgeclassify/tensor"
)

// int8Logits are the real logits that the integer runtime gives for each image,
// preprocessed, of which it runs as many at a time as there
// are threads.
func int8Logits(ctx context.Context, n *int8.Network, images [][]uint8, threads int) ([][]float32, error) {
	logits := make([][]float32, len(images))
	return logits, eachSession(ctx, n, len(images), threads, func(s *runtime.Session, i int) error {
		quantized, err := s.Run(images[i])
		if err != nil {
			return err
		}
		logits[i] = make([]float32, len(quantized))
		n.Classifier().Scaled(logits[i], quantized)
		return nil
	})
}

// int8Means are the averages of q - zero of each channel of tensors, over all
// images and pixels.
func int8Means(ctx context.Context, n *int8.Network, images [][]uint8, threads int, tensors []tensor.ID) ([][]float64, error) {
	sums := make([][][]int64, len(images)) // by image and tensor
	err := eachSession(ctx, n, len(images), threads, func(s *runtime.Session, i int) (err error) {
		sums[i], err = sumsOf(n, s, images[i], tensors)
		return err
	})
	if err != nil {
		return nil, err
	}
	means := make([][]float64, len(tensors))
	for at, id := range tensors {
		shape := n.Tensor(id).Shape
		means[at] = make([]float64, shape.C)
		count := float64(shape.H * shape.W * len(images))
		for _, s := range sums {
			for c, v := range s[at] {
				means[at][c] += float64(v) / count
			}
		}
	}
	return means, nil
}

// sumsOf are the sums of q - zero of each channel of tensors.
func sumsOf(n *int8.Network, s *runtime.Session, image []uint8, tensors []tensor.ID) ([][]int64, error) {
	layers, err := s.Layers(image)
	if err != nil {
		return nil, err
	}
	sums, layer, last := make([][]int64, len(tensors)), 0, slices.Max(tensors)
	for l, output := range layers {
		layer++
		id := tensor.ID(layer)
		if at := slices.Index(tensors, id); at >= 0 {
			sums[at] = channelSums(l, output())
		}
		if id == last {
			break
		}
	}
	return sums, nil
}

// channelSums adds up q - zero of each channel.
func channelSums(l *int8.Layer, values []int32) []int64 {
	sums := make([]int64, l.Out.Shape.C)
	for i, q := range values {
		sums[i%len(sums)] += int64(q)
	}
	for c := range sums {
		sums[c] -= int64(len(values)/len(sums)) * int64(l.Out.ZeroAt(c))
	}
	return sums
}

// eachSession calls do for 0 to images-1, each goroutine with a session of its own.
func eachSession(ctx context.Context, n *int8.Network, images, threads int, do func(s *runtime.Session, i int) error) error {
	plan, err := runtime.Compile(n, runtime.Options{Threads: 1})
	if err != nil {
		return err
	}
	sessions := make([]*runtime.Session, max(1, min(threads, images)))
	for i := range sessions {
		sessions[i] = plan.NewSession()
		defer sessions[i].Close()
	}
	return dataset.Each(ctx, len(sessions), images, nil, func(worker, i int) error { return do(sessions[worker], i) })
}
