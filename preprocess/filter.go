package preprocess

// weightBits is the fraction of a filter weight: 1 is 1<<weightBits. The
// weighted sum of 8-bit samples then just fits 32 bits.
const weightBits = 22

// window is the part of the source that makes one output sample.
type window struct {
	first   int      // index of the first source sample
	weights []uint32 // of the samples from first on, in units of 2^-weightBits
}

// newWindows returns the windows of the outputs offset to offset+n-1 when in
// pixels, held as the samples that s describes, are resized to out.
//
// The filter is Pillow's BILINEAR: a triangle as wide as the scale, at least
// two pixels, so that shrinking averages what it drops. Subsampled planes are
// thought of as interpolated linearly to full resolution first, as JPEG
// decoders do; both steps being linear, they make one table.
//
// All arithmetic is exact until each weight is rounded, once.
func newWindows(in, out, offset, n int, s Subsampling) []window {
	windows := make([]window, n)
	for i := range windows {
		first, weights := triangle(in, out, offset+i)
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

// triangle returns the first pixel and the unscaled weights of output i of a
// resize from in to out pixels. Pixel x has its centre at x+1/2, output i at
// (i+1/2)*in/out, and the triangle reaches max(in/out, 1) to either side;
// multiplied by 2*out all of these are integers.
func triangle(in, out, i int) (first int, weights []int64) {
	reach, centre := 2*max(in, out), (2*i+1)*in
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
		weights = append(weights, int64(reach-max(d, -d)))
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

// normalize scales weights to the sum 1, rounding to nearest.
func normalize(weights []int64) []uint32 {
	var sum int64
	for _, w := range weights {
		sum += w
	}
	scaled := make([]uint32, len(weights))
	for i, w := range weights {
		scaled[i] = uint32((w<<(weightBits+1) + sum) / (2 * sum))
	}
	return scaled
}
