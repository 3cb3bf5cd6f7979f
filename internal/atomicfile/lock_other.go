//go:build !unix || aix || illumos || solaris

package atomicfile

import (
	"errors"
	"os"
)

// lock never locks: no file is stale here.
func lock(*os.File) error { return errors.ErrUnsupported }

// rename closes a file, as some systems ask for, and gives it its name.
func rename(f *os.File, path string) error {
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
