package kerneltest

import (
	"fmt"
	"math"
	"math/bits"

	"edgeclassify/int8"
	"edgeclassify/tensor"
)

// geometry is the shape of a convolution. In and Out are the channels of one
// group.
type geometry struct {
	OH, OW, KH, KW, StrideH, StrideW, Groups, In, Out int
}

// depth is the number of inputs of one output.
func (g geometry) depth() int { return g.KH * g.KW * g.In }

// products is the number of multiplications.
func (g geometry) products() int { return g.OH * g.OW * g.Groups * g.Out * g.depth() }

// trial is a convolution, the split of its work, and its buffers. The residual
// may be the output's memory.
type trial struct {
	formats
	layer   int8.Layer
	task    int8.ConvTask
	parts   []int8.Part
	dst     [2]*buffer // the second holds low bytes; nil if the output is int8
	buffers []*buffer
}

// convolution runs a geometry on int8 tensors, with all else drawn from the
// seed, and compares all memory after each part.
func (b *bench) convolution(g geometry, seed uint64) error {
	t, err := b.trial(newSource(seed), g, narrow())
	if err != nil {
		return err
	}
	return b.run(t, g, seed, b.kernel.Convolution(&t.layer))
}

// convInt16 is convolution with an int16 tensor at least.
func (b *bench) convInt16(g geometry, seed uint64) error {
	random := newSource(seed)
	t, err := b.trial(random, g, random.formats())
	if err != nil {
		return err
	}
	return b.run(t, g, seed, b.kernel.ConvolutionInt16(&t.layer, &t.in))
}

func (b *bench) run(t *trial, g geometry, seed uint64, convolution int8.Convolution) error {
	random := newSource(seed + 1)
	size := convolution.Bytes()
	convolution.Pack(int8.Aligned(convolution.Bytes()))
	if got := convolution.Bytes(); got != size {
		return fmt.Errorf("%d bytes when packed, %d before", got, size)
	}
	scratch, err := b.scratch.place(random, "scratch", 8*convolution.Scratch())
	if err != nil {
		return err
	}
	outputs := reference(&t.task, &t.layer.Out, b.flip)
	for _, buffer := range t.buffers {
		buffer.expect()
	}
	want := planes{t.dst[0].expect(), nil, b.flip}
	if t.dst[1] != nil {
		want.low = t.dst[1].expect()
	}
	for _, part := range t.parts {
		for y := part.Y0; y < part.Y1; y++ {
			for x := range g.OW {
				for c := part.C0; c < part.C1; c++ {
					want.set(y*t.task.DstRow+x*t.task.DstStep+c, outputs[(y*g.OW+x)*t.task.OutC+c])
				}
			}
		}
		random.fill(scratch.data)
		scratch.expect()
		if err := caught(func() { convolution.Run(&t.task, part, view[int64](scratch.data)) }); err != nil {
			return fmt.Errorf("%v, part %+v: %w", t, part, err)
		}
		copy(scratch.data, scratch.want[scratch.offset:]) // its contents are the kernel's
		for _, buffer := range append(t.buffers, scratch) {
			if err := buffer.check(); err != nil {
				return fmt.Errorf("%v, part %+v: %w", t, part, err)
			}
		}
	}
	return nil
}

func (t *trial) String() string {
	c := t.task.Conv
	return fmt.Sprintf("%v, window %v, shift %d, residual ratio %d >> %d, source rows of %d with pixels of %d, residual of %d with %d, output of %d with %d",
		&t.formats, c.Window, c.Shift, c.Residual, c.ResidualShift, t.task.SrcRow, t.task.SrcStep, t.task.ResRow, t.task.ResStep, t.task.DstRow, t.task.DstStep)
}

// trial draws everything that the geometry and the formats leave open.
func (b *bench) trial(random *source, g geometry, f formats) (*trial, error) {
	weights, err := b.weights.place(random, "weights", g.Groups*g.Out*g.depth())
	if err != nil {
		return nil, err
	}
	c := random.conv(g, weights.data, &f)
	f.out.Shape = tensor.Shape{H: g.OH, W: g.OW, C: c.OutC}
	t := &trial{
		formats: f,
		layer:   int8.Layer{Name: "trial", Op: c, Out: f.out},
		parts:   random.parts(g, c.Unit(b.kernel.NR)),
		buffers: []*buffer{weights},
	}
	t.task = int8.ConvTask{Conv: c, OH: g.OH, OW: g.OW}
	if err := b.bindSource(random, g, t); err != nil {
		return nil, err
	}
	return t, b.bindOutput(random, g, t)
}

