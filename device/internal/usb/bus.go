//go:build linux

package usb

import (
	"fmt"
	"slices"
	"sync"
)

// Bus is an I2C bus as Till Harbaum's i2c-tiny-usb gives one, with a chip on it
// that takes whatever is written to it, as a display does.
// Requests: drivers/i2c/busses/i2c-tiny-usb.c in Linux.
type Bus struct {
	address uint16

	mu      sync.Mutex
	present bool // whether the address last used was the chip's
	written [][]byte
}

// NewBus returns a bus with a chip at that 7-bit address.
func NewBus(address uint16) *Bus { return &Bus{address: address} }

// Written is what the chip has been sent so far, one message after the other.
func (b *Bus) Written() [][]byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([][]byte{}, b.written...) // not nil: net/rpc's JSON takes null for a missing answer
}

// Speed implements Device.
func (b *Bus) Speed() Speed { return Full }

// Descriptors implements Device.
func (b *Bus) Descriptors() Descriptors {
	return Descriptors{
		Device: []byte{18, 1, 0x10, 1, 0xff, 0, 0, 8, 0x03, 0x04, 0x31, 0xc6, 5, 2, 1, 2, 0, 1},
		Configuration: []byte{9, 2, 18, 0, 1, 1, 0, 0x80, 50,
			9, 4, 0, 0, 0, 0, 0, 0, 0}, // an interface without endpoints
	}
}

// Control implements Device.
func (b *Bus) Control(s Setup, data []byte) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case s.Request == 1: // abilities: plain I2C, SMBus by way of it
		return []byte{0x01, 0x00, 0xff, 0x0e}, nil
	case s.Request == 2: // speed
		return nil, nil
	case s.Request == 3: // whether the chip answered
		if b.present {
			return []byte{1}, nil
		}
		return []byte{2}, nil
	case s.Request >= 4 && s.Request <= 7: // a message; the bits are its start and its end
		return b.message(s, data), nil
	}
	return nil, fmt.Errorf("usb: bus: no request %d", s.Request)
}

func (b *Bus) message(s Setup, data []byte) []byte {
	const read = 1
	b.present = s.Index == b.address
	if s.Value&read != 0 {
		return make([]byte, s.Length)
	}
	if b.present {
		b.written = append(b.written, slices.Clone(data))
	}
	return nil
}

// Bulk implements Device, which has no bulk endpoint.
func (b *Bus) Bulk(int) []byte { return nil }
