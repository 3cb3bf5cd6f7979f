package i2c

import (
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// What a C compiler makes of linux/i2c.h and linux/i2c-dev.h.
func TestLayout(t *testing.T) {
	size, buf, count := 16, 8, 8
	if unsafe.Sizeof(uintptr(0)) == 4 {
		size, buf, count = 12, 8, 4
	}
	require.EqualValues(t, size, unsafe.Sizeof(message{}))
	require.EqualValues(t, buf, unsafe.Offsetof(message{}.buf))
	require.EqualValues(t, 2*count, unsafe.Sizeof(transaction{}))
	require.EqualValues(t, count, unsafe.Offsetof(transaction{}.count))
}

func TestNoAnswer(t *testing.T) {
	require.True(t, noAnswer(syscall.EREMOTEIO))
	require.True(t, noAnswer(syscall.ENXIO))
	require.False(t, noAnswer(syscall.EIO))
}

func TestOpenOfSomethingElse(t *testing.T) {
	_, err := openAdapter("/dev/null")
	require.ErrorIs(t, err, syscall.ENOTTY)
	require.ErrorContains(t, err, "/dev/null")
}
