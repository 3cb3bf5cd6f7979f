package report

import (
	"bytes"
	"cmp"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"

	"edgeclassify/calibrate"
	"edgeclassify/evaluate"
	"edgeclassify/internal/stats"
)

//go:embed page.html teaching.html style.css
var files embed.FS

// WriteHTML writes the report as one HTML page that needs no other file and
// no script. The same report gives the same bytes.
func (r *Report) WriteHTML(w io.Writer) error {
	return writePage(w, "page.html", r.Model.Name, r, template.FuncMap{
		"amount": amount, "decibels": decibels, "gain": gain, "interval": interval,
		"number": number, "optional": optional, "shape": shape, "significant": significant, "span": span,
		"base64": base64.StdEncoding.EncodeToString,

		"arenaChart": arenaChart, "depthChart": depthChart, "histogramChart": histogramChart, "noiseChart": noiseChart, "picturesChart": picturesChart,

		"accuracy": accuracy, "chance": chance, "classes": worstFirst, "drawn": drawn, "guesses": guesses,
		"int16": rankInt16, "numbered": numbered, "steps": steps,
	})
}

// writePage writes a page by its template and the functions that this needs besides
// those of all pages.
func writePage(w io.Writer, name, model string, data any, functions template.FuncMap) error {
	style, err := files.ReadFile("style.css")
	if err != nil {
		return fmt.Errorf("report page: %w", err)
	}
	page, err := template.New(name).Funcs(functions).Funcs(template.FuncMap{
		"style": func() template.CSS { return template.CSS(style) },
		"bytes": bytesOf, "fixed": fixed, "percent": percent, "size": size,
	}).ParseFS(files, name)
	if err != nil {
		return fmt.Errorf("report page: %w", err)
	}
	var b bytes.Buffer
	if err := page.Execute(&b, data); err != nil {
		return fmt.Errorf("report page of model %s: %w", model, err)
	}
	_, err = b.WriteTo(w)
	return err
}

// A bar is a part of a line that is 100 wide.
type bar struct {
	Left, Width float64
}

// barOf is from one value to another on a line from low to high.
func barOf(from, to, low, high float64) bar {
	at := func(v float64) float64 {
		p := 100 * (v - low) / (high - low)
		if !finite(p) {
			return 0
		}
		return math.Round(100*min(max(p, 0), 100)) / 100
	}
	left, right := at(min(from, to)), at(max(from, to))
	return bar{Left: left, Width: math.Round(100*(right-left)) / 100}
}

// A step is a trial beside the kept one before it.
type step struct {
	calibrate.Trial
	First bool
	Gain  float64 // dB
	Bar   bar     // from the trial before to this one
}

// steps are the trials as a waterfall.
func steps(trials []calibrate.Trial) []step {
	low, high := math.Inf(1), math.Inf(-1)
	for _, t := range trials {
		if finite(t.MeanSQNR) {
			low, high = min(low, t.MeanSQNR), max(high, t.MeanSQNR)
		}
	}
	margin := (high - low) / 20
	low, high = low-margin, high+margin
	var out []step
	for i, t := range trials {
		before := t.MeanSQNR
		for _, b := range trials[:i] {
			if b.Kept {
				before = b.MeanSQNR
			}
		}
		out = append(out, step{Trial: t, First: i == 0, Gain: t.MeanSQNR - before, Bar: barOf(before, t.MeanSQNR, low, high)})
	}
	return out
}

// A measure is a share of pictures on a line that starts at Floor.
type measure struct {
	Name  string
	Share *stats.Share
	Bar   bar // the interval
	Dot   bar // the value
}

// accuracy lists the shares that an evaluation has.
func accuracy(e *evaluate.Result) []measure {
	all := []measure{
		{Name: "Top-1, float", Share: e.FloatTop1}, {Name: "Top-1, int8", Share: e.Top1},
		{Name: "Top-5, float", Share: e.FloatTop5}, {Name: "Top-5, int8", Share: e.Top5},
		{Name: "Agreement", Share: e.Agreement},
	}
	all = slices.DeleteFunc(all, func(m measure) bool { return m.Share == nil })
	floor := 1.0
	for _, m := range all {
		floor = min(floor, math.Floor(float64(10*m.Share.Low)-0.2)/10)
	}
	for i, m := range all {
		all[i].Bar = barOf(m.Share.Low, m.Share.High, floor, 1)
		all[i].Dot = barOf(m.Share.Value, m.Share.Value, floor, 1)
	}
	return all
}

