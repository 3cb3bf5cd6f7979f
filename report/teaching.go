package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"edgeclassify/preprocess"
	"edgeclassify/q8"
	"edgeclassify/runtime"
	"edgeclassify/teach"
)

// Teaching tells how a network was taught classes of its user's, and how well.
type Teaching struct {
	Model      Model           `json:"model"`
	Provenance q8.Provenance   `json:"provenance"`
	Taught     *teach.Report   `json:"taught"`
	Good       bool            `json:"good"` // it is right more often than by always naming the largest class
	Warnings   []string        `json:"warnings,omitempty"`
	Advice     []string        `json:"advice,omitempty"` // what to do next
	Seconds    TeachingSeconds `json:"seconds"`

	thumbnails map[string][]byte // JPEG files by the names of suspects
}

// TeachingSeconds are how long each part took.
type TeachingSeconds struct {
	Features float64 `json:"features"`
	Training float64 `json:"training"`
}

// Complete adds what the model that was made tells, judges it, and has photographs
// drawn that are worth a look.
func (t *Teaching) Complete(m *q8.Model, thumbnail func(name string, s preprocess.Spec) ([]byte, error)) error {
	plan, err := runtime.Compile(m.Network, runtime.Options{Threads: 1})
	if err != nil {
		return err
	}
	t.Model, t.Provenance = Model{Name: m.Name, Size: SizeOf(plan)}, m.Provenance
	t.Good = t.Taught.Accuracy.Of == 0 || t.Taught.Accuracy.Value > t.chance()
	t.advise(m)
	t.thumbnails = map[string][]byte{}
	for _, s := range t.Taught.Suspects {
		for _, name := range []string{s.Name, s.Other} {
			if name == "" {
				continue
			}
			if t.thumbnails[name], err = thumbnail(name, m.Preprocess); err != nil {
				return err
			}
		}
	}
	return nil
}

// chance is the share of the largest class, or 0 where classes are independent.
func (t *Teaching) chance() float64 {
	if t.Taught.Confusion == nil {
		return 0
	}
	largest := slices.MaxFunc(t.Taught.Classes, func(a, b teach.ClassReport) int { return cmp.Compare(a.Accuracy.Of, b.Accuracy.Of) })
	return float64(largest.Accuracy.Of) / float64(t.Taught.Accuracy.Of)
}

// enough photographs of a class are those beyond which more bring less.
const enough = 8

func (t *Teaching) advise(m *q8.Model) {
	say := func(format string, args ...any) { t.Advice = append(t.Advice, fmt.Sprintf(format, args...)) }
	if wrong := t.mislabelled(); len(wrong) > 0 {
		say("look at %s%s: photographs in the wrong folder cost more than they teach", wrong[0].Name,
			map[bool]string{true: " and the other suspects"}[len(wrong) > 1])
	}
	fewest := slices.MinFunc(t.Taught.Classes, func(a, b teach.ClassReport) int { return cmp.Compare(a.Photographs, b.Photographs) })
	if fewest.Photographs < enough {
		say("take more photographs of %q, which has %d, from all sides and where the camera will be", fewest.Label, fewest.Photographs)
	}
	for _, m := range t.mistakes() {
		if m.answer != teach.Unknown && m.count > 1 {
			say("photograph what tells %q from %q: of mistakes, that is the most frequent one", m.truth, m.answer)
			break
		}
	}
	if n := len(t.Taught.Curve); n > 1 && t.Taught.Curve[n-1].Expected {
		now, more := t.Taught.Curve[n-2], t.Taught.Curve[n-1]
		if gained := more.Accuracy - now.Accuracy; gained >= 0.005 {
			say("twice as many photographs may be right on %s instead of %s", percent(more.Accuracy), percent(now.Accuracy))
		}
	}
	if !m.Independent() && !slices.ContainsFunc(t.Taught.Classes, func(c teach.ClassReport) bool { return c.Label == teach.None }) {
		say("a folder %s, of whatever else the camera sees, tells it better from the classes than guessing does", teach.None)
	}
}

func (t *Teaching) mislabelled() (list []teach.Suspect) {
	for _, s := range t.Taught.Suspects {
		if s.Reason == teach.Mislabelled {
			list = append(list, s)
		}
	}
	return list
}

