// Package stats holds the statistics of shares: how sure one is, and whether
// two differ.
package stats

import (
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// Confidence is the probability with which an interval of Wilson covers the
// true share.
const Confidence = 0.95

// Wilson returns the Wilson score interval, without continuity correction, of
// a share of which count among n were seen: from 0 to 1 where n is 0.
//
// Source: Wilson, "Probable inference, the law of succession, and statistical
// inference", JASA 22 (1927) 209-212.
func Wilson(count, n int) (low, high float64) {
	if n == 0 {
		return 0, 1
	}
	z := distuv.UnitNormal.Quantile((1 + Confidence) / 2)
	trials, share := float64(n), float64(count)/float64(n)
	weight := z * z / trials
	centre := (share + weight/2) / (1 + weight)
	half := z * math.Sqrt(float64(share*(1-share)/trials)+float64(weight/trials/4)) / (1 + weight)
	return max(centre-half, 0), min(centre+half, 1)
}

// Share is a count of which there could have been so many, with its 95 % Wilson score
// interval.
type Share struct {
	Count int     `json:"count"`
	Of    int     `json:"of"`
	Value float64 `json:"value"` // 0 where Of is
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

// ShareOf is the share of count in of.
func ShareOf(count, of int) Share {
	low, high := Wilson(count, of)
	return Share{count, of, float64(count) / float64(max(of, 1)), low, high}
}

// McNemar returns the two-sided p-value of McNemar's exact test for pairs of
// yes and no, of which gained went from no to yes and lost from yes to no: how
// likely the two numbers differ this much where both ways are equally likely.
// It is 1 where nothing changed.
//
// Source: McNemar, "Note on the sampling error of the difference between
// correlated proportions or percentages", Psychometrika 12 (1947) 153-157; the
// exact form doubles the tail of the binomial distribution.
func McNemar(gained, lost int) float64 {
	if gained == lost {
		return 1
	}
	fair := distuv.Binomial{N: float64(gained + lost), P: 0.5}
	return min(2*fair.CDF(float64(min(gained, lost))), 1)
}
