//go:build !amd64 || purego

package sgemm

func winogradIn([]float32, int, []float32, int, int) bool { return false }

func winogradOut(_, _ *[4][]float32, _ []float32, _ int, _ Limits) bool { return false }
