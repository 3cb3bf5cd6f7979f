package evaluate

import (
	"cmp"
	"slices"

	"edgeclassify/calibrate/diagnose"
	"edgeclassify/internal/stats"
)

// Result is the outcome on images beside the float network. What needs true
// classes, or the float network, is nil where they are missing.
type Result struct {
	Images   int `json:"images"`
	Labelled int `json:"labelled"`
	Skipped  int `json:"skipped"`
	// OwnImages says that they are those that the model was calibrated on: on
	// others it may do worse.
	OwnImages bool         `json:"own_pictures,omitempty"`
	Top1      *stats.Share `json:"top1"`
	Top5      *stats.Share `json:"top5"`
	FloatTop1 *stats.Share `json:"float_top1"`
	FloatTop5 *stats.Share `json:"float_top5"`
	Agreement *stats.Share `json:"agreement"` // both give the same answer, see labels.Activation
	SQNR      *float64     `json:"sqnr_db"`   // of the logits of all images together
	// ByImage is the SQNR of each image's logits, nil where none has noise.
	ByImage *Distribution `json:"sqnr_db_by_picture"`
	Flips   *Flips        `json:"flips"`
	Classes []Class       `json:"classes,omitempty"` // those with labelled images, the worst first
	Seconds float64       `json:"seconds"`           // left to the caller
}

// Flips are images whose answer changes from float to int8.
type Flips struct {
	RightToWrong int `json:"right_to_wrong"`
	WrongToRight int `json:"wrong_to_right"`
	WrongToWrong int `json:"wrong_to_wrong"`
	Unlabelled   int `json:"unlabelled"`
	// McNemar is the two-sided p-value of McNemar's exact test: how likely
	// right-to-wrong and wrong-to-right differ this much by chance.
	McNemar float64 `json:"mcnemar_p"`
}

// Significant is the level of McNemar below which a difference is not put down
// to chance.
const Significant = 0.05

// Class is the outcome on the images of one true class.
type Class struct {
	Index     int    `json:"index"`
	Name      string `json:"name"`
	Images    int    `json:"images"`
	Top1      int    `json:"top1"`
	FloatTop1 int    `json:"float_top1"`
	Agree     int    `json:"agree"`
}

// Result sums up what is known of the images.
func (e *Evaluation) Result() *Result {
	r := &Result{}
	var known, labelled []verdict
	for _, v := range e.verdicts {
		switch {
		case !v.known:
			r.Skipped++
			continue
		case v.Class >= 0:
			labelled = append(labelled, v)
		}
		known = append(known, v)
	}
	r.Images, r.Labelled, r.Classes = len(known), len(labelled), e.classes(labelled)
	r.Top1, r.Top5 = shareOf(labelled, verdict.top1), shareOf(labelled, verdict.top5)
	if e.float != nil {
		r.FloatTop1, r.FloatTop5 = shareOf(labelled, verdict.floatTop1), shareOf(labelled, verdict.floatTop5)
		r.Agreement, r.SQNR, r.Flips = shareOf(known, verdict.agree), pooled(known).SQNR(), flips(known)
		r.ByImage = e.distribution()
	}
	return r
}

func (v verdict) top1() bool      { return v.Rank == 0 }
func (v verdict) top5() bool      { return 0 <= v.Rank && v.Rank < 5 }
func (v verdict) floatTop1() bool { return v.FloatRank == 0 }
func (v verdict) floatTop5() bool { return 0 <= v.FloatRank && v.FloatRank < 5 }
func (v verdict) agree() bool     { return v.Agree }

func count(verdicts []verdict, which func(verdict) bool) (n int) {
	for _, v := range verdicts {
		if which(v) {
			n++
		}
	}
	return n
}

func shareOf(verdicts []verdict, which func(verdict) bool) *stats.Share {
	return share(count(verdicts, which), len(verdicts))
}

// pooled is the noise of all verdicts together.
func pooled(verdicts []verdict) (n diagnose.Noise) {
	for _, v := range verdicts {
		n.Signal, n.Noise = n.Signal+v.Signal, n.Noise+v.Noise
	}
	return n
}

func flips(verdicts []verdict) *Flips {
	f := &Flips{}
	for _, v := range verdicts {
		switch {
		case v.Agree:
		case v.Class < 0:
			f.Unlabelled++
		case v.floatTop1():
			f.RightToWrong++
		case v.top1():
			f.WrongToRight++
		default:
			f.WrongToWrong++
		}
	}
	f.McNemar = stats.McNemar(f.WrongToRight, f.RightToWrong)
	return f
}

// classes are those of labelled images, the worst first.
func (e *Evaluation) classes(labelled []verdict) (classes []Class) {
	byClass := map[int][]verdict{}
	for _, v := range labelled {
		byClass[v.Class] = append(byClass[v.Class], v)
	}
	for class, verdicts := range byClass {
		classes = append(classes, Class{
			Index: class, Name: e.model.Classes[class].Name, Images: len(verdicts),
			Top1: count(verdicts, verdict.top1), FloatTop1: count(verdicts, verdict.floatTop1), Agree: count(verdicts, verdict.agree),
		})
	}
	slices.SortFunc(classes, compareClasses)
	return classes
}

// compareClasses puts the class first that is less often right, then the one
// that loses more to quantization.
func compareClasses(a, b Class) int {
	return cmp.Or(
		cmp.Compare(a.Top1*b.Images, b.Top1*a.Images),
		cmp.Compare((a.Top1-a.FloatTop1)*b.Images, (b.Top1-b.FloatTop1)*a.Images),
		cmp.Compare(a.Index, b.Index),
	)
}

// share is nil of nothing.
func share(n, of int) *stats.Share {
	if of == 0 {
		return nil
	}
	s := stats.ShareOf(n, of)
	return &s
}
