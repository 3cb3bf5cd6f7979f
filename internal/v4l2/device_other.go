//go:build !linux

package v4l2

import (
	"errors"
	"fmt"
	"time"
)

// Device is an open node: only Linux has them.
type Device struct{}

// Open fails: only Linux has V4L2.
func Open(path string) (*Device, error) {
	return nil, fmt.Errorf("%s: cameras of V4L2 are not supported on this system: %w", path, errors.ErrUnsupported)
}

// Nodes returns none: only Linux has V4L2.
func Nodes() []Node { return nil }

// Holders returns none: only Linux has V4L2.
func Holders(string) []string { return nil }

// Group returns "": only Linux has V4L2.
func Group(string) string { return "" }

func (*Device) Capability() (Capability, error) { return Capability{}, errors.ErrUnsupported }
func (*Device) Formats() ([]FourCC, error)      { return nil, errors.ErrUnsupported }
func (*Device) Sizes(FourCC) ([]Size, error)    { return nil, errors.ErrUnsupported }
func (*Device) Intervals(FourCC, uint32, uint32) ([]Fraction, error) {
	return nil, errors.ErrUnsupported
}
func (*Device) SetFormat(uint32, uint32, FourCC) (PixFormat, error) {
	return PixFormat{}, errors.ErrUnsupported
}
func (*Device) SetInterval(Fraction) (Fraction, error) { return Fraction{}, errors.ErrUnsupported }
func (*Device) Map(int) ([][]byte, error)              { return nil, errors.ErrUnsupported }
func (*Device) Unmap([]byte)                           {}
func (*Device) Queue(int) error                        { return errors.ErrUnsupported }
func (*Device) Start() error                           { return errors.ErrUnsupported }
func (*Device) Wait(time.Duration) error               { return errors.ErrUnsupported }
func (*Device) Interrupt()                             {}
func (*Device) Dequeue() (Buffer, error)               { return Buffer{}, errors.ErrUnsupported }
func (*Device) Close() error                           { return errors.ErrUnsupported }
