package evaluate

import (
	"math"
	"path/filepath"

	"edgeclassify/calibrate/diagnose"
)

// Distribution is how the SQNR, in dB, differs from image to image: the logits of
// all images together hide the image that a range clips.
type Distribution struct {
	Worst     string             `json:"worst"`     // the image with the lowest
	Deciles   [11]float64        `json:"deciles"`   // the lowest, what a tenth of the images and so on are not above, the highest
	Histogram diagnose.Histogram `json:"histogram"` // of images, in bins of 1 dB
}

// Lowest is the SQNR of the worst image.
func (d *Distribution) Lowest() float64 { return d.Deciles[0] }

// Median is the SQNR that half of the images are not above.
func (d *Distribution) Median() float64 { return d.Deciles[5] }

// distribution is that of the images with noise, nil where there are none.
func (e *Evaluation) distribution() *Distribution {
	ranked := e.lowest(len(e.verdicts))
	if len(ranked) == 0 {
		return nil
	}
	sqnr := func(i int) float64 { return *e.verdicts[ranked[i]].sqnr() }
	d := &Distribution{Worst: filepath.Base(e.images.Files[ranked[0]])}
	for i := range d.Deciles {
		d.Deciles[i] = sqnr(max(0, (i*len(ranked)+9)/10-1)) // nearest rank
	}
	from, to := math.Floor(d.Deciles[0]), math.Floor(d.Deciles[10])
	d.Histogram = diagnose.Histogram{From: from, Width: 1, Counts: make([]uint64, int(to-from)+1)}
	for i := range ranked {
		d.Histogram.Counts[int(math.Floor(sqnr(i))-from)]++
	}
	return d
}
