package gpio

import (
	"encoding/binary"
	"os"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	"periph.io/x/conn/v3/gpio"
)

// Sizes and offsets are what a C compiler makes of linux/gpio.h.
func TestLayout(t *testing.T) {
	require.EqualValues(t, 68, unsafe.Sizeof(gpiochipInfo{}))
	require.EqualValues(t, 256, unsafe.Sizeof(lineInfo{}))
	require.EqualValues(t, 24, unsafe.Sizeof(lineAttribute{}))
	require.EqualValues(t, 272, unsafe.Sizeof(lineConfig{}))
	require.EqualValues(t, 592, unsafe.Sizeof(lineRequest{}))
	require.EqualValues(t, 16, unsafe.Sizeof(lineValues{}))

	require.EqualValues(t, 8, unsafe.Offsetof(lineAttribute{}.payload))
	require.EqualValues(t, 32, unsafe.Offsetof(lineConfig{}.attribute))
	require.EqualValues(t, 288, unsafe.Offsetof(lineRequest{}.config))
	require.EqualValues(t, 560, unsafe.Offsetof(lineRequest{}.lines))
	require.EqualValues(t, 588, unsafe.Offsetof(lineRequest{}.fd))
	require.EqualValues(t, 64, unsafe.Offsetof(lineInfo{}.offset))
	require.EqualValues(t, 72, unsafe.Offsetof(lineInfo{}.flags))
}

// The numbers hold direction, size, type 0xb4 and index: asm-generic/ioctl.h.
func TestRequestNumbers(t *testing.T) {
	const read, readWrite = 2, 3
	number := func(direction, size, index uintptr) uintptr {
		return direction<<30 | size<<16 | 0xb4<<8 | index
	}
	require.EqualValues(t, number(read, unsafe.Sizeof(gpiochipInfo{}), 1), getChipInfo)
	require.EqualValues(t, number(readWrite, unsafe.Sizeof(lineInfo{}), 5), getLineInfo)
	require.EqualValues(t, number(readWrite, unsafe.Sizeof(lineRequest{}), 7), getLine)
	require.EqualValues(t, number(readWrite, unsafe.Sizeof(lineValues{}), 0xe), getLineValues)
	require.EqualValues(t, number(readWrite, unsafe.Sizeof(lineValues{}), 0xf), setLineValues)
}

func TestConfig(t *testing.T) {
	attribute := func(c config) (id uint32, payload uint64, lines uint64) {
		u := c.uapi()
		require.EqualValues(t, 1, u.attributes)
		a := u.attribute[0]
		return a.id, binary.NativeEndian.Uint64(a.payload[:]), a.lines
	}
	for _, c := range []struct {
		config config
		flags  uint64
	}{
		{config{output: true}, 0x8},
		{config{}, 0x4},
		{config{pull: gpio.PullUp, edge: gpio.FallingEdge}, 0x4 | 0x20 | 0x100},
		{config{pull: gpio.PullDown, edge: gpio.RisingEdge}, 0x4 | 0x10 | 0x200},
		{config{pull: gpio.Float, edge: gpio.BothEdges}, 0x4 | 0x10 | 0x20 | 0x400},
	} {
		require.Equal(t, c.flags, c.config.uapi().flags, c.config)
	}
	require.Zero(t, config{edge: gpio.BothEdges}.uapi().attributes)

	id, values, lines := attribute(config{output: true, level: gpio.High})
	require.Equal(t, [3]uint64{2, 1, 1}, [3]uint64{uint64(id), values, lines})
	id, values, lines = attribute(config{output: true})
	require.Equal(t, [3]uint64{2, 0, 1}, [3]uint64{uint64(id), values, lines})

	debounced := config{edge: gpio.RisingEdge, debounce: 5 * time.Millisecond}.uapi()
	require.EqualValues(t, 3, debounced.attribute[0].id)
	require.EqualValues(t, 5000, binary.NativeEndian.Uint32(debounced.attribute[0].payload[:]))
}

func TestOpenOfSomethingElse(t *testing.T) {
	_, err := device{}.open("/dev/null")
	require.ErrorIs(t, err, unix.ENOTTY)
	require.ErrorContains(t, err, "/dev/null")
}

// A line's events come through a file like a pipe's: what is under test is
// deadline, closing and that one event is read at a time.
func TestLineWait(t *testing.T) {
	var fds [2]int
	require.NoError(t, unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK))
	l := &charLine{os.NewFile(uintptr(fds[0]), "line")}
	kernel := os.NewFile(uintptr(fds[1]), "kernel")
	defer kernel.Close()

	_, err := kernel.Write(make([]byte, 48+48))
	require.NoError(t, err)
	require.NoError(t, l.wait(time.Time{}))
	require.NoError(t, l.wait(time.Now().Add(time.Hour)))
	require.ErrorIs(t, l.wait(time.Now().Add(time.Millisecond)), os.ErrDeadlineExceeded)

	failed := make(chan error)
	go func() { failed <- l.wait(time.Time{}) }()
	time.Sleep(10 * time.Millisecond)
	require.NoError(t, l.Close())
	require.ErrorIs(t, <-failed, os.ErrClosed)
}
