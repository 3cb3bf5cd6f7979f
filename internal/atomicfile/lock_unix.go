//go:build unix && !aix && !illumos && !solaris

package atomicfile

import (
	"errors"
	"os"
	"syscall"
)

// lock locks a file until it is closed, or fails at once. Not all file systems can.
func lock(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return errHeld
	}
	return err
}

// rename gives a file its name, within its lock, and closes it: it is synced.
func rename(f *os.File, path string) error {
	defer f.Close()
	return os.Rename(f.Name(), path)
}
