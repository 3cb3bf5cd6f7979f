package v4l2

import (
	"errors"
	"math/bits"
	"os"
	"path/filepath"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// TestABI compares with what a C compiler makes of linux/videodev2.h, for 64
// and 32 bits (GOARCH=386 and arm).
func TestABI(t *testing.T) {
	type abi struct{ buffer, format, timestamp, sequence, offset, length, pix uintptr }
	want := map[int]abi{
		64: {buffer: 88, format: 208, timestamp: 24, sequence: 56, offset: 64, length: 72, pix: 8},
		32: {buffer: 68, format: 204, timestamp: 20, sequence: 44, offset: 52, length: 56, pix: 4},
	}
	var b buffer
	var f format
	require.Equal(t, want[bits.UintSize], abi{
		buffer: unsafe.Sizeof(b), format: unsafe.Sizeof(f), timestamp: unsafe.Offsetof(b.timestamp),
		sequence: unsafe.Offsetof(b.sequence), offset: unsafe.Offsetof(b.offset),
		length: unsafe.Offsetof(b.length), pix: unsafe.Offsetof(f.pix),
	})
	require.Equal(t, uintptr(48), unsafe.Sizeof(PixFormat{}))
	require.Equal(t, uintptr(84), unsafe.Offsetof(capability{}.capabilities))
	require.Equal(t, uintptr(12), unsafe.Offsetof(streamparm{}.interval))
	require.Equal(t, uintptr(20), unsafe.Offsetof(frmivalenum{}.union))
}

func TestRequestNumbers(t *testing.T) {
	for r, want := range map[request]uintptr{
		querycap: 0x80685600, enumFmt: 0xc0405602, reqbufs: 0xc0145608, streamon: 0x40045612,
		streamoff: 0x40045613, sParm: 0xc0cc5616, enumFramesizes: 0xc02c564a, enumFrameintervals: 0xc034564b,
	} {
		require.Equal(t, want, uintptr(r), r)
	}
	sized := map[int][4]uintptr{
		64: {0xc0d05605, 0xc0585609, 0xc058560f, 0xc0585611},
		32: {0xc0cc5605, 0xc0445609, 0xc044560f, 0xc0445611},
	}
	require.Equal(t, sized[bits.UintSize], [4]uintptr{uintptr(sFmt), uintptr(querybuf), uintptr(qbuf), uintptr(dqbuf)})
	require.Equal(t, "VIDIOC_DQBUF", dqbuf.String())
}

func TestBufferTime(t *testing.T) {
	var mono unix.Timespec
	require.NoError(t, unix.ClockGettime(unix.CLOCK_MONOTONIC, &mono))
	age := func(flags uint32, captured time.Duration) time.Duration {
		b := buffer{flags: flags, timestamp: unix.NsecToTimeval(mono.Nano() + int64(captured))}
		return time.Since(b.time())
	}
	const slack = float64(500 * time.Millisecond)
	require.InDelta(t, 3*time.Second, age(bufferTimeMonotonic, -3*time.Second), slack)
	require.InDelta(t, 0, age(bufferTimeMonotonic, time.Hour), slack, "no frame comes from the future")
	require.InDelta(t, 0, age(0, -3*time.Second), slack, "another clock than the monotonic one")
}

func TestOpenNoCamera(t *testing.T) {
	_, err := Open(filepath.Join(t.TempDir(), "video0"))
	require.ErrorIs(t, err, os.ErrNotExist)

	d, err := Open("/dev/null")
	require.NoError(t, err)
	_, err = d.Capability()
	require.ErrorIs(t, err, unix.ENOTTY)
	require.ErrorContains(t, err, "VIDIOC_QUERYCAP: inappropriate ioctl")
	require.NoError(t, d.Close())
	require.NoError(t, d.Close())
	d.Interrupt() // after Close nothing happens
	require.Error(t, d.Queue(0))
}

// TestWait uses a FIFO in place of a camera.
func TestWait(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	require.NoError(t, unix.Mkfifo(path, 0o600))
	d, err := Open(path)
	require.NoError(t, err)
	defer d.Close()

	require.ErrorIs(t, d.Wait(0), ErrTimeout)
	started := time.Now()
	require.ErrorIs(t, d.Wait(20*time.Millisecond), ErrTimeout)
	require.GreaterOrEqual(t, time.Since(started), 20*time.Millisecond)

	_, err = unix.Write(d.fd, []byte{1})
	require.NoError(t, err)
	require.NoError(t, d.Wait(time.Minute))

	time.AfterFunc(5*time.Millisecond, d.Interrupt)
	_, err = unix.Read(d.fd, make([]byte, 1))
	require.NoError(t, err)
	require.ErrorIs(t, d.Wait(time.Minute), ErrInterrupted)
	require.ErrorIs(t, d.Wait(time.Minute), ErrInterrupted, "for good")
}

func TestWaitHangup(t *testing.T) {
	var pipe [2]int
	require.NoError(t, unix.Pipe2(pipe[:], unix.O_NONBLOCK|unix.O_CLOEXEC))
	wake, err := unix.Eventfd(0, 0)
	require.NoError(t, err)
	d := &Device{fd: pipe[0], wake: wake}
	defer d.Close()
	require.NoError(t, unix.Close(pipe[1]))
	require.ErrorIs(t, d.Wait(time.Minute), ErrStopped)
}

func TestEnumerateEnds(t *testing.T) {
	count := 0
	require.NoError(t, enumerate(func(uint32) error { count++; return nil }))
	require.Equal(t, maxEnum, count)
	require.NoError(t, enumerate(func(i uint32) error {
		if i == 2 {
			return unix.EINVAL
		}
		return nil
	}))
	gone := errors.New("gone")
	require.ErrorIs(t, enumerate(func(uint32) error { return gone }), gone)
}

func TestNodes(t *testing.T) {
	dev, class := t.TempDir(), t.TempDir()
	for _, name := range []string{"video10", "video2", "videoX", "v4l-subdev0", "vbi0"} {
		require.NoError(t, os.WriteFile(filepath.Join(dev, name), nil, 0o600))
	}
	require.NoError(t, os.Mkdir(filepath.Join(class, "video2"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(class, "video2", "name"), []byte("HD Webcam: HD Webcam\n"), 0o600))
	require.Equal(t, []Node{
		{filepath.Join(dev, "video2"), "HD Webcam: HD Webcam"},
		{filepath.Join(dev, "video10"), ""},
	}, nodes(dev, class))
}

func TestHolders(t *testing.T) {
	path := filepath.Join(t.TempDir(), "video0")
	require.Nil(t, Holders(path))
	f, err := os.Create(path)
	require.NoError(t, err)
	holders := Holders(path)
	require.Len(t, holders, 1)
	require.Contains(t, holders[0], "v4l2.test (process ")
	require.NoError(t, f.Close())
	require.Empty(t, Holders(path))
}

func TestGroup(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("the group of /dev/null is root on usual systems only")
	}
	require.Equal(t, "root", Group("/dev/null"))
	require.Empty(t, Group("/dev/none"))
}
