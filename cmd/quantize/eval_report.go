package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"text/tabwriter"

	"edgeclassify/internal/stats"
	"edgeclassify/report"
)

// significant is the p-value below which a difference is not put down to
// chance.
const significant = 0.05

// tally adds up verdicts.
type tally struct {
	images, labelled, skipped int
	top1, top5                int
	floatTop1, floatTop5      int
	agree                     int
	signal, noise             float64
	flips                     report.Flips
	classes                   map[int]*report.Class
}

// report sums the verdicts up, with the classes that have labelled pictures,
// the worst first. The time is left to the caller.
func (e *evaluation) report() *report.Evaluation {
	t := tally{classes: map[int]*report.Class{}}
	for _, v := range e.verdicts {
		t.add(v)
	}
	r := &report.Evaluation{Images: t.images, Labelled: t.labelled, Skipped: t.skipped}
	r.Top1, r.Top5 = share(t.top1, t.labelled), share(t.top5, t.labelled)
	for class, c := range t.classes {
		c.Index, c.Name = class, e.plan.Network().Classes[class].Name
		r.Classes = append(r.Classes, *c)
	}
	slices.SortFunc(r.Classes, compareClasses)
	if e.float != nil {
		r.FloatTop1, r.FloatTop5 = share(t.floatTop1, t.labelled), share(t.floatTop5, t.labelled)
		r.Agreement, r.SQNR = share(t.agree, t.images), sqnr(t.signal, t.noise)
		t.flips.McNemar = stats.McNemar(t.flips.WrongToRight, t.flips.RightToWrong)
		r.Flips = &t.flips
	}
	return r
}

func (t *tally) add(v verdict) {
	if !v.known {
		t.skipped++
		return
	}
	t.images++
	t.agree += count(v.Agree)
	t.signal, t.noise = t.signal+v.Signal, t.noise+v.Noise
	t.addFlip(v)
	if v.Class < 0 {
		return
	}
	t.labelled++
	t.top1, t.top5 = t.top1+within(v.Rank, 1), t.top5+within(v.Rank, 5)
	t.floatTop1, t.floatTop5 = t.floatTop1+within(v.FloatRank, 1), t.floatTop5+within(v.FloatRank, 5)
	c := t.classes[v.Class]
	if c == nil {
		c = &report.Class{}
		t.classes[v.Class] = c
	}
	c.Images++
	c.Top1, c.FloatTop1, c.Agree = c.Top1+within(v.Rank, 1), c.FloatTop1+within(v.FloatRank, 1), c.Agree+count(v.Agree)
}

func (t *tally) addFlip(v verdict) {
	switch {
	case v.Agree:
	case v.Class < 0:
		t.flips.Unlabelled++
	case v.FloatRank == 0:
		t.flips.RightToWrong++
	case v.Rank == 0:
		t.flips.WrongToRight++
	default:
		t.flips.WrongToWrong++
	}
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}

// within counts a rank among the first n.
func within(rank, n int) int { return count(0 <= rank && rank < n) }

// compareClasses puts the class first that is less often right, then the one
// that loses more to quantization.
func compareClasses(a, b report.Class) int {
	return cmp.Or(
		cmp.Compare(a.Top1*b.Images, b.Top1*a.Images),
		cmp.Compare((a.Top1-a.FloatTop1)*b.Images, (b.Top1-b.FloatTop1)*a.Images),
		cmp.Compare(a.Index, b.Index),
	)
}

// share is nil of nothing.
func share(n, of int) *report.Share {
	if of == 0 {
		return nil
	}
	low, high := stats.Wilson(n, of)
	return &report.Share{Count: n, Of: of, Value: float64(n) / float64(of), Low: low, High: high}
}

// sqnr is the signal-to-noise ratio in dB, nil where it is not finite.
func sqnr(signal, noise float64) *float64 {
	if signal == 0 || noise == 0 {
		return nil
	}
	v := 10 * math.Log10(signal/noise)
	return &v
}

// printEvaluation writes an evaluation for people.
func printEvaluation(w io.Writer, r *report.Evaluation) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "pictures\t%d\t%d with a known class, %d left out\n", r.Images, r.Labelled, r.Skipped)
	printShare(t, "top-1", r.Top1)
	printShare(t, "  of float", r.FloatTop1)
	printShare(t, "top-5", r.Top5)
	printShare(t, "  of float", r.FloatTop5)
	printShare(t, "agreement", r.Agreement)
	if r.SQNR != nil {
		fmt.Fprintf(t, "logit SQNR\t%.2f dB\n", *r.SQNR)
	}
	if r.Flips != nil {
		printFlips(t, r)
	}
	fmt.Fprintf(t, "time\t%.1f s\n", r.Seconds)
	printClasses(t, r)
	return t.Flush()
}

func printShare(w io.Writer, name string, s *report.Share) {
	if s != nil {
		fmt.Fprintf(w, "%s\t%.2f %%\t%.2f to %.2f %%, %d of %d\n", name, 100*s.Value, 100*s.Low, 100*s.High, s.Count, s.Of)
	}
}

func printFlips(w io.Writer, r *report.Evaluation) {
	f := r.Flips
	if f.Unlabelled > 0 {
		fmt.Fprintf(w, "flips\t%d\tof unknown class\n", f.Unlabelled)
	}
	if r.Labelled == 0 {
		return
	}
	fmt.Fprintf(w, "flips\t%d\tright to wrong\n\t%d\twrong to right\n\t%d\twrong to another wrong\n", f.RightToWrong, f.WrongToRight, f.WrongToWrong)
	fmt.Fprintf(w, "McNemar\tp = %.2g\t%s\n", f.McNemar, inWords(f))
}

// inWords says what McNemar's test means.
func inWords(f *report.Flips) string {
	switch {
	case f.McNemar >= significant:
		return "no difference beyond chance"
	case f.RightToWrong > f.WrongToRight:
		return "int8 is right less often than float, by more than chance"
	default:
		return "int8 is right more often than float, by more than chance"
	}
}

func printClasses(w io.Writer, r *report.Evaluation) {
	if len(r.Classes) == 0 {
		return
	}
	float := r.FloatTop1 != nil
	header := "\nclass\tpictures\ttop-1"
	if float {
		header += "\tof float\tagreement"
	}
	fmt.Fprintln(w, header+"\tname")
	for _, c := range r.Classes {
		percent := func(n int) string { return fmt.Sprintf("%.1f %%", 100*float64(n)/float64(c.Images)) }
		fmt.Fprintf(w, "%d\t%d\t%s", c.Index, c.Images, percent(c.Top1))
		if float {
			fmt.Fprintf(w, "\t%s\t%s", percent(c.FloatTop1), percent(c.Agree))
		}
		fmt.Fprintf(w, "\t%s\n", c.Name)
	}
}