// mistake is one class taken for another.
type mistake struct {
	truth, answer string
	count         int
}

// mistakes are those of the confusion matrix, the most frequent first.
func (t *Teaching) mistakes() (pairs []mistake) {
	answers := t.answers()
	for i, row := range t.Taught.Confusion {
		for j, n := range row {
			if i != j && n > 0 {
				pairs = append(pairs, mistake{answers[i], answers[j], n})
			}
		}
	}
	slices.SortStableFunc(pairs, func(a, b mistake) int { return cmp.Compare(b.count, a.count) })
	return pairs
}

// answers are the columns of the confusion matrix.
func (t *Teaching) answers() (list []string) {
	for _, c := range t.Taught.Classes {
		list = append(list, c.Label)
	}
	if len(t.Taught.Confusion) > 0 && len(t.Taught.Confusion[0]) > len(list) {
		list = append(list, teach.Unknown)
	}
	return list
}

// Summary is the accuracy in a sentence.
func (t *Teaching) Summary() string {
	a := t.Taught.Accuracy
	if a.Of == 0 {
		return "how often it is right is not known: no photograph could be left out of training"
	}
	return fmt.Sprintf("right on %s of photographs that were left out, %d of %d (95%s%% interval %s)",
		percent(a.Value), a.Count, a.Of, space, between(a.Low, a.High))
}

// between is an interval of shares.
func between(low, high float64) string {
	return fixed(100*low, 1) + "–" + fixed(100*high, 1) + space + "%"
}

// listedMistakes and listedSuspects are as many as a terminal shows.
const (
	listedMistakes = 5
	listedSuspects = 5
)

// WriteText writes a summary for a terminal.
func (t *Teaching) WriteText(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(title, format string, args ...any) { fmt.Fprintf(tw, title+"\t"+format+"\n", args...) }
	line("network", "%s, %d classes by %d photographs", t.Model.Name, len(t.Taught.Classes), t.Taught.Photographs)
	if t.Model.File != "" {
		line("file", "%s, %s", t.Model.File, size(t.Model.FileBytes))
	}
	line("time", "features %.1f s, training %.1f s", t.Seconds.Features, t.Seconds.Training)
	line("accuracy", "%s", t.Summary())
	if u := t.Taught.Unknown; u != nil {
		line("unknown", "answered for %s of what it was not taught and %s of what it was (AUC %.2f)", percent(u.Found), percent(u.Mistaken), u.AUC)
	}
	if q := t.Taught.Quantization; q.Samples > 0 {
		line("int8", "%d of %d answers differ from those in float, probabilities by at most %s", q.Differ, q.Samples, percent(q.Difference))
	}
	if curve := t.curve(); curve != "" {
		line("learning", "%s", curve)
	}
	title := "mistakes"
	for _, m := range first(t.mistakes(), listedMistakes) {
		line(title, "%s taken for %s: %d", m.truth, m.answer, m.count)
		title = ""
	}
	title = "suspects"
	for _, s := range first(t.Taught.Suspects, listedSuspects) {
		line(title, "%s", suspicion(s))
		title = ""
	}
	if more := len(t.Taught.Suspects) - listedSuspects; more > 0 {
		line("", "and %d more, in the report", more)
	}
	title = "next"
	for _, advice := range t.Advice {
		line(title, "%s", advice)
		title = ""
	}
	return tw.Flush()
}

func first[T any](list []T, n int) []T { return list[:min(n, len(list))] }

// suspicion is a suspect in words.
func suspicion(s teach.Suspect) string {
	text := s.Name + ": " + s.Reason
	if s.Looks != "" {
		text += fmt.Sprintf(", %s (%s)", s.Looks, percent(s.Probability))
	}
	if s.Other != "" {
		text += ", see " + s.Other
	}
	return text
}

// curve is the learning curve in words.
func (t *Teaching) curve() string {
	var points []string
	for _, p := range t.Taught.Curve {
		text := fmt.Sprintf("%g: %s", p.Photographs, percent(p.Accuracy))
		if p.Expected {
			text += " expected"
		}
		points = append(points, text)
	}
	if len(points) < 2 {
		return ""
	}
	return "photographs of a class: right, " + strings.Join(points, ", ")
}

// WriteJSON writes the report as indented JSON.
func (t *Teaching) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(t)
}