// bindSource makes a source that ends with its last window, but for what may
// be read ahead. Between its rows lies the rest of a plane, or nothing; its pixels may
// lie apart.
func (b *bench) bindSource(random *source, g geometry, t *trial) error {
	kh, kw := t.task.Reach()
	t.task.SrcStep = t.task.InC + random.gap()
	window := ((g.OW-1)*g.StrideW+kw-1)*t.task.SrcStep + t.task.InC
	t.task.SrcRow = window + pick(random, 0, 0, 1, t.task.InC, t.task.SrcStep-t.task.InC, random.IntN(100))
	n := ((g.OH-1)*g.StrideH+kh-1)*t.task.SrcRow + window
	src, err := b.src.place(random, "source", n+int8.ReadAhead)
	if err != nil {
		return err
	}
	t.task.Src = src.data[:n]
	t.buffers = append(t.buffers, src)
	if t.in.Type == int8.Int16 {
		low, err := b.srcLow.place(random, "low source", n+int8.ReadAhead)
		if err != nil {
			return err
		}
		t.task.SrcLow = low.data[:n]
		t.buffers = append(t.buffers, low)
	}
	random.activations16(planes{t.task.Src, t.task.SrcLow, b.flip}, &t.in)
	return nil
}

// bindOutput makes the output and the residual: none, one with rows of its
// own, or the output itself. The output's pixels may lie apart: then the output ends
// with the last one's channels.
func (b *bench) bindOutput(random *source, g geometry, t *trial) error {
	t.task.DstStep = t.task.OutC + random.gap()
	width := (g.OW-1)*t.task.DstStep + t.task.OutC
	t.task.DstRow = g.OW*t.task.DstStep + pick(random, 0, 0, 1, random.IntN(100))
	dst, err := b.dst.place(random, "output", (g.OH-1)*t.task.DstRow+width)
	if err != nil {
		return err
	}
	t.dst[0], t.task.Dst = dst, dst.data
	t.buffers = append(t.buffers, dst)
	if t.out.Type == int8.Int16 {
		low, err := b.dstLow.place(random, "low output", (g.OH-1)*t.task.DstRow+width)
		if err != nil {
			return err
		}
		t.dst[1], t.task.DstLow = low, low.data
		t.buffers = append(t.buffers, low)
	}
	if t.task.Residual == 0 {
		return nil
	}
	t.task.ResRow, t.task.ResStep, t.task.Res, t.task.ResLow = t.task.DstRow, t.task.DstStep, t.task.Dst, t.task.DstLow
	if !random.chance(2) || t.res.Type != t.out.Type {
		if random.chance(2) {
			t.task.ResStep = t.task.OutC + random.gap()
			t.task.ResRow = g.OW*t.task.ResStep + pick(random, 0, random.IntN(100))
		}
		extent := (g.OH-1)*t.task.ResRow + (g.OW-1)*t.task.ResStep + t.task.OutC
		res, err := b.res.place(random, "residual", extent)
		if err != nil {
			return err
		}
		t.task.Res, t.task.ResLow = res.data, nil
		t.buffers = append(t.buffers, res)
		if t.res.Type == int8.Int16 {
			low, err := b.resLow.place(random, "low residual", extent)
			if err != nil {
				return err
			}
			t.task.ResLow = low.data
			t.buffers = append(t.buffers, low)
		}
	}
	random.activations16(planes{t.task.Res, t.task.ResLow, b.flip}, &t.res)
	return nil
}

// conv draws a convolution that int8.NewNetwork would take. The padding
// says where the source was laid in a plane, and kernels must not care.
// An int16 input's bound is lowered to what the weights allow.
func (s *source) conv(g geometry, weights []int8.Value, f *formats) *int8.Conv {
	c := &int8.Conv{
		Window: tensor.Window{
			KH: g.KH, KW: g.KW, StrideH: g.StrideH, StrideW: g.StrideW,
			Top: s.IntN(g.KH), Left: s.IntN(g.KW), Bottom: s.IntN(g.KH), Right: s.IntN(g.KW),
		},
		Groups: g.Groups, InC: g.Groups * g.In, OutC: g.Groups * g.Out, Weight: weights,
	}
	if s.chance(4) {
		c.DilationH, c.DilationW = s.between(1, 3), s.between(1, 3)
	}
	if s.chance(2) {
		c.Residual = pick(s, 1, 16, 37, 64, 100, 128, 1000, math.MaxInt16, int32(s.between(1, math.MaxInt16)))
		if f.res.Type == int8.Int16 {
			c.ResidualShift = uint8(s.IntN(31))
		}
	}
	var largest int64
	kind := s.IntN(weightKinds)
	for o := range c.OutC {
		w := weights[o*g.depth():][:g.depth()]
		s.weights(w, kind)
		largest = max(largest, magnitude(w))
	}
	if f.in.Type == int8.Int16 {
		f.in.Bound = min(f.in.Bound, int8.BoundFor(largest, 0, 0))
	}
	l := limits{input: highest(&f.in), output: highest(&f.out)}
	if c.Residual != 0 {
		l.residual = int64(int8.ScaleResidual(int32(highest(&f.res)), c.Residual, c.ResidualShift))
	}
	reach := largest * l.input // the largest accumulator without bias
	for reach<<(c.Shift+1) <= math.MaxInt32 && c.Shift < 24 && !s.chance(10) {
		c.Shift++
	}
	for o := range c.OutC {
		bias, multiplier := s.epilogue(weights[o*g.depth():][:g.depth()], c.Shift, l)
		c.Bias, c.Multiplier, c.Scale = append(c.Bias, bias), append(c.Multiplier, multiplier), append(c.Scale, 1)
	}
	return c
}

