// Package gpio drives pins through Linux's GPIO character device, version 2 of
// its interface (Linux 5.10 and later; Documentation/userspace-api/gpio).
//
// Pins have Broadcom's numbers, GPIO0 to GPIO27, which every pinout of a
// Raspberry Pi's header gives. On other boards a pin is gpiochipN:LINE.
package gpio

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"time"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/physic"
)

// chip is a GPIO chip, and line one of its lines, held by this program.
type chip interface {
	info() chipInfo
	user(number int) string // who holds a line; empty where nobody is known to
	request(number int, c config) (line, error)
	Close() error
}

type chipInfo struct {
	label string
	lines int
}

type line interface {
	value() (gpio.Level, error)
	set(gpio.Level) error
	// wait waits for the next edge. It fails with os.ErrDeadlineExceeded, and
	// with os.ErrClosed as soon as the line is closed. A zero deadline is none.
	wait(deadline time.Time) error
	Close() error
}

// config is what a line is requested for.
type config struct {
	output   bool
	level    gpio.Level // of an output
	pull     gpio.Pull  // of an input, as all below
	edge     gpio.Edge
	debounce time.Duration
}

// Pin is a pin of a GPIO chip. It implements gpio.PinIO of periph.io/x/conn/v3.
// Its methods may be called at the same time.
type Pin struct {
	name   string
	number int
	chip   chip

	waiting sync.Mutex // held by WaitForEdge

	mu       sync.Mutex // guards what follows
	line     line       // nil before In and Out, and after Halt of an input
	config   config     // of line
	debounce time.Duration
}

var _ gpio.PinIO = (*Pin)(nil)

// Open finds a pin by name: GPIO17 or 17, or gpiochip0:17. It does not touch
// the pin: In and Out do.
func Open(name string) (*Pin, error) { return open(name, device{}) }

func open(name string, sys system) (*Pin, error) {
	c, number, err := find(name, sys)
	if err != nil {
		return nil, err
	}
	if !strings.Contains(name, ":") {
		name = fmt.Sprintf("GPIO%d", number)
	}
	return &Pin{name: name, number: number, chip: c}, nil
}

// Debounce makes the next In tell of edges only once the level has been steady
// for this long.
func (p *Pin) Debounce(period time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.debounce = period
}

// In makes the pin an input, and forgets edges not waited for.
func (p *Pin) In(pull gpio.Pull, edge gpio.Edge) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := config{pull: pull, edge: edge}
	if edge != gpio.NoEdge {
		c.debounce = p.debounce
	}
	return p.request(c)
}

// Out makes the pin an output with this level, without a pulse of the other.
func (p *Pin) Out(l gpio.Level) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.line == nil || !p.config.output {
		return p.request(config{output: true, level: l})
	}
	if err := p.line.set(l); err != nil {
		return fmt.Errorf("gpio: %s: %w", p.name, err)
	}
	return nil
}

// request takes the line anew, as some kernels do not let edges be changed on
// a line that is held. That also ends who waits for edges of the old one.
func (p *Pin) request(c config) error {
	p.release()
	l, err := p.chip.request(p.number, c)
	if err != nil && c.debounce > 0 && !errors.Is(err, syscall.EBUSY) {
		// The kernel debounces where a driver cannot, but not where a driver
		// could and refuses the period.
		l, err = p.chip.request(p.number, config{pull: c.pull, edge: gpio.BothEdges})
		if err == nil {
			l, err = debounce(l, c)
		}
	}
	if err != nil {
		return p.explain(err)
	}
	p.line, p.config = l, c
	return nil
}

func (p *Pin) explain(err error) error {
	switch {
	case errors.Is(err, syscall.EBUSY):
		if user := p.chip.user(p.number); user != "" {
			return fmt.Errorf("gpio: %s is in use by %q: %w", p.name, user, err)
		}
	case errors.Is(err, syscall.EINVAL):
		return fmt.Errorf("gpio: %s: %w (Linux 5.10 or later is needed)", p.name, err)
	}
	return fmt.Errorf("gpio: %s: %w", p.name, err)
}

func (p *Pin) release() error {
	if p.line == nil {
		return nil
	}
	l := p.line
	p.line = nil
	return l.Close()
}

// Read returns the pin's level. An output stays one. It is Low before In and
// Out, and where the chip does not answer.
func (p *Pin) Read() gpio.Level {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.line == nil {
		return gpio.Low
	}
	level, err := p.line.value()
	return err == nil && level
}

// WaitForEdge waits for an edge of the kind that In was told, and returns at
// once where one has come since the last call. A negative timeout is none. It
// returns false after the timeout, after In, Out, Halt or Close from elsewhere,
// where the pin is not set up for edges, and where the chip fails.
func (p *Pin) WaitForEdge(timeout time.Duration) bool {
	var deadline time.Time
	if timeout >= 0 {
		deadline = time.Now().Add(timeout)
	}
	p.waiting.Lock()
	defer p.waiting.Unlock()
	p.mu.Lock()
	l, edge := p.line, p.config.edge
	p.mu.Unlock()
	return l != nil && edge != gpio.NoEdge && l.wait(deadline) == nil
}

// Halt lets go of an input, which ends WaitForEdge. It does not change an
// output.
func (p *Pin) Halt() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.config.output {
		return nil
	}
	return p.release()
}

// Close lets go of the pin. The system decides on the level of an output that
// nobody holds. The pin must not be used any more.
func (p *Pin) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return errors.Join(p.release(), p.chip.Close())
}

// String returns the pin's name, as Name does.
func (p *Pin) String() string { return p.name }

// Name returns the pin's name: GPIO17, or gpiochip0:17.
func (p *Pin) Name() string { return p.name }

// Number returns the line's number on its chip, which on a Raspberry Pi is the
// pin's.
func (p *Pin) Number() int { return p.number }

// Function returns IN or OUT, and nothing where the pin is neither.
func (p *Pin) Function() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.line == nil:
		return ""
	case p.config.output:
		return string(gpio.OUT)
	}
	return string(gpio.IN)
}

// Pull returns what In was told.
func (p *Pin) Pull() gpio.Pull {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.config.pull
}

// DefaultPull returns gpio.PullNoChange: the kernel does not tell.
func (p *Pin) DefaultPull() gpio.Pull { return gpio.PullNoChange }

// PWM is not something the character device does.
func (p *Pin) PWM(gpio.Duty, physic.Frequency) error {
	return fmt.Errorf("gpio: %s: no pulse width modulation", p.name)
}
