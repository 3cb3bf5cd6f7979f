package v4l2

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"edgeclassify/internal/printable"
)

// Device is an open node. Interrupt and Queue may be called while another
// goroutine waits; everything else belongs to one goroutine. Errors name the
// call that failed, not the node.
type Device struct {
	mu   sync.Mutex // guards the descriptors against Close
	fd   int
	wake int // an eventfd that ends Wait
}

// Open opens the node at path.
func Open(path string) (*Device, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	wake, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("eventfd", err)
	}
	return &Device{fd: fd, wake: wake}, nil
}

// Close stops the stream, gives up the buffers and closes the node. Mapped
// buffers stay readable until Unmap; as they keep the node open, so to speak,
// others could not use it without the first two steps.
func (d *Device) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fd < 0 {
		return nil
	}
	typ, none := int32(typeVideoCapture), requestbuffers{typ: typeVideoCapture, memory: memoryMMAP}
	d.try(streamoff, unsafe.Pointer(&typ)) // these fail where there is nothing to stop
	d.try(reqbufs, unsafe.Pointer(&none))
	err := unix.Close(d.fd)
	unix.Close(d.wake)
	d.fd, d.wake = -1, -1
	return os.NewSyscallError("close", err)
}

// ioctl performs r with the structure at arg.
func (d *Device) ioctl(r request, arg unsafe.Pointer) error {
	if errno := d.try(r, arg); errno != 0 {
		return fmt.Errorf("%v: %w", r, errno)
	}
	return nil
}

// try is ioctl without the words.
func (d *Device) try(r request, arg unsafe.Pointer) syscall.Errno {
	for {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(d.fd), uintptr(r), uintptr(arg))
		if errno != unix.EINTR {
			return errno
		}
	}
}

// Capability says what the node is.
func (d *Device) Capability() (Capability, error) {
	var c capability
	err := d.ioctl(querycap, unsafe.Pointer(&c))
	return Capability{text(c.driver[:]), text(c.card[:]), text(c.bus[:]), c.deviceCaps}, err
}

// text is a string of a driver, which has it from the camera.
func text(b []byte) string {
	s, _, _ := bytes.Cut(b, []byte{0})
	return printable.Text(string(s))
}

// maxEnum bounds enumerations that a faulty driver never ends.
const maxEnum = 256

// enumerate calls next with 0, 1, ... until the driver has no more.
func enumerate(next func(index uint32) error) error {
	for i := range uint32(maxEnum) {
		switch err := next(i); {
		case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOTTY):
			return nil
		case err != nil:
			return err
		}
	}
	return nil
}

// Formats lists the pixel formats.
func (d *Device) Formats() ([]FourCC, error) {
	var list []FourCC
	err := enumerate(func(i uint32) error {
		f := fmtdesc{index: i, typ: typeVideoCapture}
		err := d.ioctl(enumFmt, unsafe.Pointer(&f))
		if err == nil {
			list = append(list, f.fourCC)
		}
		return err
	})
	return list, err
}

// Sizes lists the picture sizes of a format, none if the driver does not tell.
func (d *Device) Sizes(f FourCC) ([]Size, error) {
	var list []Size
	err := enumerate(func(i uint32) error {
		s := frmsizeenum{index: i, fourCC: f}
		err := d.ioctl(enumFramesizes, unsafe.Pointer(&s))
		switch u := s.union; {
		case err != nil:
			return err
		case s.typ == enumDiscrete:
			list = append(list, Size{u[0], u[1], u[0], u[1]})
			return nil
		default:
			list = append(list, Size{u[0], u[3], u[1], u[4]})
			return unix.EINVAL // a range comes alone
		}
	})
	return list, err
}

// Intervals lists the frame intervals of a format at a size; of a range, the
// two ends.
func (d *Device) Intervals(f FourCC, width, height uint32) ([]Fraction, error) {
	var list []Fraction
	err := enumerate(func(i uint32) error {
		v := frmivalenum{index: i, fourCC: f, width: width, height: height}
		err := d.ioctl(enumFrameintervals, unsafe.Pointer(&v))
		switch {
		case err != nil:
			return err
		case v.typ == enumDiscrete:
			list = append(list, v.union[0])
			return nil
		default:
			list = append(list, v.union[0], v.union[1])
			return unix.EINVAL
		}
	})
	return list, err
}

// SetFormat asks for a size and pixel format and returns what the driver
// gives, which may differ in everything.
func (d *Device) SetFormat(width, height uint32, f FourCC) (PixFormat, error) {
	v := format{typ: typeVideoCapture,
		pix: PixFormat{Width: width, Height: height, FourCC: f, Field: fieldNone, Priv: privMagic}}
	err := d.ioctl(sFmt, unsafe.Pointer(&v))
	return v.pix, err
}

