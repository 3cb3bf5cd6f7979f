package q8

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"unsafe"

	"edgeclassify/int8"
	"edgeclassify/internal/board"
	"edgeclassify/internal/safetensors"
)

// File is an open model file.
type File struct {
	*Model        // its weights are views into memory of the file's: not to be used after Close
	SHA256 string // the file's checksum, see the package documentation
	Size   int64  // the file's size in bytes

	bytes   []byte
	free    func() error
	lock    sync.Mutex
	weights []span // that are in memory
}

// Open reads the file into memory and verifies what it has read. From then on the
// file may be replaced, overwritten, cut short or removed: nothing is read from it
// again. One that changes while it is read is reported as damaged.
func Open(path string) (*File, error) {
	f, size, err := openFile(path)
	if err != nil {
		return nil, fmt.Errorf("q8: %w", err)
	}
	defer f.Close()
	b, free, err := allocate(size)
	if err != nil {
		return nil, fmt.Errorf("q8: %s: memory for %d bytes: %w", path, size, err)
	}
	m, checksum, err := decode(&source{bytes: b, file: f})
	if err != nil {
		free()
		return nil, fmt.Errorf("q8: %s: %w", path, err)
	}
	opened := &File{Model: m, SHA256: checksum, Size: int64(len(b)), bytes: b, free: free}
	opened.weights = opened.spans()
	return opened, nil
}

// openFile also returns the file's size, for which there is memory. Errors name it.
func openFile(path string) (f *os.File, size int, err error) {
	// Asked before opening, which would wait for the writer of a named pipe.
	info, err := os.Stat(path)
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("%s: not a regular file (%v)", path, info.Mode())
	}
	if f, err = os.Open(path); err != nil {
		return nil, 0, err
	}
	if size, err = sizeOf(f); err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, size, nil
}

func sizeOf(f *os.File) (int, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	size := info.Size()
	if int64(int(size)) != size {
		return 0, fmt.Errorf("%s: %d bytes are too many for this machine", f.Name(), size)
	}
	if _, available := board.Memory(os.DirFS("/")); available > 0 && size > available {
		return 0, fmt.Errorf("%s: the file takes %d MB of memory, and there are %d MB: end other programs, or take a smaller network", f.Name(), size>>20, available>>20)
	}
	return int(size), nil
}

// block is the bytes that are read at a time: so many that calls cost nothing.
const block = 1 << 20

// source is the bytes of a model file. Those that are not there yet are read from the
// file.
type source struct {
	bytes []byte
	there int // bytes from the start
	file  io.Reader
}

// readHeader reads at least the start that safetensors.Parse looks at.
func (s *source) readHeader() (start int, err error) {
	if err := s.read(min(block, len(s.bytes))); err != nil || len(s.bytes) < 8 {
		return 0, err
	}
	start = min(safetensors.Start([8]byte(s.bytes)), len(s.bytes))
	return start, s.read(start)
}

// readBlocks reads the rest, and tells of the ends of blocks that are there.
func (s *source) readBlocks(blocks chan<- int) error {
	defer close(blocks)
	blocks <- s.there
	for s.there < len(s.bytes) {
		if err := s.read(min(s.there+block, len(s.bytes))); err != nil {
			return err
		}
		blocks <- s.there
	}
	return nil
}

// read reads up to a place in the file.
func (s *source) read(end int) error {
	if end <= s.there {
		return nil
	}
	_, err := io.ReadFull(s.file, s.bytes[s.there:end])
	s.there = end
	if errors.Is(err, io.ErrUnexpectedEOF) || err == io.EOF {
		return errors.New("it was cut short while it was read: copy it again")
	}
	return err
}

// Release gives the memory of a layer's weights back to the system, and what lies
// between them and the next ones that are still there: whoever reads them afterwards
// ends with a fault. Slices of anything but the file are left alone.
func (f *File) Release(weights []int8.Value) {
	f.lock.Lock()
	defer f.lock.Unlock()
	i := slices.Index(f.weights, f.span(weights))
	if i < 0 || f.bytes == nil {
		return
	}
	lo, hi := 0, len(f.bytes)
	if i > 0 {
		lo = f.weights[i-1].hi
	}
	if i+1 < len(f.weights) {
		hi = f.weights[i+1].lo
	}
	f.weights = slices.Delete(f.weights, i, i+1)
	release(f.bytes, lo, hi)
}

// span is a place in the file.
type span struct{ lo, hi int }

// span is that of a slice, out of the file's range if it is of anything else.
func (f *File) span(weights []int8.Value) span {
	lo := int(uintptr(unsafe.Pointer(unsafe.SliceData(weights))) - uintptr(unsafe.Pointer(unsafe.SliceData(f.bytes))))
	return span{lo, lo + len(weights)}
}

// spans are those of all weights, in the file's order.
func (f *File) spans() []span {
	var spans []span
	for i := range f.Layers {
		for _, a := range arrays(&f.Layers[i]) {
			if weights, ok := a.values.(*[]int8.Value); ok {
				spans = append(spans, f.span(*weights))
			}
		}
	}
	slices.SortFunc(spans, func(a, b span) int { return a.lo - b.lo })
	return spans
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
