package teach

import "math"

// Products are rounded before they are added, as the conversions to float64 demand,
// and exp and log are made of +, -, * and / alone: a machine with fused operations, or
// with another library, gives the same bits.

// exp is e^x, within some 1e-15 of it: e^r by its series, r in [-ln 2/2, ln 2/2], times a
// power of two.
func exp(x float64) float64 {
	const (
		log2e = 1.44269504088896338700e+00
		high  = 6.93147180369123816490e-01 // ln 2 in two parts: n*high is exact
		low   = 1.90821492927058770002e-10
	)
	switch {
	case x < -700:
		return 0
	case x > 700:
		x = 700
	}
	n := math.Floor(float64(x*log2e) + 0.5)
	r := x - float64(n*high) - float64(n*low)
	sum := 0.0
	for _, c := range inverseFactorials {
		sum = float64(sum*r) + c
	}
	return sum * math.Float64frombits(uint64(int(n)+1023)<<52)
}

// inverseFactorials are 1/k! for k from 13 to 0: the series of e^r.
var inverseFactorials = [...]float64{
	1. / 6227020800, 1. / 479001600, 1. / 39916800, 1. / 3628800, 1. / 362880, 1. / 40320, 1. / 5040, 1. / 720,
	1. / 120, 1. / 24, 1. / 6, 1. / 2, 1, 1,
}

// log is the natural logarithm of a positive number, within some 1e-15: that of the
// mantissa m by the series of the inverse hyperbolic tangent of (m-1)/(m+1).
func log(x float64) float64 {
	m, e := math.Frexp(x)
	if m < math.Sqrt2/2 {
		m, e = m*2, e-1
	}
	f := (m - 1) / (m + 1)
	square, sum := float64(f*f), 0.0
	for k := 23.0; k > 0; k -= 2 {
		sum = float64(sum*square) + 1/k
	}
	return float64(float64(2*f)*sum) + float64(float64(e)*math.Ln2)
}

// dot is the sum of products: four sums, which do not wait for each other, and then
// theirs.
func dot(a, b []float64) float64 {
	var s0, s1, s2, s3 float64
	for b = b[:len(a)]; len(a) >= 4 && len(b) >= 4; a, b = a[4:], b[4:] {
		s0 += float64(a[0] * b[0])
		s1 += float64(a[1] * b[1])
		s2 += float64(a[2] * b[2])
		s3 += float64(a[3] * b[3])
	}
	for i, v := range a {
		s0 += float64(v * b[i])
	}
	return (s0 + s1) + (s2 + s3)
}

// add adds factor times v to dst.
func add(dst []float64, factor float64, v []float64) {
	v = v[:len(dst)]
	for i := range dst {
		dst[i] += float64(factor * v[i])
	}
}
