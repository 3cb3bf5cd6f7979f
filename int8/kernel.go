package int8

import "unsafe"

// Kernel computes convolutions and the classifier on one kind of CPU. All
// kernels give the bits of the reference.
type Kernel struct {
	Name string // such as "generic"
	// Unsigned says that the kernel's activations are stored with the sign bit
	// flipped, as q + 128 in a byte: some CPUs multiply unsigned by signed.
	Unsigned bool
	// NR is the number of output channels computed together: work is
	// split among threads at its multiples, see Conv.Unit.
	NR int
	// Cache is the bytes of the second cache that a core has, or its share of one that cores
	// share; 0 if not known.
	Cache int
	// Convolution is that of a layer, whose Op is a *Conv and whose tensors are int8.
	Convolution func(l *Layer) Convolution
	// ConvolutionInt16 is Convolution for a layer with an int16 input, residual or output.
	ConvolutionInt16 func(l *Layer, in *Tensor) Convolution
	// Dense computes the classes [lo, hi).
	Dense func(d *Dense, dst []int32, src []int16, lo, hi int)
	// Max replaces count runs of n values by the larger of dst's and src's; the
	// runs begin dstStep and srcStep values apart.
	Max func(dst, src []int8, n, count, dstStep, srcStep int)
	// Lookup, Mul and Add are the operations of these names on int8 tensors. A table is
	// that of Runs.Lookup.
	Lookup func(dst, src []int8, table *[256]int8, r Runs)
	// LookupChannels is Lookup with a table for each value of a run, which is a pixel.
	LookupChannels func(dst, src []int8, tables []*[256]int8, r Runs)
	Mul            func(dst, x, y []int8, m *Mul, z Zeros, r Runs)
	Add            func(dst, x, y []int8, a *Add, z Zeros, r Runs)
	// Sum adds count runs of values to the sums; they begin step values apart.
	Sum func(sums []int32, src []int8, count, step int)
	// Mean makes int8 means of sums of q - Zero; zero is the output's zero point.
	Mean func(dst []int8, sums []int32, m *Mean, zero int8)
}

// Convolution is one layer's convolution by a kernel. It is immutable once its
// weights are packed.
type Convolution interface {
	// Bytes is the memory that the packed layer takes, or would take: what it does
	// before Pack.
	Bytes() int
	// Scratch is the number of 8-byte words of working memory one thread needs.
	Scratch() int
	// Pack copies the weights into the kernel's order, into memory of Bytes() that is
	// Aligned. It comes before all runs.
	Pack(memory []Value)
	// Split is how many rows, or else how many channels, of the output so many threads
	// are to share at a time; both are 0 where any do.
	Split(threads int) (rows, channels int)
	// Run computes the rows and output channels of part.
	Run(t *ConvTask, part Part, scratch []int64)
}

// Aligned is n zero bytes that begin at a cache line.
func Aligned(n int) []Value {
	const line = 64
	b := make([]Value, n+line-1)
	skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) & (line - 1)
	return b[skip:][:n]
}

// ReadAhead is the number of bytes that a source's capacity must extend beyond
// its last window: kernels read whole vectors.
const ReadAhead = 15

// Part is the share of a layer that one thread computes: output rows [Y0, Y1)
// and output channels [C0, C1).
type Part struct{ Y0, Y1, C0, C1 int }

// ConvTask is a convolution bound to its buffers. Source rows include their
// padding, so that no window leaves the source.
type ConvTask struct {
	*Conv
	OH, OW int    // the output's height and width
	Src    []int8 // begins at the window of output pixel (0, 0); see ReadAhead
	SrcRow int    // bytes from one source row to the next
	Dst    []int8 // begins at output pixel (0, 0)
	DstRow int    // bytes from one output row to the next
	Res    []int8 // begins at residual pixel (0, 0); nil without residual; may be Dst
	ResRow int
	// Bytes from one pixel to the next: InC of the source and OutC of the others, or more
	// where a tensor is some channels of a wider one.
	SrcStep, DstStep, ResStep int
	// The low bytes of int16 tensors, see Split; Src, Dst and Res are then the
	// high ones. nil where the tensor is int8.
	SrcLow, DstLow, ResLow []int8
}

// Runs is Conv.Runs of the source.
func (t *ConvTask) Runs() (length, count int) {
	if t.SrcStep != t.InC {
		return t.InC / t.Groups, t.KW
	}
	return t.Conv.Runs()
}