// chance says in words what McNemar's test tells.
func chance(f *evaluate.Flips) string {
	p := f.McNemar
	switch {
	case !finite(p):
		return ""
	case f.RightToWrong+f.WrongToRight == 0:
		return "No picture became right or wrong, so accuracy is the same."
	case p >= evaluate.Significant:
		return fmt.Sprintf("Were both networks equally accurate, a difference of at least this size would come up with a probability of %s: "+
			"there is no evidence that accuracy has changed.", percent(p))
	case f.RightToWrong > f.WrongToRight:
		return fmt.Sprintf("Were both networks equally accurate, a difference of this size would be rare (probability %s): "+
			"quantization has cost accuracy.", percent(p))
	}
	return fmt.Sprintf("Were both networks equally accurate, a difference of this size would be rare (probability %s): "+
		"on these pictures the quantized network is the more accurate one.", percent(p))
}

// worstFirst sorts classes by pictures lost, then by those that disagree.
func worstFirst(e *evaluate.Result) []evaluate.Class {
	lost := func(c evaluate.Class) int {
		if e.FloatTop1 == nil {
			return c.Images - c.Top1
		}
		return c.FloatTop1 - c.Top1
	}
	return slices.SortedStableFunc(slices.Values(e.Classes), func(a, b evaluate.Class) int {
		return cmp.Or(cmp.Compare(lost(b), lost(a)), cmp.Compare(b.Images-b.Agree, a.Images-a.Agree), cmp.Compare(a.Index, b.Index))
	})
}

// A numberedLayer is known by the number that charts show.
type numberedLayer struct {
	Number int
	Layer
}

func numbered(layers []Layer) []numberedLayer {
	var out []numberedLayer
	for i, l := range layers {
		out = append(out, numberedLayer{i + 1, l})
	}
	return out
}

// drawn are the layers that have a histogram.
func drawn(layers []Layer) []numberedLayer {
	return slices.DeleteFunc(numbered(layers), func(l numberedLayer) bool {
		_, _, ok := l.extent()
		return !ok
	})
}

// An int16Layer has the gain of an int16 output as a bar, beside those of all.
type int16Layer struct {
	numberedLayer
	Bar bar
}

// ranking has the layers whose int16 output has been tried, the most useful first.
type ranking struct {
	Best, Rest []int16Layer
}

// listed is how many layers are the best of a ranking.
const listed = 12

// rankInt16 is nil where none has been tried.
func rankInt16(layers []Layer) *ranking {
	var all []int16Layer
	low, high := 0.0, 0.0
	for _, l := range numbered(layers) {
		if l.Int16 != nil {
			all = append(all, int16Layer{numberedLayer: l})
			low, high = min(low, l.Int16.Gain), max(high, l.Int16.Gain)
		}
	}
	if len(all) == 0 {
		return nil
	}
	slices.SortStableFunc(all, func(a, b int16Layer) int { return cmp.Compare(b.Int16.Gain, a.Int16.Gain) })
	for i := range all {
		all[i].Bar = barOf(0, all[i].Int16.Gain, low, high)
	}
	best := min(listed, len(all))
	return &ranking{Best: all[:best], Rest: all[best:]}
}

// guessList is what one network makes of a picture.
type guessList struct {
	Title string
	List  []judgedGuess
}

type judgedGuess struct {
	evaluate.Prediction
	Right bool
	Bar   bar
}

func guesses(title string, list []evaluate.Prediction, truth string) guessList {
	out := guessList{Title: title}
	for _, p := range list {
		out.List = append(out.List, judgedGuess{Prediction: p, Right: truth != "" && p.Class == truth, Bar: barOf(0, p.Probability, 0, 1)})
	}
	return out
}

// bytesOf is a size that fits memory.
func bytesOf(n int) string { return size(int64(n)) }
