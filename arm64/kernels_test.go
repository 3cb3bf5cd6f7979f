package arm64

import (
	"testing"

	"edgeclassify/internal/kerneltest"
)

func TestKernels(t *testing.T) { kerneltest.Run(t, Kernels()) }
