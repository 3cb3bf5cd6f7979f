package tile

import "edgeclassify/int8"

// vector is a 1x1 convolution of a single pixel, as in squeeze-excite: a matrix times a
// vector. Tiles would compute pixels that are not there.
type vector struct {
	convInt16
	weights []int8.Value // rows of whole Vectors
}

// vector is that of a layer; nil where it has more pixels or there is no code for it.
func (m *Micro) vector(l *int8.Layer) *vector {
	c, out := l.Op.(*int8.Conv), l.Out.Shape
	if m.DenseInt8 == nil || c.Groups > 1 || c.KH*c.KW > 1 || out.H*out.W > 1 {
		return nil
	}
	return &vector{convInt16: convInt16{Conv: Conv{conv: c, micro: m}, out: &l.Out}}
}

// stride is the bytes of a row.
func (v *vector) stride() int { return ceil(v.conv.InC, Vector) * Vector }

// Bytes implements int8.Convolution.
func (v *vector) Bytes() int { return v.conv.OutC * (v.stride() + 4) }

// Scratch implements int8.Convolution.
func (v *vector) Scratch() int { return ceil(v.conv.OutC, 2) }

// Pack implements int8.Convolution.
func (v *vector) Pack(memory []int8.Value) {
	c := v.conv
	v.weights, v.bias = memory[:c.OutC*v.stride()], make([]int32, c.OutC)
	for o := range v.bias {
		row := c.Weight[o*c.InC:][:c.InC]
		copy(v.weights[o*v.stride():], row)
		v.bias[o] = c.Bias[o] - int32(v.micro.offset())*sum(row)
	}
}

// Run implements int8.Convolution.
func (v *vector) Run(t *int8.ConvTask, part int8.Part, scratch []int64) {
	n := part.C1 - part.C0
	if n == 0 || part.Y0 == part.Y1 {
		return
	}
	sums := view[int32](scratch)[:n]
	v.micro.DenseInt8(DenseArgs{
		Dst: pointer(sums), Src: pointer(t.Src[:t.InC]), Weights: pointer(v.weights[part.C0*v.stride() : part.C1*v.stride()]),
		Rows: n, Length: v.stride(), Stride: v.stride(),
	})
	v.store(t, 0, 0, part.C0, sums, nil)
}
