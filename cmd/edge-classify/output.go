package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"

	"edgeclassify/capture"
	"edgeclassify/internal/cli"
	"edgeclassify/internal/printable"
	"edgeclassify/stream"
)

// clearLine empties the terminal's line (ECMA-48: carriage return, EL).
const clearLine = "\r\x1b[K"

// newPrinter is a sink that prints on standard output.
func newPrinter(o options, w io.Writer, log *slog.Logger) closingSink {
	if o.json {
		return &jsonPrinter{lines: newLines(w, log), form: o.features}
	}
	if cli.Terminal(w) != nil {
		w = cli.Raw(w) // for clearLine; textPrinter makes the rest printable
	}
	return &textPrinter{lines: newLines(w, log), width: terminalWidth(w), least: o.minProb, every: o.pins.trigger != ""}
}

// jsonPrinter prints one object a line: a stream.Result or a stream.Event.
type jsonPrinter struct {
	*lines
	form  featureForm
	scale float32 // of features
}

func (p *jsonPrinter) Result(r *stream.Result, _ *capture.Frame) {
	p.print(struct {
		*stream.Result
		features
	}{r, p.form.of(r.Features, p.scale)})
}

func (p *jsonPrinter) Event(e stream.Event, _ *capture.Frame) { p.print(e) }
func (p *jsonPrinter) Model(m stream.Model)                   { p.scale = m.FeatureScale }
func (p *jsonPrinter) Status(capture.Status)                  {}

func (p *jsonPrinter) print(value any) {
	text, err := json.Marshal(value)
	if err != nil { // not a number: no class has a probability
		p.log.Error("result cannot be printed", "err", err)
		return
	}
	p.put(append(text, '\n'))
}

// textPrinter prints for people: on a terminal one line that is rewritten for
// each result, elsewhere one line when the label changes.
type textPrinter struct {
	*lines
	width func() int // of the terminal; nil if it is none
	least float64    // probability to be sure of a label
	every bool       // print each result

	shown string
	seen  []string // the labels in it
	begun bool
	last  time.Time
	fps   float64
}

// What stands for a label where none is seen: of classes of which one must be there,
// and of independent ones.
const (
	unsure  = "(not sure)"
	nothing = "(none)"
)

func (p *textPrinter) Result(r *stream.Result, _ *capture.Frame) {
	p.rate(r.Time)
	label := p.label(r)
	changed := label != p.shown || !p.begun
	p.shown, p.begun = label, true
	switch {
	case p.width != nil:
		p.put([]byte(clearLine + cut(printable.Text(p.line(label, r)), p.width()-1)))
	case changed || p.every:
		p.put([]byte(p.line(label, r) + "\n"))
	}
}

// label is what is seen: the most probable class or, where classes are independent,
// all that are probable.
func (p *textPrinter) label(r *stream.Result) string {
	candidates, none := r.Top[:min(1, len(r.Top))], unsure
	if r.Independent {
		candidates, none = r.Top, nothing
	}
	var seen []string
	for _, c := range candidates {
		if stream.Seen(slices.Contains(p.seen, c.Label), c.Probability, p.least) {
			seen = append(seen, c.Label)
		}
	}
	if p.seen = seen; len(seen) == 0 {
		return none
	}
	return strings.Join(seen, ", ")
}

func (p *textPrinter) Model(stream.Model) { p.seen = nil }

func (p *textPrinter) Event(e stream.Event, _ *capture.Frame) {
	line := printable.Text(fmt.Sprintf("%s  %s of %s, %.0f %%", e.Time.Local().Format(time.TimeOnly), e.Kind, e.Label, 100*e.Prob))
	if p.width != nil {
		line = clearLine + line
	}
	p.put([]byte(line + "\n"))
}

func (p *textPrinter) Status(capture.Status) {}

// Close leaves the rewritten line as it is.
func (p *textPrinter) Close() error {
	if p.width != nil && p.begun {
		p.put([]byte("\n"))
	}
	return p.lines.Close()
}

// line is a result in one line, what matters most first.
func (p *textPrinter) line(label string, r *stream.Result) string {
	var b strings.Builder
	b.WriteString(r.Time.Local().Format(time.TimeOnly) + "  " + label)
	for i, c := range r.Top[:min(3, len(r.Top))] {
		if i == 0 && c.Label == label {
			fmt.Fprintf(&b, " %.0f %%", 100*c.Probability)
		} else {
			fmt.Fprintf(&b, "  %s %.0f %%", c.Label, 100*c.Probability)
		}
	}
	fmt.Fprintf(&b, "  age %.0f ms, infer %.0f ms", r.AgeMS, r.MS.Infer)
	if p.fps > 0 {
		fmt.Fprintf(&b, ", %.1f fps", p.fps)
	}
	fmt.Fprintf(&b, ", %d dropped", r.Dropped)
	if r.TemperatureC != 0 {
		fmt.Fprintf(&b, ", %.0f °C", r.TemperatureC)
	}
	if len(r.Throttled) > 0 {
		b.WriteString(", " + strings.Join(r.Throttled, ", "))
	}
	return b.String()
}

// rate notes the time of a result. The rate is that of the last ten or so.
func (p *textPrinter) rate(now time.Time) {
	if interval := now.Sub(p.last).Seconds(); !p.last.IsZero() && interval > 0 {
		if p.fps == 0 {
			p.fps = 1 / interval
		}
		p.fps = 1 / (0.9/p.fps + 0.1*interval)
	}
	p.last = now
}

// cut is the first n characters of s.
func cut(s string, n int) string {
	for i := range s {
		if n--; n < 0 {
			return s[:i]
		}
	}
	return s
}

// terminalWidth tells the columns of the terminal w is; nil if it is none.
func terminalWidth(w io.Writer) func() int {
	file := cli.Terminal(w)
	if file == nil {
		return nil
	}
	return func() int {
		width, _, err := term.GetSize(int(file.Fd()))
		if err != nil || width < 1 {
			return 80
		}
		return width
	}
}
