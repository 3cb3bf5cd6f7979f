package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"edgeclassify/evaluate"
	"edgeclassify/internal/stats"
)

// printResult writes the outcome for people.
func printResult(w io.Writer, r *evaluate.Result) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "pictures\t%d\t%d with a known class, %d left out\n", r.Images, r.Labelled, r.Skipped)
	printShare(t, "top-1", r.Top1)
	printShare(t, "  of float", r.FloatTop1)
	printShare(t, "top-5", r.Top5)
	printShare(t, "  of float", r.FloatTop5)
	printShare(t, "agreement", r.Agreement)
	if r.SQNR != nil {
		fmt.Fprintf(t, "logit SQNR\t%.2f dB\tof all pictures together\n", *r.SQNR)
	}
	if d := r.ByImage; d != nil {
		fmt.Fprintf(t, "  worst picture\t%.2f dB\t%s\n", d.Lowest(), d.Worst)
		fmt.Fprintf(t, "  median\t%.2f dB\tdeciles: %.1f\n", d.Median(), d.Deciles[1:10])
	}
	if r.Flips != nil {
		printFlips(t, r)
	}
	fmt.Fprintf(t, "time\t%.1f s\n", r.Seconds)
	printClasses(t, r)
	return t.Flush()
}

func printShare(w io.Writer, name string, s *stats.Share) {
	if s != nil {
		fmt.Fprintf(w, "%s\t%.2f %%\t%.2f to %.2f %%, %d of %d\n", name, 100*s.Value, 100*s.Low, 100*s.High, s.Count, s.Of)
	}
}

func printFlips(w io.Writer, r *evaluate.Result) {
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
func inWords(f *evaluate.Flips) string {
	switch {
	case f.McNemar >= evaluate.Significant:
		return "no difference beyond chance"
	case f.RightToWrong > f.WrongToRight:
		return "int8 is right less often than float, by more than chance"
	default:
		return "int8 is right more often than float, by more than chance"
	}
}

func printClasses(w io.Writer, r *evaluate.Result) {
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
