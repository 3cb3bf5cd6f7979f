//go:build !purego

package amd64

import (
	"testing"

	"edgeclassify/internal/kerneltest"
)

func TestKernels(t *testing.T) { kerneltest.Run(t, Kernels()) }

func FuzzKernels(f *testing.F) { kerneltest.Fuzz(f, Kernels()) }
