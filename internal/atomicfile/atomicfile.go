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
	"strings"
	"syscall"
)

// Write writes path by way of a temporary file in the same folder: write,
// sync, rename, sync the folder. perm is the file's mode before the umask. If
// write or any step fails, path is left as it was and the temporary file is
// removed; to stop early, for instance because a context ends, write returns
// an error. The one exception is a failed sync of the folder: the file is
// whole and in its place then, but might not outlive a power cut. Temporary files
// of writers that were killed are removed.
func Write(path string, perm os.FileMode, write func(io.Writer) error) (err error) {
	f, err := create(path, perm)
	if err != nil {
		return err
	}
	renamed := false
	defer func() { // also when write panics
		if !renamed {
			f.Close() // the second Close of a closed file does nothing
			os.Remove(f.Name())
		}
	}()
	removeStale(path, f.Name())
	if err := fill(f, write); err != nil {
		return fmt.Errorf("atomicfile: %s: %w", path, err)
	}
	if err := rename(f, path); err != nil {
		return fmt.Errorf("atomicfile: %w", err)
	}
	renamed = true
	if err := SyncDir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("atomicfile: %s is written, but its folder could not be synced: %w", path, err)
	}
	return nil
}

// Check tells whether Write could write path, before there is something to write.
func Check(path string) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return fmt.Errorf("atomicfile: %s is a folder: want the name of a file", path)
	}
	f, err := create(path, 0o600)
	if err != nil {
		return err
	}
	f.Close()
	if err := os.Remove(f.Name()); !errors.Is(err, fs.ErrNotExist) { // another writer removes it, too
		return err
	}
	return nil
}

// A temporary file is .NAME.xxxxxxxx.tmp beside NAME. Its writer holds a lock on it,
// which ends with the writer: one without is stale.
func prefix(path string) string { return "." + filepath.Base(path) + "." }

const suffix = ".tmp"

// errHeld is of a lock that another writer has.
var errHeld = errors.New("locked")

// create makes a fresh file beside path and locks it. os.CreateTemp would not do:
// its files have mode 0600, and to change that later would ignore the umask.
func create(path string, perm os.FileMode) (*os.File, error) {
	for {
		name := filepath.Join(filepath.Dir(path), fmt.Sprintf("%s%08x%s", prefix(path), rand.Uint32(), suffix))
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
		switch {
		case errors.Is(err, fs.ErrExist):
			continue
		case errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("atomicfile: %s: there is no folder %s: %w", path, filepath.Dir(path), fs.ErrNotExist)
		case err != nil:
			return nil, fmt.Errorf("atomicfile: %s: %w", path, err)
		}
		// Without a lock for a moment it looked stale, and others may remove it.
		if errors.Is(lock(f), errHeld) || !isAt(f, name) {
			f.Close()
			continue
		}
		return f, nil
	}
}

// isAt tells whether a file is still what its name stands for.
func isAt(f *os.File, name string) bool {
	own, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Lstat(name)
	return err == nil && os.SameFile(own, there)
}

// removeStale removes temporary files of path whose writers are gone. What cannot be
// read or removed is left.
func removeStale(path, own string) {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return
	}
	for _, e := range entries {
		random, isTemporary := strings.CutPrefix(e.Name(), prefix(path))
		random, hasSuffix := strings.CutSuffix(random, suffix)
		name := filepath.Join(filepath.Dir(path), e.Name())
		if !isTemporary || !hasSuffix || len(random) != 8 || name == own || !e.Type().IsRegular() {
			continue
		}
		if f, err := os.OpenFile(name, os.O_WRONLY, 0); err == nil {
			if lock(f) == nil {
				os.Remove(name)
			}
			f.Close()
		}
	}
}

// Lock has path, a file made for it, to itself until it is closed or the program ends,
// and fails if another has it. Where the system has no locks it does not fail.
func Lock(path string) (io.Closer, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, fmt.Errorf("atomicfile: %w", err)
	}
	if errors.Is(lock(f), errHeld) {
		f.Close()
		return nil, fmt.Errorf("atomicfile: %s: %w by another program: stop that first", path, errHeld)
	}
	return f, nil
}

func fill(f *os.File, write func(io.Writer) error) error {
	b := bufio.NewWriterSize(f, 1<<16)
	if err := write(b); err != nil {
		return err
	}
	if err := b.Flush(); err != nil {
		return err
	}
	return f.Sync()
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
