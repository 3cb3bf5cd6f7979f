package observe

import (
	"maps"
	"math"
	"slices"
)

// maxima counts images by the largest magnitude of a tensor's values, on a
// logarithmic scale: by number of octave/binsPerOctave.
type maxima map[int]int

const binsPerOctave = 16

func (m maxima) add(magnitude float32) {
	if magnitude > 0 {
		m[int(math.Round(binsPerOctave*math.Log2(float64(magnitude))))]++
	}
}

func (m maxima) join(other maxima) {
	for bin, n := range other {
		m[bin] += n
	}
}

// ReturnPeriod is the number of images of which one goes beyond a return level.
const ReturnPeriod = 3000

const (
	// A tail is the largest quarter of the maxima, of so many images at least.
	tailShare, leastTail = 4, 8
	// farthest is how far a return level may lie from the largest maximum.
	farthest = 2
)

// returnLevel estimates the magnitude that one of ReturnPeriod images goes beyond,
// most of which have not been seen: maxima are taken to have a Pareto tail, whose index
// is Hill's estimate. (Weissman, "Estimation of Parameters and Large Quantiles Based
// on the k Largest Observations", JASA 1978.) It is 0 for too few images.
func (m maxima) returnLevel() float64 {
	images := 0
	for _, n := range m {
		images += n
	}
	tail := images / tailShare
	if tail < leastTail {
		return 0
	}
	var octaves []float64 // of the tail and of the largest beside it
	for _, bin := range slices.Backward(slices.Sorted(maps.Keys(m))) {
		for range min(m[bin], tail+1-len(octaves)) {
			octaves = append(octaves, float64(bin)/binsPerOctave)
		}
	}
	index := 0.0 // in octaves
	for _, o := range octaves {
		index += float64(o-octaves[tail]) / float64(tail)
	}
	beyond := float64(index * math.Log(ReturnPeriod*float64(tail)/float64(images)))
	return math.Exp2(min(octaves[tail]+beyond, octaves[0]+math.Log2(farthest)))
}

// ReturnLevels are the magnitudes that one of ReturnPeriod images goes beyond, by unit;
// 0 where there were too few images to tell.
func (s *Statistics) ReturnLevels() map[string]float64 {
	levels := map[string]float64{}
	for _, o := range s.units {
		levels[o.unit.Name] = o.maxima.returnLevel()
	}
	return levels
}