// SetInterval asks for seconds per frame and returns what the driver gives,
// zero if it does not tell.
func (d *Device) SetInterval(interval Fraction) (Fraction, error) {
	p := streamparm{typ: typeVideoCapture, interval: interval}
	err := d.ioctl(sParm, unsafe.Pointer(&p))
	if errors.Is(err, unix.ENOTTY) || errors.Is(err, unix.EINVAL) {
		return Fraction{}, nil // some drivers have one rate and no say in it
	}
	return p.interval, err
}

// Map makes about count buffers and maps them for reading. The driver decides
// how many.
func (d *Device) Map(count int) ([][]byte, error) {
	r := requestbuffers{count: uint32(count), typ: typeVideoCapture, memory: memoryMMAP}
	if err := d.ioctl(reqbufs, unsafe.Pointer(&r)); err != nil {
		return nil, err
	}
	var maps [][]byte
	for i := range r.count {
		m, err := d.mapBuffer(i)
		if err != nil {
			for _, m := range maps {
				d.Unmap(m)
			}
			return nil, err
		}
		maps = append(maps, m)
	}
	return maps, nil
}

func (d *Device) mapBuffer(index uint32) ([]byte, error) {
	b := buffer{index: index, typ: typeVideoCapture, memory: memoryMMAP}
	if err := d.ioctl(querybuf, unsafe.Pointer(&b)); err != nil {
		return nil, err
	}
	m, err := unix.Mmap(d.fd, int64(uint32(b.offset)), int(b.length), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("mmap of %d bytes: %w", b.length, err)
	}
	return m, nil
}

// Unmap frees a buffer that Map returned, before or after Close.
func (d *Device) Unmap(m []byte) {
	_ = unix.Munmap(m) // fails only for what is no mapping
}

// Queue gives a buffer to the driver to fill.
func (d *Device) Queue(index int) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	b := buffer{index: uint32(index), typ: typeVideoCapture, memory: memoryMMAP}
	return d.ioctl(qbuf, unsafe.Pointer(&b))
}

// Start starts the stream.
func (d *Device) Start() error {
	typ := int32(typeVideoCapture)
	return d.ioctl(streamon, unsafe.Pointer(&typ))
}

// Wait returns when a buffer is filled, or ErrTimeout, ErrInterrupted or
// ErrStopped.
func (d *Device) Wait(timeout time.Duration) error {
	deadline := time.Now().Add(timeout)
	for {
		fds := [2]unix.PollFd{{Fd: int32(d.fd), Events: unix.POLLIN}, {Fd: int32(d.wake), Events: unix.POLLIN}}
		left := max(time.Until(deadline), 0)
		n, err := unix.Poll(fds[:], int((left+time.Millisecond-1)/time.Millisecond))
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return os.NewSyscallError("poll", err)
		case n == 0:
			return ErrTimeout
		case fds[1].Revents != 0:
			return ErrInterrupted
		case fds[0].Revents&unix.POLLIN != 0:
			return nil
		default:
			return ErrStopped
		}
	}
}

// Interrupt ends Wait, now and for good.
func (d *Device) Interrupt() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.wake >= 0 {
		one := binary.NativeEndian.AppendUint64(nil, 1)
		_, _ = unix.Write(d.wake, one) // fails when full: then Wait ends already
	}
}

// Dequeue takes a filled buffer, or returns ErrNotReady.
func (d *Device) Dequeue() (Buffer, error) {
	b := buffer{typ: typeVideoCapture, memory: memoryMMAP}
	switch errno := d.try(dqbuf, unsafe.Pointer(&b)); errno {
	case 0:
	case unix.EAGAIN: // with every frame: no place to make an error
		return Buffer{}, ErrNotReady
	default:
		return Buffer{}, fmt.Errorf("%v: %w", dqbuf, errno)
	}
	return Buffer{
		Index:    int(b.index),
		Used:     int(b.bytesUsed),
		Corrupt:  b.flags&bufferError != 0,
		Sequence: b.sequence,
		Time:     b.time(),
	}, nil
}

// time returns when b was captured: now, less its age by the monotonic clock. The two
// clocks are read again where something came between: times of frames would go back.
func (b *buffer) time() time.Time {
	const attempts, between = 5, 100 * time.Microsecond
	now := time.Now()
	if b.flags&bufferTimeMask != bufferTimeMonotonic {
		return now
	}
	var mono unix.Timespec
	for range attempts {
		if unix.ClockGettime(unix.CLOCK_MONOTONIC, &mono) != nil {
			return now
		}
		before := now
		if now = time.Now(); now.Sub(before) < between {
			break
		}
	}
	return now.Add(-max(time.Duration(mono.Nano()-b.timestamp.Nano()), 0))
}
