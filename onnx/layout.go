package onnx

import (
	"fmt"
	"slices"

	"edgeclassify/tensor"
)

// Planes reorders a picture of so many channels from HWC to CHW: the order of a
// model's input.
func Planes[T any](hwc []T, channels int) []T {
	return transpose(hwc, len(hwc)/channels, channels)
}

// shape is an NHWC shape as ONNX's NCHW.
func shape(s tensor.Shape) []int { return []int{1, s.C, s.H, s.W} }

// geometry is a window as attributes of convolution and pooling.
func geometry(w tensor.Window) []attribute {
	attributes := []attribute{
		integers("kernel_shape", w.KH, w.KW),
		integers("strides", w.StrideH, w.StrideW),
		integers("pads", w.Top, w.Left, w.Bottom, w.Right),
	}
	if h, wd := w.Steps(); h > 1 || wd > 1 {
		attributes = append(attributes, integers("dilations", h, wd))
	}
	return attributes
}

// averaging is geometry for an average, which has no dilation in the operator set.
func averaging(w tensor.Window, countPad bool) ([]attribute, error) {
	if h, wd := w.Steps(); h > 1 || wd > 1 {
		return nil, fmt.Errorf("an average over a window with dilation %dx%d has no ONNX form", h, wd)
	}
	count := 0
	if countPad {
		count = 1
	}
	return append(geometry(w), integer("count_include_pad", count)), nil
}

// oihw reorders weights from OHWI, for windows of so many pixels and channels.
func oihw[T any](weight []T, pixels, channels int) []T {
	dst := make([]T, 0, len(weight))
	for filter := range slices.Chunk(weight, pixels*channels) {
		dst = append(dst, transpose(filter, pixels, channels)...)
	}
	return dst
}

// transpose turns rows into columns.
func transpose[T any](matrix []T, rows, columns int) []T {
	dst := make([]T, len(matrix))
	for i, v := range matrix {
		dst[i%columns*rows+i/columns] = v
	}
	return dst
}
