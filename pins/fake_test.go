package pins

import (
	"errors"
	"sync"
	"time"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/gpio/gpiotest"
	"periph.io/x/conn/v3/physic"

	"edgeclassify/labels"
)

func classes() []labels.Class {
	return []labels.Class{
		{ID: "n02123045", Name: "tabby"},
		{ID: "n02123394", Name: "Persian cat"},
		{ID: "n02012849", Name: "crane"}, // the bird
		{ID: "n03126707", Name: "crane"}, // the machine
	}
}

// fakePin is gpiotest's pin with what it lacks: an end of waiting, and
// failures.
type fakePin struct {
	gpiotest.Pin
	pull   gpio.Pull
	edge   gpio.Edge
	closed chan struct{}

	mu   sync.Mutex
	fail error
	outs []gpio.Level
}

func newFakePin() *fakePin {
	return &fakePin{
		Pin:    gpiotest.Pin{N: "GPIO17", Num: 17, EdgesChan: make(chan gpio.Level, 1)},
		closed: make(chan struct{}),
	}
}

func (p *fakePin) In(pull gpio.Pull, edge gpio.Edge) error {
	if p.fail != nil {
		return p.fail
	}
	p.pull, p.edge = pull, edge
	return p.Pin.In(pull, edge)
}

func (p *fakePin) WaitForEdge(time.Duration) bool {
	select {
	case <-p.closed:
		return false
	case l := <-p.EdgesChan:
		return p.Pin.Out(l) == nil
	}
}

func (p *fakePin) Out(l gpio.Level) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fail != nil {
		return p.fail
	}
	p.outs = append(p.outs, l)
	return p.Pin.Out(l)
}

func (p *fakePin) failWith(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fail = err
}

func (p *fakePin) Close() error {
	close(p.closed)
	return nil
}

// screen is an SSD1306 as its data sheet describes it, as far as its memory and
// its switch go.
type screen struct {
	mu           sync.Mutex
	addr         uint16
	ram          [8][width]byte
	on           bool
	rows         int
	column, page struct{ at, first, last int }
	unplugged    bool
	data         int // messages of data
	closed       bool
}

func (s *screen) String() string                  { return "screen" }
func (s *screen) SetSpeed(physic.Frequency) error { return nil }
func (s *screen) Close() error                    { s.closed = true; return nil }

func (s *screen) Tx(addr uint16, w, r []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unplugged || addr != s.addr || len(w) < 2 || len(r) > 0 {
		return errors.New("no answer")
	}
	if w[0] == 0x40 {
		s.data++
		for _, b := range w[1:] {
			s.write(b)
		}
		return nil
	}
	return s.commands(w[1:])
}

func (s *screen) write(b byte) {
	s.ram[s.page.at][s.column.at] = b
	if s.column.at++; s.column.at > s.column.last {
		s.column.at = s.column.first
		if s.page.at++; s.page.at > s.page.last {
			s.page.at = s.page.first
		}
	}
}

func (s *screen) commands(b []byte) error {
	arguments := map[byte]int{
		0xd5: 1, 0xa8: 1, 0xd3: 1, 0x8d: 1, 0x20: 1, 0xda: 1, 0x81: 1, 0xd9: 1, 0xdb: 1,
		0x21: 2, 0x22: 2,
		0xae: 0, 0xaf: 0, 0x40: 0, 0xa1: 0, 0xc8: 0, 0xa4: 0, 0xa6: 0, 0x2e: 0,
	}
	for len(b) > 0 {
		n, known := arguments[b[0]]
		if !known || len(b) < 1+n {
			return errors.New("unknown command")
		}
		switch b[0] {
		case 0xae, 0xaf:
			s.on = b[0] == 0xaf
		case 0xa8:
			s.rows = int(b[1]) + 1
		case 0x21:
			s.column.at, s.column.first, s.column.last = int(b[1]), int(b[1]), int(b[2])
		case 0x22:
			s.page.at, s.page.first, s.page.last = int(b[1]), int(b[1]), int(b[2])
		}
		b = b[1+n:]
	}
	return nil
}

// pix is what is shown; nothing while the display is off.
func (s *screen) pix() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.on {
		return nil
	}
	var pix []byte
	for _, row := range s.ram[:s.rows/8] {
		pix = append(pix, row[:]...)
	}
	return pix
}

func (s *screen) messages() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.data
}

func (s *screen) unplug(unplugged bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unplugged = unplugged
	if unplugged { // power is lost
		s.on = false
		s.ram = [8][width]byte{}
	}
}
