package gpio

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
	"periph.io/x/conn/v3/gpio"

	"edgeclassify/internal/ioctl"
)

// The structures are those of Linux's include/uapi/linux/gpio.h. They have no
// implicit padding: 32-bit systems have the same.
type (
	lineAttribute struct {
		id      uint32
		_       uint32
		payload [8]byte // values uint64, or the period of debouncing in µs uint32
		lines   uint64  // bit mask of the request's lines
	}
	lineConfig struct {
		flags      uint64
		attributes uint32
		_          [5]uint32
		attribute  [10]lineAttribute
	}
	lineRequest struct {
		offsets  [64]uint32
		consumer [32]byte
		config   lineConfig
		lines    uint32
		buffer   uint32
		_        [5]uint32
		fd       int32
	}
	lineValues struct {
		bits, mask uint64
	}
	lineInfo struct {
		name, consumer [32]byte
		offset         uint32
		attributes     uint32
		flags          uint64
		_              [10][2]uint64
		_              [4]uint32
	}
	gpiochipInfo struct {
		name, label [32]byte
		lines       uint32
	}
)

// Requests of ioctl.
const (
	getChipInfo   uintptr = 0x8044b401
	getLineInfo   uintptr = 0xc100b405
	getLine       uintptr = 0xc250b407
	getLineValues uintptr = 0xc010b40e
	setLineValues uintptr = 0xc010b40f
)

const (
	flagInput        = 1 << 2
	flagOutput       = 1 << 3
	flagEdgeRising   = 1 << 4
	flagEdgeFalling  = 1 << 5
	flagPullUp       = 1 << 8
	flagPullDown     = 1 << 9
	flagBiasDisabled = 1 << 10

	eventSize = 48 // of struct gpio_v2_line_event

	attributeOutputValues = 2
	attributeDebounce     = 3
)

// consumer is the name by which the kernel tells others who holds a line.
const consumer = "edge-classify"

// device is the running system.
type device struct{}

func (device) chips() []string {
	paths, _ := filepath.Glob("/dev/gpiochip*") // it fails for bad patterns only
	return paths
}

func (device) open(path string) (chip, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	var info gpiochipInfo
	if err := ioctl.Call(f, getChipInfo, unsafe.Pointer(&info)); err != nil {
		f.Close()
		return nil, &os.PathError{Op: "read GPIO chip", Path: path, Err: err}
	}
	return &charChip{
		file:     f,
		chipInfo: chipInfo{label: unix.ByteSliceToString(info.label[:]), lines: int(info.lines)},
	}, nil
}

type charChip struct {
	file *os.File
	chipInfo
}

func (c *charChip) info() chipInfo { return c.chipInfo }
func (c *charChip) Close() error   { return c.file.Close() }

func (c *charChip) user(number int) string {
	info := lineInfo{offset: uint32(number)}
	if err := ioctl.Call(c.file, getLineInfo, unsafe.Pointer(&info)); err != nil {
		return ""
	}
	return unix.ByteSliceToString(info.consumer[:])
}

func (c *charChip) request(number int, config config) (line, error) {
	r := lineRequest{lines: 1, config: config.uapi()}
	r.offsets[0] = uint32(number)
	copy(r.consumer[:], consumer)
	if err := ioctl.Call(c.file, getLine, unsafe.Pointer(&r)); err != nil {
		return nil, err
	}
	// A non-blocking file has deadlines, and its Close ends who reads it.
	if err := unix.SetNonblock(int(r.fd), true); err != nil {
		unix.Close(int(r.fd))
		return nil, err
	}
	return &charLine{os.NewFile(uintptr(r.fd), c.file.Name())}, nil
}

func (c config) uapi() lineConfig {
	if c.output {
		u := lineConfig{flags: flagOutput, attributes: 1}
		u.attribute[0] = lineAttribute{id: attributeOutputValues, lines: 1}
		if c.level {
			binary.NativeEndian.PutUint64(u.attribute[0].payload[:], 1)
		}
		return u
	}
	u := lineConfig{flags: flagInput}
	switch c.pull {
	case gpio.PullUp:
		u.flags |= flagPullUp
	case gpio.PullDown:
		u.flags |= flagPullDown
	case gpio.Float:
		u.flags |= flagBiasDisabled
	}
	if c.edge&gpio.RisingEdge != 0 {
		u.flags |= flagEdgeRising
	}
	if c.edge&gpio.FallingEdge != 0 {
		u.flags |= flagEdgeFalling
	}
	if c.debounce > 0 {
		u.attributes = 1
		u.attribute[0] = lineAttribute{id: attributeDebounce, lines: 1}
		binary.NativeEndian.PutUint32(u.attribute[0].payload[:], uint32(c.debounce.Microseconds()))
	}
	return u
}

// charLine is a line that the kernel has given to this program.
type charLine struct{ file *os.File }

func (l *charLine) Close() error { return l.file.Close() }

func (l *charLine) value() (gpio.Level, error) {
	v := lineValues{mask: 1}
	err := ioctl.Call(l.file, getLineValues, unsafe.Pointer(&v))
	return v.bits&1 != 0, err
}

func (l *charLine) set(level gpio.Level) error {
	v := lineValues{mask: 1}
	if level {
		v.bits = 1
	}
	return ioctl.Call(l.file, setLineValues, unsafe.Pointer(&v))
}

func (l *charLine) wait(deadline time.Time) error {
	if err := l.file.SetReadDeadline(deadline); err != nil {
		return err
	}
	var event [eventSize]byte
	_, err := l.file.Read(event[:])
	return err
}
