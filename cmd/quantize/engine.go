package main

import (
	"context"
	"slices"

	"edgeclassify/calibrate"
	"edgeclassify/int8"
	"edgeclassify/runtime"
)

// engine is the integer runtime as the quantizer asks for it, with the given
// number of pictures at a time.
type engine int

// Logits and Means are those of calibrate.Engine.
func (e engine) Logits(ctx context.Context, n *int8.Network, pictures [][]uint8) ([][]float32, error) {
	out := make([][]float32, len(pictures))
	return out, e.each(ctx, n, len(pictures), func(s *runtime.Session, i int) error {
		logits, err := s.Run(pictures[i])
		if err != nil {
			return err
		}
		out[i] = make([]float32, len(logits))
		n.Logits().Scaled(out[i], logits)
		return nil
	})
}

func (e engine) Means(ctx context.Context, n *int8.Network, pictures [][]uint8, layers ...string) (map[string][]float64, error) {
	sums := make([]map[string][]int64, len(pictures))
	err := e.each(ctx, n, len(pictures), func(s *runtime.Session, i int) error {
		sums[i] = map[string][]int64{}
		for l, output := range s.Layers(pictures[i]) {
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
			m, count := make([]float64, l.Out.Shape.C), float64(l.Out.Shape.H*l.Out.Shape.W*len(pictures))
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

// each calls do for every picture with a session of its own goroutine.
func (e engine) each(ctx context.Context, n *int8.Network, pictures int, do func(s *runtime.Session, i int) error) error {
	plan, err := runtime.Compile(n, runtime.Options{Threads: 1})
	if err != nil {
		return err
	}
	sessions := make([]*runtime.Session, min(int(e), pictures))
	for i := range sessions {
		sessions[i] = plan.NewSession()
		defer sessions[i].Close()
	}
	return calibrate.EachImage(ctx, len(sessions), pictures, nil, func(worker, i int) error { return do(sessions[worker], i) })
}
