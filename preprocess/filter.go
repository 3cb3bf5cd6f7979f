package preprocess

// weightBits is the fraction of a filter weight: 1 is 1<<weightBits. The
// weighted sum of 8-bit samples then fits 32 bits, overshoots of bicubic included.
const weightBits = 22

// window is the part of the source that makes one output sample.
type window struct {
	first   int     // index of the first source sample
	weights []int32 // of the samples from first on, in units of 2^-weightBits
}

// kernel returns the first pixel and the unscaled weights of output i of a resize
// from in to out pixels. Pixel x has its centre at x+1/2, output i at
// (i+1/2)*in/out; multiplied by 2*out both are integers.
type kernel func(in, out, i int) (first int, weights []int64)

// kernelOf is the kernel of a filter.
func kernelOf(filter string) kernel {
	return map[string]kernel{Bilinear: triangle, Bicubic: cubic, Nearest: nearest}[filter]
}

// newWindows returns the windows of the outputs offset to offset+n-1 when in
// pixels, held as the samples that s describes, are resized to out.
//
// The filters are Pillow's: those that are antialiased widen with the scale, so
// that shrinking averages what it drops. Subsampled planes are thought of as
// interpolated linearly to full resolution first, as JPEG decoders do; both steps
// being linear, they make one table.
//
// All arithmetic is in integers.
func newWindows(k kernel, in, out, offset, n int, s Subsampling) []window {
	windows := make([]window, n)
	for i := range windows {
		first, weights := k(in, out, offset+i)
		first, weights = s.fold(first, weights, in)
		windows[i] = window{first, normalize(weights)}
	}
	return windows
}

// span returns the range of source samples [lo, hi) that windows read.
func span(windows []window) (lo, hi int) {
	lo = windows[0].first
	for _, w := range windows {
		lo, hi = min(lo, w.first), max(hi, w.first+len(w.weights))
	}
	return lo, hi
}

// nearest takes the one pixel in which the output's centre lies.
func nearest(in, out, i int) (first int, weights []int64) {
	return (2*i + 1) * in / (2 * out), []int64{1}
}

// triangle reaches max(in/out, 1) pixels to either side.
func triangle(in, out, i int) (first int, weights []int64) {
	reach := 2 * max(in, out)
	return within(in, out, i, reach, func(d int) int64 { return int64(reach - d) })
}

// cubic is Keys' convolution with a = -1/2, which reaches twice as far as triangle.
func cubic(in, out, i int) (first int, weights []int64) {
	// Distances have 18 bits of fraction, so that 60 hold their cubes; weights, of
	// which 1 is 1<<55 first, keep 32, which leaves room for sums and for fold.
	const bits, one, spare = 18, int64(1) << 18, 23
	unit := 2 * max(in, out)
	return within(in, out, i, 2*unit, func(d int) int64 {
		x := (int64(d)<<(bits+1) + int64(unit)) / int64(2*unit)
		w := (3*x-5*one)*x*x + 2*one*one*one
		if x >= one {
			w = -(((x-5*one)*x+8*one*one)*x - 4*one*one*one)
		}
		return (w + 1<<(spare-1)) >> spare
	})
}

// within weighs the pixels whose centres are less than reach from that of output i,
// in units of 1/(2*out) pixel, by their distance.
func within(in, out, i, reach int, weigh func(distance int) int64) (first int, weights []int64) {
	centre := (2*i + 1) * in
	for x := max(0, (centre-reach)/(2*out)); x < in; x++ {
		d := (2*x+1)*out - centre
		if d >= reach {
			break
		}
		if d <= -reach {
			continue
		}
		if len(weights) == 0 {
			first = x
		}
		weights = append(weights, weigh(max(d, -d)))
	}
	return first, weights
}

// fold turns weights of pixels, from first on and out of n, into weights of
// the samples that s describes. Beyond the outermost samples the plane goes
// on unchanged.
func (s Subsampling) fold(first int, pixels []int64, n int) (int, []int64) {
	if s.Factor == 1 {
		return first, pixels
	}
	// Pixel x lies at sample (x + Lead + 1/2)/Factor - 1/2. In units of
	// 1/unit sample that is an integer; adding one sample keeps it positive.
	unit, last := 2*s.Factor, s.samples(n)-1
	position := func(x int) int { return 2*(x+s.Lead) + 1 - s.Factor + unit }
	sample := func(position int) int { return min(max(position/unit-1, 0), last) }

	start := sample(position(first))
	end := sample(position(first+len(pixels)-1)+unit) + 1
	samples := make([]int64, end-start)
	for i, w := range pixels {
		p := position(first + i)
		right := int64(p % unit)
		samples[sample(p)-start] += w * (int64(unit) - right)
		samples[sample(p+unit)-start] += w * right
	}
	return start, samples
}

// normalize scales weights to the sum 1, rounding to nearest, halves up.
func normalize(weights []int64) []int32 {
	var sum int64
	for _, w := range weights {
		sum += w
	}
	scaled := make([]int32, len(weights))
	for i, w := range weights {
		n := w<<(weightBits+1) + sum
		if n < 0 {
			n -= 2*sum - 1 // division rounds down
		}
		scaled[i] = int32(n / (2 * sum))
	}
	return scaled
}
