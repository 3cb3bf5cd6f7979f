package i2c

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// fakeAdapter has one device, which sends back what was written to it plus one.
type fakeAdapter struct {
	addr   uint16
	kernel uint16 // a device that a driver has
	stuck  bool
	claims []uint16
	closed bool
}

func (a *fakeAdapter) claim(addr uint16) error {
	a.claims = append(a.claims, addr)
	if addr == a.kernel {
		return syscall.EBUSY
	}
	return nil
}

func (a *fakeAdapter) transfer(addr uint16, w, r []byte) error {
	switch {
	case a.stuck:
		return syscall.ETIMEDOUT
	case addr != a.addr:
		return syscall.ENXIO
	}
	for i := range r {
		r[i] = w[i] + 1
	}
	return nil
}

func (a *fakeAdapter) Close() error { a.closed = true; return nil }

func TestTx(t *testing.T) {
	a := &fakeAdapter{addr: 0x3c, kernel: 0x68}
	b := &Bus{name: "i2c-1", adapter: a}
	require.Equal(t, "i2c-1", b.String())

	r := make([]byte, 2)
	require.NoError(t, b.Tx(0x3c, []byte{1, 2}, r))
	require.Equal(t, []byte{2, 3}, r)
	require.NoError(t, b.Tx(0x3c, []byte{1}, nil))
	require.NoError(t, b.Tx(0x3c, nil, nil))
	require.Equal(t, []uint16{0x3c}, a.claims, "asked once")

	err := b.Tx(0x68, []byte{0}, nil)
	require.ErrorIs(t, err, syscall.EBUSY)
	require.ErrorContains(t, err, "device 0x68 on i2c-1")
	require.ErrorContains(t, err, "a driver of the kernel has it")
	require.ErrorIs(t, b.Tx(0x68, []byte{0}, nil), syscall.EBUSY, "asked again")

	err = b.Tx(0x3d, []byte{0}, nil)
	require.ErrorIs(t, err, syscall.ENXIO)
	require.ErrorContains(t, err, "i2cdetect -y 1")

	a.stuck = true
	require.ErrorContains(t, b.Tx(0x3c, []byte{0}, nil), "check wiring and pull-ups")

	require.NoError(t, b.Close())
	require.True(t, a.closed)
}

func TestTxErrors(t *testing.T) {
	a := &fakeAdapter{addr: 0x3c}
	b := &Bus{name: "i2c-1", adapter: a}
	for _, addr := range []uint16{0, 7, 0x78, 0x3ff} {
		require.ErrorContains(t, b.Tx(addr, []byte{0}, nil), "want an address from 0x08 to 0x77")
	}
	require.ErrorContains(t, b.Tx(0x3c, make([]byte, 8193), nil), "want at most 8192")
	require.ErrorContains(t, b.Tx(0x3c, nil, make([]byte, 8193)), "want at most 8192")
	require.Empty(t, a.claims)
	require.ErrorContains(t, b.SetSpeed(0), "dtparam=i2c_arm_baudrate")
}

func TestOpenErrors(t *testing.T) {
	for _, name := range []string{"", "1", "i2c-", "i2c-x", "/dev/i2c-1", "i2c-1/../null"} {
		_, err := Open(name)
		require.ErrorContains(t, err, "is no bus: want i2c-N", name)
	}
	for cause, want := range map[error]string{
		syscall.EACCES:    "join the group i2c",
		fs.ErrNotExist:    "dtparam=i2c_arm=on",
		errors.New("odd"): "i2c: open /dev/i2c-1: odd",
	} {
		err := explainOpen(&os.PathError{Op: "open", Path: "/dev/i2c-1", Err: cause})
		require.ErrorIs(t, err, cause)
		require.ErrorContains(t, err, want)
	}
}
