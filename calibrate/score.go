package calibrate

import (
	"slices"

	"edgeclassify/calibrate/diagnose"
	"edgeclassify/labels"
)

// deviation is how an image's logits differ from the float network's.
type deviation struct {
	diagnose.Noise
	agrees bool // the answer is the same
}

func newDeviation(a labels.Activation, exact, logits []float32) deviation {
	return deviation{diagnose.NoiseOf(exact, logits), first(a.Answers(exact)) == first(a.Answers(logits))}
}

func first(answers []float32) int { return slices.Index(answers, slices.Max(answers)) }

// noiseless is the SQNR, in dB, of logits without noise: more than any network's.
const noiseless = 150.0

// sqnr is the signal-to-quantization-noise ratio in dB.
func (d deviation) sqnr() float64 {
	if d.Signal > 0 && d.Noise.Noise > 0 {
		return min(noiseless, *d.SQNR())
	}
	return noiseless
}

// score says how good a network is on images.
type score struct {
	meanSQNR  float64 // what the search wants more of, in dB; of the images, so that none outweighs all others
	agreement float64 // share of images with the float network's answer
}

// newScore judges a network by some images, or the first of them.
func newScore(images []deviation) (s score) {
	for _, d := range images {
		s.meanSQNR += d.sqnr()
		if d.agrees {
			s.agreement++
		}
	}
	s.meanSQNR /= float64(len(images))
	s.agreement /= float64(len(images))
	return s
}
