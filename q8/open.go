package q8

import (
	"fmt"
	"os"
	"unsafe"

	"edgeclassify/int8"
)

// File is an open model file.
type File struct {
	*Model        // its weights are views into the file: not to be used after Close
	SHA256 string // the file's checksum, see the package documentation
	Size   int64  // the file's size in bytes

	file  []byte
	unmap func() error
}

// Open maps the file into memory, so that weights cost no memory of their own
// and are shared with other processes, and reads it once to verify it. On
// systems without memory maps it reads the file.
//
// While it is open the file may be replaced, as [Write] does, or
// removed, but not overwritten or cut short in place.
func Open(path string) (*File, error) {
	b, unmap, err := mapFile(path)
	if err != nil {
		return nil, fmt.Errorf("q8: %w", err)
	}
	m, checksum, err := decode(b)
	if err != nil {
		unmap()
		return nil, fmt.Errorf("q8: %s: %w", path, err)
	}
	return &File{Model: m, SHA256: checksum, Size: int64(len(b)), file: b, unmap: unmap}, nil
}

// mapFile returns the contents of a file. Errors name it.
func mapFile(path string) (b []byte, unmap func() error, err error) {
	// Asked before opening, which would wait for the writer of a named pipe.
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s: not a regular file (%v)", path, info.Mode())
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return nil, nil, err
	}
	switch size := int(info.Size()); {
	case int64(size) != info.Size():
		return nil, nil, fmt.Errorf("%s: %d bytes are too many for this machine", path, info.Size())
	case size == 0: // no system maps nothing
		return nil, func() error { return nil }, nil
	default:
		return mmap(f, size)
	}
}

// Release tells the system that the program does not need these weights in
// memory. They stay valid: whoever reads them again gets them from the file.
// Slices of anything but the file are left alone.
func (f *File) Release(weights []int8.Value) {
	first := uintptr(unsafe.Pointer(unsafe.SliceData(weights)))
	start := first - uintptr(unsafe.Pointer(unsafe.SliceData(f.file))) // wraps around before the file
	if size := uintptr(len(f.file)); start < size && uintptr(len(weights)) <= size-start {
		release(f.file, int(start), int(start)+len(weights))
	}
}

// Close releases the file. Closing twice is fine.
func (f *File) Close() error {
	unmap := f.unmap
	f.file, f.unmap = nil, nil
	if unmap == nil {
		return nil
	}
	return unmap()
}