// limits is the largest magnitudes: of inputs, of what a residual adds, and of
// outputs.
type limits struct{ input, residual, output int64 }

// epilogue draws bias and multiplier of one output: most such that the output
// is often within its limits, some at the limits of the contract.
func (s *source) epilogue(weights []int8.Value, shift uint8, l limits) (bias, multiplier int32) {
	sum := magnitude(weights)
	if sum == 0 && shift == 0 {
		return s.brink()
	}
	room := int32(math.MaxInt32>>shift - l.input*sum)
	typical := 1 + float64(l.input*sum)/math.Sqrt(float64(len(weights)))
	bias = pick(s, 0, room, -room, int32(max(-float64(room), min(float64(room), s.NormFloat64()*typical))))

	a := (l.input*sum + max(int64(bias), -int64(bias))) << shift // the largest accumulator
	limit := int64(math.MaxInt32)
	if left := math.MaxInt32 - l.residual - int8.OneOut/2 - 1; a > left {
		limit = ((left+1)<<31 - 1) / a
	}
	wanted := float64(l.output) / 2 * int8.OneOut * math.Exp(s.NormFloat64()) / (typical + math.Abs(float64(bias))) * math.Ldexp(1, 31-int(shift))
	usual := int64(max(1, min(wanted, float64(limit))))
	ties := int64(1) << (bits.Len64(uint64(usual)) - 1) // a power of two often falls between two values
	return bias, int32(pick(s, 1, limit, ties, usual, usual))
}

// magnitude is the sum of |w|.
func magnitude(weights []int8.Value) int64 {
	var sum int64
	for _, w := range weights {
		sum += max(int64(w), -int64(w))
	}
	return sum
}

// parts splits the work by rows, by channels or by both, in any order.
func (s *source) parts(g geometry, channels int) []int8.Part {
	var parts []int8.Part
	y0 := 0
	for _, y1 := range s.cuts(g.OH, 1) {
		c0 := 0
		for _, c1 := range s.cuts(g.Groups*g.Out, channels) {
			parts = append(parts, int8.Part{Y0: y0, Y1: y1, C0: c0, C1: c1})
			c0 = c1
		}
		y0 = y1
	}
	s.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
	return parts
}

// reference is the convolution's outputs without gaps.
func reference(t *int8.ConvTask, out *int8.Tensor, flip int8.Value) []int32 {
	var outputs []int32
	low, high := out.Limits()
	for y := range t.OH {
		for x := range t.OW {
			for o := range t.OutC {
				var residual int32
				if t.Res != nil {
					res := planes{t.Res, t.ResLow, flip}
					residual = int8.ScaleResidual(res.at(y*t.ResRow+x*t.ResStep+o), t.Residual, t.ResidualShift)
				}
				q := int8.RequantizeWithin(accumulator(t, flip, y, x, o), t.Multiplier[o], t.Shift, residual, low, high)
				outputs = append(outputs, q)
			}
		}
	}
	return outputs
}

// accumulator is the biased sum of one output.
func accumulator(t *int8.ConvTask, flip int8.Value, y, x, o int) int32 {
	in := t.InC / t.Groups
	group := o / (t.OutC / t.Groups)
	w := t.Weight[o*t.KH*t.KW*in:]
	sum, src := t.Bias[o], planes{t.Src, t.SrcLow, flip}
	dh, dw := t.Steps()
	for ky := range t.KH {
		for kx := range t.KW {
			pixel := (y*t.StrideH+ky*dh)*t.SrcRow + (x*t.StrideW+kx*dw)*t.SrcStep + group*in
			for i := range in {
				sum += src.at(pixel+i) * int32(w[i])
			}
			w = w[in:]
		}
	}
	return sum
}
