package int8

import (
	"fmt"
	"math"

	"edgeclassify/tensor"
)

// Reference runs the network on an RGB picture of the input's shape and
// returns the logits: the plain definition of every operation, slow and
// obvious. Visit, if not nil, sees every layer's output; its values may be kept.
// The network must be valid.
func (n *Network) Reference(rgb []uint8, visit func(l *Layer, values []int32)) ([]int32, error) {
	if err := checkLen("the picture", len(rgb), n.Input.Shape.Elements()); err != nil {
		return nil, fmt.Errorf("int8: %w", err)
	}
	image := make([]int32, len(rgb))
	for i, p := range rgb {
		image[i] = int32(p) - 128
	}
	values := map[string][]int32{InputName: image}
	tensors := map[string]*Tensor{InputName: &n.Input}
	for i := range n.Layers {
		l := &n.Layers[i]
		src, in := values[l.Inputs[0]], tensors[l.Inputs[0]]
		var out []int32
		switch op := l.Op.(type) {
		case *Conv:
			var residual []int32
			if op.Residual != 0 {
				residual = values[l.Inputs[1]]
			}
			out = op.reference(src, in, residual, &l.Out)
		case *MaxPool:
			out = op.reference(src, in.Shape, l.Out.Shape)
		case *AveragePool:
			out = op.reference(src, in, l.Out.Shape)
		case GlobalAveragePool:
			out = op.reference(src, in)
		case *Dense:
			out = op.reference(src)
		}
		if visit != nil {
			visit(l, out)
		}
		values[l.Name], tensors[l.Name] = out, &l.Out
	}
	return values[n.Layers[len(n.Layers)-1].Name], nil
}

func (c *Conv) reference(src []int32, in *Tensor, residual []int32, to *Tensor) []int32 {
	out := to.Shape
	dst := make([]int32, out.Elements())
	low, high := to.Limits()
	groupIn, groupOut := c.InC/c.Groups, c.OutC/c.Groups
	for y := range out.H {
		for x := range out.W {
			for o := range c.OutC {
				acc := c.Bias[o]
				first := o / groupOut * groupIn
				w := c.Weight[o*c.depth():]
				for ky := range c.KH {
					for kx := range c.KW {
						iy, ix := y*c.StrideH-c.Top+ky, x*c.StrideW-c.Left+kx
						inside := iy >= 0 && iy < in.Shape.H && ix >= 0 && ix < in.Shape.W
						for i := range groupIn {
							q := int32(in.ZeroAt(first + i))
							if inside {
								q = src[(iy*in.Shape.W+ix)*c.InC+first+i]
							}
							acc += q * int32(w[(ky*c.KW+kx)*groupIn+i])
						}
					}
				}
				at := (y*out.W+x)*c.OutC + o
				var r int32
				if residual != nil {
					r = ScaleResidual(residual[at], c.Residual, c.ResidualShift)
				}
				dst[at] = RequantizeWithin(acc, c.Multiplier[o], c.Shift, r, low, high)
			}
		}
	}
	return dst
}

// inside calls f for every pixel of the window at output (y, x) that lies in
// the plane.
func inside(w tensor.Window, in tensor.Shape, y, x int, f func(iy, ix int)) {
	for iy := max(0, y*w.StrideH-w.Top); iy < min(in.H, y*w.StrideH-w.Top+w.KH); iy++ {
		for ix := max(0, x*w.StrideW-w.Left); ix < min(in.W, x*w.StrideW-w.Left+w.KW); ix++ {
			f(iy, ix)
		}
	}
}

func (p *MaxPool) reference(src []int32, in, out tensor.Shape) []int32 {
	dst := make([]int32, out.Elements())
	for y := range out.H {
		for x := range out.W {
			for c := range out.C {
				m := int32(math.MinInt16)
				inside(p.Window, in, y, x, func(iy, ix int) { m = max(m, src[(iy*in.W+ix)*in.C+c]) })
				dst[(y*out.W+x)*out.C+c] = m
			}
		}
	}
	return dst
}

func (p *AveragePool) reference(src []int32, in *Tensor, out tensor.Shape) []int32 {
	dst := make([]int32, out.Elements())
	zero := int32(in.ZeroAt(0))
	for y := range out.H {
		for x := range out.W {
			for c := range out.C {
				var sum, count int32
				inside(p.Window, in.Shape, y, x, func(iy, ix int) {
					sum += src[(iy*in.Shape.W+ix)*in.Shape.C+c] - zero
					count++
				})
				if p.CountPad {
					count = int32(p.KH * p.KW)
				}
				dst[(y*out.W+x)*out.C+c] = Average(sum, count) + zero
			}
		}
	}
	return dst
}

func (GlobalAveragePool) reference(src []int32, in *Tensor) []int32 {
	dst := make([]int32, in.Shape.C)
	for i, q := range src {
		dst[i%in.Shape.C] += q - int32(in.ZeroAt(0))
	}
	return dst
}

func (d *Dense) reference(src []int32) []int32 {
	dst := make([]int32, d.Out)
	for o := range dst {
		dst[o] = d.Bias[o]
		for i, x := range src {
			dst[o] += x * int32(d.Weight[o*d.In+i])
		}
	}
	return dst
}
