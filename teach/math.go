package teach

// Products are rounded before they are added, as the conversions to float64 demand: a
// machine with fused operations gives the same bits.

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
