// Package ioctl calls the drivers of devices.
package ioctl

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Call makes the ioctl call request, whose argument arg points to. The file
// stays open during the call and stays non-blocking, so that its deadlines go
// on working: (*os.File).Fd promises neither.
func Call(f *os.File, request uintptr, arg unsafe.Pointer) error {
	return control(f, func(fd uintptr) error {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, request, uintptr(arg))
		return toError(errno)
	})
}

// CallInt is Call where the argument is a number.
func CallInt(f *os.File, request, arg uintptr) error {
	return control(f, func(fd uintptr) error {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, request, arg)
		return toError(errno)
	})
}

func control(f *os.File, call func(fd uintptr) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := conn.Control(func(fd uintptr) { failed = call(fd) }); err != nil {
		return err
	}
	return failed
}

func toError(errno unix.Errno) error {
	if errno != 0 {
		return errno
	}
	return nil
}
