package int8_test

import (
	"testing"

	"edgeclassify/int8"
	"edgeclassify/internal/kerneltest"
)

func TestGenericKernel(t *testing.T) { kerneltest.Run(t, []int8.Kernel{int8.Generic()}) }

func FuzzGenericKernel(f *testing.F) { kerneltest.Fuzz(f, []int8.Kernel{int8.Generic()}) }
