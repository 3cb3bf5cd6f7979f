package calibrate

import (
	"context"
	"slices"

	"edgeclassify/int8"
	"edgeclassify/runtime"
)

// int8Logits are the real logits that the integer runtime gives for each image,
// preprocessed as by Images.Load, of which it runs as many at a time as there
// are threads.
func int8Logits(ctx context.Context, n *int8.Network, images [][]uint8, threads int) ([][]float32, error) {
	logits := make([][]float32, len(images))
	return logits, eachSession(ctx, n, len(images), threads, func(s *runtime.Session, i int) error {
		quantized, err := s.Run(images[i])
		if err != nil {
			return err
		}
		logits[i] = make([]float32, len(quantized))
		n.Logits().Scaled(logits[i], quantized)
		return nil
	})
}

// int8Means are the averages of q - zero of each channel of the named layers'
// outputs, over all images and pixels.
func int8Means(ctx context.Context, n *int8.Network, images [][]uint8, threads int, layers ...string) (map[string][]float64, error) {
	sums := make([]map[string][]int64, len(images))
	err := eachSession(ctx, n, len(images), threads, func(s *runtime.Session, i int) error {
		sums[i] = map[string][]int64{}
		for l, output := range s.Layers(images[i]) {
			if slices.Contains(layers, l.Name) {
				sums[i][l.Name] = channelSums(l, output())
			}
			if len(sums[i]) == len(layers) {
				break
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	means := map[string][]float64{}
	for i := range n.Layers {
		if l := &n.Layers[i]; slices.Contains(layers, l.Name) {
			m, count := make([]float64, l.Out.Shape.C), float64(l.Out.Shape.H*l.Out.Shape.W*len(images))
			for _, s := range sums {
				for c, v := range s[l.Name] {
					m[c] += float64(v) / count
				}
			}
			means[l.Name] = m
		}
	}
	return means, nil
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
	return EachImage(ctx, len(sessions), images, nil, func(worker, i int) error { return do(sessions[worker], i) })
}
