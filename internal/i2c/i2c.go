// Package i2c talks to devices on an I²C bus through Linux's /dev/i2c-N
// (Documentation/i2c/dev-interface.rst).
package i2c

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"
	"sync"
	"syscall"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"
)

const (
	// Addresses outside of these are reserved by the I²C specification
	// (UM10204, 3.1.12).
	firstAddress = 0x08
	lastAddress  = 0x77

	maxMessage = 8192 // bytes, of the kernel's i2c-dev
)

// adapter is the kernel's side of a bus.
type adapter interface {
	// claim fails with EBUSY where a driver of the kernel has the device.
	claim(addr uint16) error
	// transfer writes w and then reads r, either of which may be empty.
	transfer(addr uint16, w, r []byte) error
	Close() error
}

// Bus implements i2c.BusCloser of periph.io/x/conn/v3. Its methods may be
// called at the same time.
type Bus struct {
	name    string
	mu      sync.Mutex // guards what follows
	adapter adapter
	claimed uint16 // the last address that claim allowed
}

var _ i2c.BusCloser = (*Bus)(nil)

var busName = regexp.MustCompile(`^i2c-\d{1,3}$`)

// Open opens a bus by name: i2c-1 is that of a Raspberry Pi's header, on pins
// GPIO2 (SDA) and GPIO3 (SCL).
func Open(name string) (*Bus, error) {
	if !busName.MatchString(name) {
		return nil, fmt.Errorf("i2c: %q is no bus: want i2c-N, such as i2c-1", name)
	}
	a, err := openAdapter("/dev/" + name)
	if err != nil {
		return nil, explainOpen(err)
	}
	return &Bus{name: name, adapter: a}, nil
}

func explainOpen(err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("i2c: %w: join the group i2c (sudo usermod -aG i2c USER) and log in again", err)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("i2c: %w: switch the bus on (sudo raspi-config nonint do_i2c 0, or dtparam=i2c_arm=on in config.txt, and the module i2c-dev)", err)
	}
	return fmt.Errorf("i2c: %w", err)
}

// Tx writes w to the device at a 7-bit address and then reads into r, in one
// transaction. Either may be empty.
func (b *Bus) Tx(addr uint16, w, r []byte) error {
	if err := b.tx(addr, w, r); err != nil {
		return fmt.Errorf("i2c: device 0x%02x on %s: %w", addr, b.name, b.explain(err))
	}
	return nil
}

func (b *Bus) tx(addr uint16, w, r []byte) error {
	switch {
	case addr < firstAddress || addr > lastAddress:
		return fmt.Errorf("want an address from 0x%02x to 0x%02x", firstAddress, lastAddress)
	case len(w) > maxMessage || len(r) > maxMessage:
		return fmt.Errorf("%d bytes to write and %d to read: want at most %d", len(w), len(r), maxMessage)
	case len(w) == 0 && len(r) == 0:
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	// Transfers reach devices that a driver of the kernel has, too, and would
	// disturb it: claim asks.
	if addr != b.claimed {
		if err := b.adapter.claim(addr); err != nil {
			return err
		}
		b.claimed = addr
	}
	return b.adapter.transfer(addr, w, r)
}

// explain adds what the errors mean that adapters give.
func (b *Bus) explain(err error) error {
	number := strings.TrimPrefix(b.name, "i2c-")
	switch {
	case noAnswer(err):
		return fmt.Errorf("%w: it does not answer: check wiring and address (i2cdetect -y %s)", err, number)
	case errors.Is(err, syscall.ETIMEDOUT):
		return fmt.Errorf("%w: the bus is stuck: check wiring and pull-ups", err)
	case errors.Is(err, syscall.EBUSY):
		return fmt.Errorf("%w: a driver of the kernel has it (dtoverlay in config.txt?)", err)
	}
	return err
}

// SetSpeed fails: Linux sets the speed of a bus in the device tree.
func (b *Bus) SetSpeed(physic.Frequency) error {
	return fmt.Errorf("i2c: %s: set the speed with dtparam=i2c_arm_baudrate=400000 in config.txt", b.name)
}

// String returns the bus's name.
func (b *Bus) String() string { return b.name }

// Close closes the bus.
func (b *Bus) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.adapter.Close()
}
