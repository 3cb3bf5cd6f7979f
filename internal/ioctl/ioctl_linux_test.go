package ioctl

import (
	"os"
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestCall(t *testing.T) {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	_, err = w.WriteString("seven b")
	require.NoError(t, err)

	var waiting int32
	require.NoError(t, Call(r, unix.TIOCINQ, unsafe.Pointer(&waiting)))
	require.EqualValues(t, 7, waiting)

	require.ErrorIs(t, CallInt(r, unix.TIOCSCTTY, 0), syscall.ENOTTY)

	require.NoError(t, w.Close())
	require.ErrorContains(t, Call(w, unix.TIOCINQ, unsafe.Pointer(&waiting)), "use of closed file")
}
