package int8

// Generic is the portable kernel: no assembly, any CPU.
func Generic() Kernel {
	return Kernel{
		Name:             "generic",
		NR:               panel,
		Convolution:      newGeneric,
		ConvolutionInt16: func(l *Layer, _ *Tensor) Convolution { return genericInt16{genericConv{l.Op.(*Conv)}, &l.Out} },
		Dense:            denseGeneric,
		Max:              maxGeneric,
		Lookup:           func(dst, src []int8, table *[256]int8, r Runs) { r.Lookup(dst, src, table) },
		LookupChannels:   func(dst, src []int8, tables []*[256]int8, r Runs) { r.LookupChannels(dst, src, tables) },
		Mul:              func(dst, x, y []int8, m *Mul, z Zeros, r Runs) { r.Mul(dst, x, y, m, z, 0) },
		Add:              func(dst, x, y []int8, a *Add, z Zeros, r Runs) { r.Add(dst, x, y, a, z, 0) },
		Sum:              func(sums []int32, src []int8, count, step int) { Sum(sums, src, count, step, 0) },
		Mean:             func(dst []int8, sums []int32, m *Mean, zero int8) { m.Means(dst, sums, zero, 0) },
	}
}

func newGeneric(l *Layer) Convolution {
	c := l.Op.(*Conv)
	if c.Depthwise() {
		return &depthwise{Conv: c}
	}
	return genericConv{c}
}

// genericConv packs weights panel by panel as it goes: eight times their size
// would be too much to keep.
type genericConv struct{ *Conv }

func (c genericConv) Pack([]Value)                   {}
func (c genericConv) Bytes() int                     { return 0 }
func (c genericConv) Split(int) (rows, channels int) { return 0, 0 }
func (c genericConv) Scratch() int                   { return c.depth() * pairs }

// The portable convolution computes a panel of output channels for one pixel
// at a time. Two channels share one 64-bit multiplication: with weights packed
// as hi<<32 + lo, the sum of x * packed holds both int32 sums, and neither can
// leave its half because Validate bounds every accumulator.
const (
	pairs = 4
	panel = 2 * pairs
)

func (genericConv) Run(t *ConvTask, part Part, scratch []int64) {
	t.panels(part, func(c0, c1 int) {
		weights := t.packPanel(scratch, c0, c1)
		for y := part.Y0; y < part.Y1; y++ {
			for x := range t.OW {
				var sums [pairs]int64
				t.window(&sums, t.Src, y, x, c0, weights)
				t.store(y, x, c0, c1, &sums)
			}
		}
	})
}

// panels calls f for the output channels [c0, c1) of each panel of the part. A
// panel never crosses a group: its channels share their input.
func (t *ConvTask) panels(part Part, f func(c0, c1 int)) {
	groupOut := t.OutC / t.Groups
	for c := part.C0; c < part.C1; {
		end := min(c+panel, part.C1, (c/groupOut+1)*groupOut)
		f(c, end)
		c = end
	}
}

// packPanel packs the weights of output channels [c0, c1).
func (t *ConvTask) packPanel(scratch []int64, c0, c1 int) []int64 {
	depth := t.depth()
	return packPairs(scratch[:depth*pairs], t.Weight[c0*depth:c1*depth], depth)
}

// window adds the products of the window of output pixel (y, x) in src with
// the weights of the panel that begins at channel c0.
func (t *ConvTask) window(sums *[pairs]int64, src []int8, y, x, c0 int, weights []int64) {
	groupIn := t.InC / t.Groups
	first := c0 / (t.OutC / t.Groups) * groupIn
	run, runs := t.Runs()
	dh, dw := t.Steps()
	for ky := range t.KH {
		at := (y*t.StrideH+ky*dh)*t.SrcRow + x*t.StrideW*t.SrcStep + first
		for range runs {
			dotPairs(sums, src[at:at+run], weights)
			weights, at = weights[run*pairs:], at+dw*t.SrcStep
		}
	}
}

// genericInt16 is genericConv for int16 tensors.
type genericInt16 struct {
	genericConv
	out *Tensor
}

