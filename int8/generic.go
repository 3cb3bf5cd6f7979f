package int8

// Generic is the portable kernel: no assembly, any CPU.
func Generic() Kernel {
	return Kernel{
		Name:        "generic",
		Channels:    panel,
		Convolution: func(l *Layer) Convolution { return genericConv{l.Op.(*Conv)} },
		Dense:       denseGeneric,
		Max:         maxGeneric,
	}
}

// genericConv packs weights panel by panel as it goes: eight times their size
// would be too much to keep.
type genericConv struct{ *Conv }

func (c genericConv) Bytes() int   { return 0 }
func (c genericConv) Scratch() int { return c.depth() * pairs }

// The portable convolution computes a panel of output channels for one pixel
// at a time. Two channels share one 64-bit multiplication: with weights packed
// as hi<<32 + lo, the sum of x * packed holds both int32 sums, and neither can
// leave its half because Validate bounds every accumulator.
const (
	pairs = 4
	panel = 2 * pairs
)

func (genericConv) Run(t *ConvTask, part Part, scratch []int64) {
	groupOut := t.OutC / t.Groups
	for c := part.C0; c < part.C1; {
		// A panel never crosses a group: its channels share their input.
		end := min(c+panel, part.C1, (c/groupOut+1)*groupOut)
		convPanel(t, part.Y0, part.Y1, c, end, scratch)
		c = end
	}
}

// convPanel computes output channels [c0, c1), at most a panel, of rows [y0, y1).
func convPanel(t *ConvTask, y0, y1, c0, c1 int, scratch []int64) {
	depth, groupIn := t.depth(), t.InC/t.Groups
	weights := packPairs(scratch[:depth*pairs], t.Weight[c0*depth:c1*depth], depth)
	first := c0 / (t.OutC / t.Groups) * groupIn
	// In NHWC the window's pixels of one row are contiguous, and with one
	// group so are all their channels.
	run, runs := groupIn, t.KW
	if t.Groups == 1 {
		run, runs = groupIn*t.KW, 1
	}
	for y := y0; y < y1; y++ {
		for x := range t.OW {
			var sums [pairs]int64
			w := weights
			for ky := range t.KH {
				at := (y*t.StrideH+ky)*t.SrcRow + x*t.StrideW*t.InC + first
				for range runs {
					dotPairs(&sums, t.Src[at:at+run], w)
					w, at = w[run*pairs:], at+t.InC
				}
			}
			t.store(y, x, c0, c1, &sums)
		}
	}
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
	dst := t.Dst[y*t.DstRow+x*t.OutC+c0:][:c1-c0]
	var res []int8
	if t.Res != nil {
		res = t.Res[y*t.ResRow+x*t.OutC+c0:][:c1-c0]
	}
	for i := range dst {
		sum := sums[i/2]
		acc := int32(sum)
		if i%2 == 1 {
			acc = int32((sum - int64(acc)) >> 32)
		}
		var r int32
		if res != nil {
			r = int32(res[i]) * t.Residual
		}
		o := c0 + i
		dst[i] = Requantize(acc+t.Bias[o], t.Multiplier[o], t.Shift, r)
	}
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
