// Package tensor holds the geometry that float and integer networks share.
// Tensors are NHWC with N = 1.
package tensor

import "fmt"

// Shape is the shape of one activation tensor: height, width and channels.
type Shape struct {
	H int `json:"h"`
	W int `json:"w"`
	C int `json:"c"`
}

// Elements is the number of values in a tensor of this shape.
func (s Shape) Elements() int { return s.H * s.W * s.C }

func (s Shape) String() string { return fmt.Sprintf("%dx%dx%d", s.H, s.W, s.C) }

// Window is the geometry of a convolution or pooling: kernel, stride, zero
// padding and dilation, all in pixels.
type Window struct {
	KH      int `json:"kh"`
	KW      int `json:"kw"`
	StrideH int `json:"stride_h"`
	StrideW int `json:"stride_w"`
	Top     int `json:"top"`
	Left    int `json:"left"`
	Bottom  int `json:"bottom"`
	Right   int `json:"right"`
	// The distance between neighbouring values of the kernel; 0 stands for 1.
	DilationH int `json:"dilation_h,omitempty"`
	DilationW int `json:"dilation_w,omitempty"`
}

// String is the geometry without names.
func (g Window) String() string {
	s := fmt.Sprintf("{%d %d %d %d %d %d %d %d", g.KH, g.KW, g.StrideH, g.StrideW, g.Top, g.Left, g.Bottom, g.Right)
	if g.Dilated() {
		s += fmt.Sprintf(" %d %d", g.DilationH, g.DilationW)
	}
	return s + "}"
}

// Dilated says whether the kernel's values lie apart.
func (g Window) Dilated() bool { return g.DilationH > 1 || g.DilationW > 1 }

// Steps are the distances between neighbouring values of the kernel.
func (g Window) Steps() (h, w int) { return max(1, g.DilationH), max(1, g.DilationW) }

// Reach is the height and width that the kernel covers.
func (g Window) Reach() (h, w int) {
	h, w = g.Steps()
	return (g.KH-1)*h + 1, (g.KW-1)*w + 1
}

// Taps is the number of values of the kernel.
func (g Window) Taps() int { return g.KH * g.KW }

// Square returns a window of k x k with one stride and one padding on all sides.
func Square(k, stride, pad int) Window {
	return Window{KH: k, KW: k, StrideH: stride, StrideW: stride, Top: pad, Left: pad, Bottom: pad, Right: pad}
}

// Infer returns the output's height and width for an input of h x w.
func (g Window) Infer(h, w int) (oh, ow int, err error) {
	if g.KH < 1 || g.KW < 1 || g.StrideH < 1 || g.StrideW < 1 {
		return 0, 0, fmt.Errorf("kernel %dx%d with stride %dx%d: all must be positive", g.KH, g.KW, g.StrideH, g.StrideW)
	}
	if min(g.DilationH, g.DilationW) < 0 {
		return 0, 0, fmt.Errorf("dilation %dx%d must be positive", g.DilationH, g.DilationW)
	}
	rh, rw := g.Reach()
	if min(g.Top, g.Left, g.Bottom, g.Right) < 0 || max(g.Top, g.Bottom) >= rh || max(g.Left, g.Right) >= rw {
		return 0, 0, fmt.Errorf("padding %d,%d,%d,%d must be non-negative and smaller than the kernel %dx%d",
			g.Top, g.Left, g.Bottom, g.Right, rh, rw)
	}
	ph, pw := h+g.Top+g.Bottom, w+g.Left+g.Right
	if ph < rh || pw < rw {
		return 0, 0, fmt.Errorf("padded input %dx%d is smaller than the kernel %dx%d", ph, pw, rh, rw)
	}
	return (ph-rh)/g.StrideH + 1, (pw-rw)/g.StrideW + 1, nil
}
