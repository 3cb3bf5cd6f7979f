package q8

import (
	"errors"
	"fmt"
	"io"
	"os"
	"unsafe"

	"edgeclassify/int8"
	"edgeclassify/internal/board"
)

// File is an open model file.
type File struct {
	*Model        // its weights are views into memory of the file's: not to be used after Close
	SHA256 string // the file's checksum, see the package documentation
	Size   int64  // the file's size in bytes

	bytes []byte
	free  func() error
}

// Open reads the file into memory and verifies what it has read. From then on the
// file may be replaced, overwritten, cut short or removed: nothing is read from it
// again. One that changes while it is read is reported as damaged.
func Open(path string) (*File, error) {
	b, free, err := read(path)
	if err != nil {
		return nil, fmt.Errorf("q8: %w", err)
	}
	m, checksum, err := decode(b)
	if err != nil {
		free()
		return nil, fmt.Errorf("q8: %s: %w", path, err)
	}
	return &File{Model: m, SHA256: checksum, Size: int64(len(b)), bytes: b, free: free}, nil
}

// read returns the contents of a file. Errors name it.
func read(path string) (b []byte, free func() error, err error) {
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
	size := int(info.Size())
	if int64(size) != info.Size() {
		return nil, nil, fmt.Errorf("%s: %d bytes are too many for this machine", path, info.Size())
	}
	if _, available := board.Memory(os.DirFS("/")); available > 0 && info.Size() > available {
		return nil, nil, fmt.Errorf("%s: the file takes %d MB of memory, and there are %d MB: end other programs, or take a smaller network", path, info.Size()>>20, available>>20)
	}
	if size == 0 { // no system maps nothing
		return nil, func() error { return nil }, nil
	}
	if b, free, err = allocate(size); err != nil {
		return nil, nil, fmt.Errorf("%s: memory for %d bytes: %w", path, size, err)
	}
	if _, err := io.ReadFull(f, b); err != nil {
		free()
		if errors.Is(err, io.ErrUnexpectedEOF) || err == io.EOF {
			err = errors.New("it was cut short while it was read: copy it again")
		}
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return b, free, nil
}

// Release gives the memory of weights back to the system: whoever reads them
// afterwards ends with a fault. Slices of anything but the file are left alone.
func (f *File) Release(weights []int8.Value) {
	first := uintptr(unsafe.Pointer(unsafe.SliceData(weights)))
	start := first - uintptr(unsafe.Pointer(unsafe.SliceData(f.bytes))) // wraps around before the file
	if size := uintptr(len(f.bytes)); start < size && uintptr(len(weights)) <= size-start {
		release(f.bytes, int(start), int(start)+len(weights))
	}
}

// Close gives all of the file's memory back. Closing twice is fine.
func (f *File) Close() error {
	free := f.free
	f.bytes, f.free = nil, nil
	if free == nil {
		return nil
	}
	return free()
}