func (c genericInt16) Run(t *ConvTask, part Part, scratch []int64) {
	var acc [panel]int32
	t.panels(part, func(c0, c1 int) {
		weights := t.packPanel(scratch, c0, c1)
		bias := t.biasPairs(c0, c1)
		for y := part.Y0; y < part.Y1; y++ {
			for x := range t.OW {
				var sums [pairs]int64
				t.window(&sums, t.Src, y, x, c0, weights)
				for i := range sums {
					if t.SrcLow != nil {
						sums[i] <<= 8
					}
					sums[i] += bias[i]
				}
				if t.SrcLow != nil {
					t.window(&sums, t.SrcLow, y, x, c0, weights)
				}
				for i := range c1 - c0 {
					acc[i] = unpack(&sums, i)
				}
				t.StoreInt16(c.out, 0, y, x, c0, acc[:c1-c0])
			}
		}
	})
}

// biasPairs is the biases, and 128 times the weights where the source is int16, as
// in Join. They are part of packed sums, of which nothing but the total has to fit
// its half.
func (t *ConvTask) biasPairs(c0, c1 int) (bias [pairs]int64) {
	depth := t.depth()
	for o := c0; o < c1; o++ {
		b := int64(t.Bias[o])
		if t.SrcLow != nil {
			for _, w := range t.Weight[o*depth : (o+1)*depth] {
				b += 128 * int64(w)
			}
		}
		i := o - c0
		bias[i/2] += b << (i % 2 * 32)
	}
	return bias
}

// packPairs interleaves rows of depth weights, two rows a word.
func packPairs(dst []int64, rows []int8, depth int) []int64 {
	clear(dst)
	for o := 0; o*depth < len(rows); o++ {
		pair, shift := o/2, o%2*32
		for k, w := range rows[o*depth : (o+1)*depth] {
			dst[k*pairs+pair] += int64(w) << shift
		}
	}
	return dst
}

func dotPairs(sums *[pairs]int64, src []int8, weights []int64) {
	weights = weights[:len(src)*pairs]
	s0, s1, s2, s3 := sums[0], sums[1], sums[2], sums[3]
	for _, q := range src {
		x := int64(q)
		w := (*[pairs]int64)(weights)
		s0 += x * w[0]
		s1 += x * w[1]
		s2 += x * w[2]
		s3 += x * w[3]
		weights = weights[pairs:]
	}
	*sums = [pairs]int64{s0, s1, s2, s3}
}

// store requantizes one pixel's panel.
func (t *ConvTask) store(y, x, c0, c1 int, sums *[pairs]int64) {
	dst := t.Dst[y*t.DstRow+x*t.DstStep+c0:][:c1-c0]
	var res []int8
	if t.Res != nil {
		res = t.Res[y*t.ResRow+x*t.ResStep+c0:][:c1-c0]
	}
	for i := range dst {
		var r int32
		if res != nil {
			r = int32(res[i]) * t.Residual
		}
		o := c0 + i
		dst[i] = Requantize(unpack(sums, i)+t.Bias[o], t.Multiplier[o], t.Shift, r)
	}
}

// unpack is sum i of those that packPairs's weights gave.
func unpack(sums *[pairs]int64, i int) int32 {
	sum := sums[i/2]
	if i%2 == 0 {
		return int32(sum)
	}
	return int32((sum - int64(int32(sum))) >> 32)
}

func denseGeneric(d *Dense, dst []int32, src []int16, lo, hi int) {
	src = src[:d.In]
	for o := lo; o < hi; o++ {
		w := d.Weight[o*d.In:][:len(src)]
		sum := d.Bias[o]
		for i, x := range src {
			sum += int32(x) * int32(w[i])
		}
		dst[o] = sum
	}
}

func maxGeneric(dst, src []int8, n, count, dstStep, srcStep int) {
	for i := range count {
		d := dst[i*dstStep:][:n]
		for j, v := range src[i*srcStep:][:n] {
			d[j] = max(d[j], v)
		}
	}
}
