// Package elementary holds functions whose every bit is the same on all machines: they
// are made of +, -, *, / and square roots alone, and products are rounded before they are
// added, as the conversions to float64 demand. Those of package math differ in the last
// bit from one architecture to another, where they are assembly or fused operations.
package elementary

import "math"

// Exp is e^x, within some 1e-15 of it: e^r by its series, r in [-ln 2/2, ln 2/2], times a
// power of two.
func Exp(x float64) float64 {
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
	return float64(sum * math.Float64frombits(uint64(int(n)+1023)<<52))
}

// inverseFactorials are 1/k! for k from 13 to 0: the series of e^r.
var inverseFactorials = [...]float64{
	1. / 6227020800, 1. / 479001600, 1. / 39916800, 1. / 3628800, 1. / 362880, 1. / 40320, 1. / 5040, 1. / 720,
	1. / 120, 1. / 24, 1. / 6, 1. / 2, 1, 1,
}

// Log is the natural logarithm of a positive number, within some 1e-15: that of the
// mantissa m by the series of the inverse hyperbolic tangent of (m-1)/(m+1).
func Log(x float64) float64 {
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

// Tanh is the hyperbolic tangent, within some 1e-15.
func Tanh(x float64) float64 {
	e := Exp(-2 * math.Abs(x))
	return math.Copysign((1-e)/(1+e), x)
}

// Erf is the error function, within some 1e-15: beyond 6 it is 1, before it the series
// 2/sqrt(pi) * e^(-x^2) * sum of 2^n x^(2n+1) / (1*3*...*(2n+1)), whose terms have one sign.
func Erf(x float64) float64 {
	a := math.Abs(x)
	if a > 6 {
		return math.Copysign(1, x)
	}
	square := float64(a * a)
	sum, term := a, a
	for n := 3.0; term > sum*0x1p-54; n += 2 {
		term = float64(term * float64(2*square/n))
		sum += term
	}
	return math.Copysign(min(1, 2/math.Sqrt(math.Pi)*Exp(-square)*sum), x)
}
