// Package atomicfile replaces files so that readers see the old content or the
// new one, never a part, even after a power cut.
package atomicfile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

// Write writes path by way of a temporary file in the same folder: write,
// sync, rename, sync the folder. perm is the file's mode before the umask. If
// write or any step fails, path is left as it was and the temporary file is
// removed; to stop early, for instance because a context ends, write returns
// an error. The one exception is a failed sync of the folder: the file is
// whole and in its place then, but might not outlive a power cut.
func Write(path string, perm os.FileMode, write func(io.Writer) error) (err error) {
	f, err := create(path, perm)
	if err != nil {
		return fmt.Errorf("atomicfile: %s: %w", path, err)
	}
	renamed := false
	defer func() { // also when write panics
		if !renamed {
			f.Close() // the second Close of a closed file does nothing
			os.Remove(f.Name())
		}
	}()
	if err := fill(f, write); err != nil {
		return fmt.Errorf("atomicfile: %s: %w", path, err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("atomicfile: %w", err)
	}
	renamed = true
	if err := SyncDir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("atomicfile: %s is written, but its folder could not be synced: %w", path, err)
	}
	return nil
}

// create makes a fresh file beside path. os.CreateTemp would not do: its files
// have mode 0600, and to change that later would ignore the umask.
func create(path string, perm os.FileMode) (*os.File, error) {
	for {
		name := filepath.Join(filepath.Dir(path), fmt.Sprintf(".%s.%08x.tmp", filepath.Base(path), rand.Uint32()))
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
		if !errors.Is(err, fs.ErrExist) {
			return f, err
		}
	}
}

func fill(f *os.File, write func(io.Writer) error) error {
	b := bufio.NewWriterSize(f, 1<<16)
	if err := write(b); err != nil {
		return err
	}
	if err := b.Flush(); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return f.Close()
}

// SyncDir makes renames within a folder durable, where the system can.
func SyncDir(dir string) error {
	if runtime.GOOS == "windows" { // folders cannot be synced there
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) { // some network file systems
		return nil
	}
	return err
}
