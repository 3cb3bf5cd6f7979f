package pins

import (
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"periph.io/x/conn/v3/gpio"

	"edgeclassify/capture"
	driver "edgeclassify/internal/gpio"
	"edgeclassify/labels"
	"edgeclassify/stream"
)

const defaultMinProb = 0.5

// LED is an output, of a light or a relay, that is high while a label is seen.
// It is a sink of a stream. It goes low when the camera falls silent: there is
// nothing seen then.
type LED struct {
	rule   rule
	lit    stream.Debouncer
	pin    pin
	log    *slog.Logger
	worker *worker[gpio.Level]
}

var _ stream.Sink = (*LED)(nil)

// rule is PIN=LABEL[:MIN].
type rule struct {
	pin     string
	label   string
	classes []int // several where they share the name; their probabilities add up
	min     float64
}

// NewLED makes an output of a rule PIN=LABEL[:MIN], such as 17=tabby:0.6. PIN
// is as of a Raspberry Pi's pinout, GPIO17 or 17, or gpiochipN:LINE. LABEL is a
// class's name or id. MIN is the probability from which on the label is seen,
// 0.5 unless given; stream.Seen and stream.Debouncer, with hold, say when it
// switches. hold is 0 where each picture stands for itself, as with a trigger.
func NewLED(spec string, classes []labels.Class, hold time.Duration, log *slog.Logger) (*LED, error) {
	r, err := parseRule(spec, classes)
	if err != nil {
		return nil, fmt.Errorf("LED %q: %w", spec, err)
	}
	p, err := driver.Open(r.pin)
	if err != nil {
		return nil, fmt.Errorf("LED %q: %w", spec, err)
	}
	l, err := newLED(r, p, hold, orSilent(log))
	if err != nil {
		p.Close()
		return nil, fmt.Errorf("LED %q: %w", spec, err)
	}
	return l, nil
}

func parseRule(spec string, classes []labels.Class) (rule, error) {
	name, label, ok := strings.Cut(spec, "=")
	if !ok || name == "" || label == "" {
		return rule{}, errors.New("want PIN=LABEL[:MIN], such as 17=tabby:0.6")
	}
	r := rule{pin: name, min: defaultMinProb}
	if i := strings.LastIndexByte(label, ':'); i >= 0 {
		least, err := strconv.ParseFloat(label[i+1:], 64)
		if err != nil || !(least > 0 && least <= 1) {
			return rule{}, fmt.Errorf("least probability %q: want a number above 0, up to 1", label[i+1:])
		}
		label, r.min = label[:i], least
	}
	r.label = label
	var err error
	r.classes, err = labels.Find(classes, label)
	return r, err
}

func newLED(r rule, p pin, hold time.Duration, log *slog.Logger) (*LED, error) {
	if err := p.Out(gpio.Low); err != nil {
		return nil, err
	}
	l := &LED{rule: r, lit: stream.NewDebouncer(hold), pin: p, log: log}
	failed := false
	l.worker = startWorker(0, func(level gpio.Level) {
		err := p.Out(level)
		if err != nil && !failed {
			log.Warn("LED's pin fails", "pin", p.Name(), "err", err)
		}
		failed = err != nil
	})
	return l, nil
}

// Result switches the output where the label has been there, or not, for long
// enough.
func (l *LED) Result(r *stream.Result, _ *capture.Frame) {
	prob := 0.0
	for _, class := range l.rule.classes {
		prob += r.Probabilities[class]
	}
	if l.lit.Turn(stream.Seen(l.lit.Seen, prob, l.rule.min)) {
		l.show()
	}
}

// Status switches the output off unless the camera streams.
func (l *LED) Status(s capture.Status) {
	if s.State != capture.Streaming && l.lit.Forget() {
		l.show()
	}
}

// Event does nothing.
func (l *LED) Event(stream.Event, *capture.Frame) {}

// Fits tells whether a model with these classes could take over.
func (l *LED) Fits(classes []labels.Class) error {
	if _, err := labels.Find(classes, l.rule.label); err != nil {
		return fmt.Errorf("LED %s=%s: %w", l.rule.pin, l.rule.label, err)
	}
	return nil
}

// Model finds the label among the model's classes and switches the output off. A
// label that is not there is never seen.
func (l *LED) Model(m stream.Model) {
	l.rule.classes, _ = labels.Find(m.Classes, l.rule.label)
	if l.lit.Forget() {
		l.show()
	}
}

func (l *LED) show() { l.worker.put(gpio.Level(l.lit.Seen)) }

// Close switches the output off and lets go of its pin.
func (l *LED) Close() error {
	l.worker.stop()
	return errors.Join(l.pin.Out(gpio.Low), l.pin.Close())
}
