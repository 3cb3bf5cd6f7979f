package int8

// Kernel computes convolutions and the classifier on one kind of CPU. All
// kernels give the bits of the reference.
type Kernel struct {
	Name string // such as "generic"
	// Channels is the number of output channels computed together: work is
	// split among threads at its multiples.
	Channels int
	// Scratch is the number of 8-byte words of working memory one thread needs.
	Scratch func(c *Conv) int
	// Conv computes the rows and output channels of part.
	Conv func(t *ConvTask, part Part, scratch []int64)
	// Dense computes the classes [lo, hi).
	Dense func(d *Dense, dst []int32, src []int16, lo, hi int)
}

// Part is the share of a layer that one thread computes: output rows [Y0, Y1)
// and output channels [C0, C1).
type Part struct{ Y0, Y1, C0, C1 int }

// ConvTask is a convolution bound to its buffers. Source rows include their
// padding, so that no window leaves the source.
type ConvTask struct {
	*Conv
	OH, OW int    // the output's height and width
	Src    []int8 // begins at the window of output pixel (0, 0)
	SrcRow int    // bytes from one source row to the next
	Dst    []int8 // begins at output pixel (0, 0)
	DstRow int    // bytes from one output row to the next
	Res    []int8 // begins at residual pixel (0, 0); nil without residual; may be Dst
	ResRow int
}
