//go:build linux

package main

import (
	"fmt"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"edgeclassify/device/internal/guest"
)

// control describes a control: struct v4l2_query_ext_ctrl.
type control struct {
	ID, Type           uint32
	Name               [32]byte
	Minimum, Maximum   int64
	Step               uint64
	Default            int64
	Flags, ElementSize uint32
	Elements, Ranks    uint32
	Dimensions         [4]uint32
	_                  [32]uint32
}

// value is a control's value: struct v4l2_control.
type value struct {
	ID    uint32
	Value int32
}

// Requests of V4L2, and the flag that asks for the control after an ID.
const (
	setControl   = 0xc008561c // VIDIOC_S_CTRL
	queryControl = 0xc0e85667 // VIDIOC_QUERY_EXT_CTRL
	nextControl  = 0x80000000
)

// Set sets a control of a V4L2 device.
func (a *agent) Set(s guest.Setting, done *time.Time) error {
	f, err := os.OpenFile(s.Device, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	v := value{Value: s.Value}
	if v.ID, err = find(f, s.Name); err != nil {
		return err
	}
	if err := ioctl(f, setControl, unsafe.Pointer(&v)); err != nil {
		return fmt.Errorf("%s: set %q to %d: %w", s.Device, s.Name, s.Value, err)
	}
	*done = time.Now()
	return nil
}

// find is the ID of the control with that name.
func find(f *os.File, name string) (uint32, error) {
	c := control{ID: nextControl}
	for ioctl(f, queryControl, unsafe.Pointer(&c)) == nil {
		if unix.ByteSliceToString(c.Name[:]) == name {
			return c.ID, nil
		}
		c.ID |= nextControl
	}
	return 0, fmt.Errorf("%s has no control %q", f.Name(), name)
}

func ioctl(f *os.File, request uintptr, argument unsafe.Pointer) error {
	if _, _, err := unix.Syscall(unix.SYS_IOCTL, f.Fd(), request, uintptr(argument)); err != 0 {
		return err
	}
	return nil
}
