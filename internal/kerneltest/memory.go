package kerneltest

import (
	"fmt"
	"slices"
	"unsafe"

	"edgeclassify/int8"
)

const (
	regionBytes = 2 << 20
	// margin is the number of bytes beside a buffer that are watched on the
	// side where no inaccessible page is.
	margin = 256
)

// region is memory between inaccessible pages, where the system can do that.
type region []byte

// buffer is a slice at one end of a region, next to an inaccessible page.
type buffer struct {
	name   string
	data   []int8.Value // without spare capacity
	around []int8.Value // data and the margin before or after it
	offset int          // of data in around
	want   []int8.Value // what around should hold
}

// place makes a buffer of n bytes at the start or at the end of the region.
// All of it is random.
func (r region) place(random *source, name string, n int) (*buffer, error) {
	if n+margin > len(r) {
		return nil, fmt.Errorf("%s of %d bytes exceeds the %d of the tests", name, n, len(r)-margin)
	}
	b := &buffer{name: name, around: view[int8.Value](r[:n+margin])}
	if random.chance(2) {
		b.around = view[int8.Value](r[len(r)-n-margin:])
		b.offset = margin
	}
	b.data = b.around[b.offset:][:n:n]
	random.fill(b.around)
	return b, nil
}

// expect takes what the memory holds as what it should hold, and returns the
// buffer's part of that, to be changed.
func (b *buffer) expect() []int8.Value {
	b.want = slices.Clone(b.around)
	return b.want[b.offset:][:len(b.data)]
}

// check reports the first byte that is not as expected. Negative places lie
// before the buffer.
func (b *buffer) check() error {
	for i, want := range b.want {
		if got := b.around[i]; got != want {
			return fmt.Errorf("%s: byte %d of %d is %d, want %d", b.name, i-b.offset, len(b.data), got, want)
		}
	}
	return nil
}

// view is the memory of a slice as values of another type.
func view[T, F any](from []F) []T {
	n := uintptr(len(from)) * unsafe.Sizeof(*new(F)) / unsafe.Sizeof(*new(T))
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(from))), n)
}
