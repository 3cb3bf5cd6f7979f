package pins

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	"periph.io/x/conn/v3/gpio"

	driver "edgeclassify/internal/gpio"
)

// bounce is longer than the contacts of a button bounce, and shorter than
// anyone presses it.
const bounce = 20 * time.Millisecond

// Trigger tells when an input has an edge.
type Trigger struct {
	pin   pin
	log   *slog.Logger
	edges chan time.Time
	quit  chan struct{}
	done  chan struct{}
}

// NewTrigger listens to the pin that spec names: PIN for a button between pin
// and ground (falling edge, pulled up), PIN:rising for a sensor that drives the
// pin high (pulled down). PIN is as of a Raspberry Pi's pinout, such as GPIO17
// or 17, or gpiochipN:LINE. PIN:falling is the same as PIN.
func NewTrigger(spec string, log *slog.Logger) (*Trigger, error) {
	name, pull, edge := parseTrigger(spec)
	p, err := driver.Open(name)
	if err != nil {
		return nil, fmt.Errorf("trigger %q: %w", spec, err)
	}
	p.Debounce(bounce)
	t, err := newTrigger(p, pull, edge, orSilent(log))
	if err != nil {
		p.Close()
		return nil, fmt.Errorf("trigger %q: %w", spec, err)
	}
	return t, nil
}

func parseTrigger(spec string) (name string, pull gpio.Pull, edge gpio.Edge) {
	if name, ok := strings.CutSuffix(spec, ":rising"); ok {
		return name, gpio.PullDown, gpio.RisingEdge
	}
	return strings.TrimSuffix(spec, ":falling"), gpio.PullUp, gpio.FallingEdge
}

func newTrigger(p pin, pull gpio.Pull, edge gpio.Edge, log *slog.Logger) (*Trigger, error) {
	t := &Trigger{
		pin: p, log: log,
		edges: make(chan time.Time, 1), quit: make(chan struct{}), done: make(chan struct{}),
	}
	if err := p.In(pull, edge); err != nil {
		return nil, err
	}
	go t.listen()
	return t, nil
}

// C tells of edges. One waits for its reader; edges until then are dropped. It
// is never closed.
func (t *Trigger) C() <-chan time.Time { return t.edges }

func (t *Trigger) listen() {
	defer close(t.done)
	for t.pin.WaitForEdge(-1) {
		select {
		case t.edges <- time.Now():
		default:
		}
	}
	select {
	case <-t.quit:
	default: // a header's pin does not fail, but one of an adapter may be unplugged
		t.log.Error("trigger's pin is gone: no pictures until restart", "pin", t.pin.Name())
	}
}

// Close lets go of the pin.
func (t *Trigger) Close() error {
	close(t.quit)
	err := t.pin.Close()
	<-t.done
	return err
}
