package pins

import (
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"periph.io/x/conn/v3/i2c"

	"edgeclassify/capture"
	bus "edgeclassify/internal/i2c"
	"edgeclassify/stream"
)

const (
	displayRest  = 250 * time.Millisecond // between two updates: to be read, and to spare the bus
	intervalsFor = 8                      // results over which the rate is smoothed
)

// Display shows the most probable label, its probability and the rate of
// results, and the camera's state where it does not stream. It is a sink of a
// stream. A display that stops answering is tried again.
type Display struct {
	bus      i2c.BusCloser
	panel    *ssd1306
	canvas   *canvas
	log      *slog.Logger
	failed   bool
	worker   *worker[view]
	last     time.Time     // of results
	interval time.Duration // between results, smoothed
}

var _ stream.Sink = (*Display)(nil)

// view is what a display shows.
type view struct {
	label string
	prob  float64
	rate  float64 // results per second; 0 where it is not known
	state string  // of a camera that does not stream
}

// NewDisplay shows on the display that spec names:
// ssd1306[-128x32][@BUS[:ADDRESS]], such as ssd1306@i2c-1:0x3c, which is what
// ssd1306 alone stands for. Its height is 64 pixels unless given.
func NewDisplay(spec string, log *slog.Logger) (*Display, error) {
	s, err := parseDisplay(spec)
	if err != nil {
		return nil, err
	}
	b, err := bus.Open(s.bus)
	if err != nil {
		return nil, fmt.Errorf("display %q: %w", spec, err)
	}
	d, err := newDisplay(b, s, orSilent(log))
	if err != nil {
		b.Close()
		return nil, fmt.Errorf("display %q: %w", spec, err)
	}
	return d, nil
}

type displaySpec struct {
	height int
	bus    string
	addr   uint16
}

var displayPattern = regexp.MustCompile(`^ssd1306(?:-128x(32|64))?(?:@(i2c-\d+)(?::(0x[0-9a-fA-F]{1,2}))?)?$`)

func parseDisplay(spec string) (displaySpec, error) {
	match := displayPattern.FindStringSubmatch(spec)
	if match == nil {
		return displaySpec{}, fmt.Errorf("display %q: want ssd1306[-128x32][@BUS[:ADDRESS]], such as ssd1306@i2c-1:0x3c", spec)
	}
	s := displaySpec{height: 64, bus: "i2c-1", addr: 0x3c}
	if match[1] == "32" {
		s.height = 32
	}
	if match[2] != "" {
		s.bus = match[2]
	}
	if match[3] != "" {
		addr, _ := strconv.ParseUint(match[3], 0, 8) // the pattern leaves two digits
		s.addr = uint16(addr)
	}
	return s, nil
}

func newDisplay(b i2c.BusCloser, s displaySpec, log *slog.Logger) (*Display, error) {
	d := &Display{
		bus: b, panel: newSSD1306(b, s.addr, s.height),
		canvas: newCanvas(s.height), log: log,
	}
	if err := d.draw(view{state: capture.Starting}); err != nil {
		return nil, err
	}
	d.worker = startWorker(displayRest, d.update)
	return d, nil
}

// update runs in the worker's goroutine.
func (d *Display) update(v view) {
	err := d.draw(v)
	switch {
	case err != nil && !d.failed:
		d.log.Warn("display does not answer", "err", err)
	case err == nil && d.failed:
		d.log.Info("display answers again")
	}
	d.failed = err != nil
}

func (d *Display) draw(v view) error {
	clear(d.canvas.pix)
	for row, text := range v.rows(d.canvas.height / rowHeight) {
		d.canvas.text(row, text)
	}
	return d.panel.show(d.canvas.pix)
}

// rows are the lines of text: the label in all but the last.
func (v view) rows(n int) []string {
	rows := make([]string, n)
	if v.state != "" {
		rows[0], rows[1] = "camera:", v.state
		return rows
	}
	copy(rows[:n-1], wrap(v.label, n-1))
	rows[n-1] = fmt.Sprintf("%3.0f%%", 100*v.prob)
	if v.rate >= 0.1 {
		rows[n-1] += fmt.Sprintf("%10.1f fps", v.rate)
	}
	return rows
}

// wrap breaks a text into at most n lines, between words where it can. What
// does not fit is cut off.
func wrap(text string, n int) []string {
	lines := []string{""}
	for word := range strings.FieldsSeq(text) {
		line := &lines[len(lines)-1]
		switch {
		case *line == "":
			*line = word
		case utf8.RuneCountInString(*line+word) < columns:
			*line += " " + word
		default:
			lines = append(lines, word)
		}
	}
	if len(lines) > n { // words that are left share the last line
		lines[n-1] = strings.Join(lines[n-1:], " ")
	}
	return lines[:min(n, len(lines))]
}

// Result shows a result.
func (d *Display) Result(r *stream.Result, _ *capture.Frame) {
	if !d.last.IsZero() {
		interval := r.Time.Sub(d.last)
		if d.interval == 0 {
			d.interval = interval
		}
		d.interval += (interval - d.interval) / intervalsFor
	}
	d.last = r.Time
	var v view
	if d.interval > 0 {
		v.rate = float64(time.Second) / float64(d.interval)
	}
	if best, ok := r.Best(); ok {
		v.label, v.prob = best.Label, best.Probability
	}
	d.worker.put(v)
}

// Status shows the camera's state unless it streams.
func (d *Display) Status(s capture.Status) {
	if s.State == capture.Streaming {
		return
	}
	d.last, d.interval = time.Time{}, 0
	d.worker.put(view{state: s.State})
}

// Event does nothing.
func (d *Display) Event(stream.Event, *capture.Frame) {}

// Model does nothing.
func (d *Display) Model(stream.Model) {}

// Close makes the display dark and lets go of its bus.
func (d *Display) Close() error {
	d.worker.stop()
	return errors.Join(d.panel.off(), d.bus.Close())
}
